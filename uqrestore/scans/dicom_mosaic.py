"""Siemens mosaics: several slices tiled in one image, which has the place of none of them."""

from typing import Any

from uqrestore.scans.dicom_files import Images
from uqrestore.scans.dicom_frames import Frame
from uqrestore.scans.dicom_header import parsing
from uqrestore.scans.errors import ScanError

TILES = (0x0019, 0x100A)
"""Private number of images in a mosaic."""


def refuse_mosaic(images: Images, frames: list[Frame]) -> None:
    """Refuse mosaics, but not single slices whose type still names the mosaic they came from.

    Where the private number of tiles is gone, images at several places are single slices.

    Raises:
        ScanError: If an image is a mosaic.
    """
    places = {round(frame.depth, 2) for frame in frames}
    for name, header in images:
        with parsing(name):
            if "MOSAIC" not in str(header.get("ImageType", "")).upper():
                continue
            tiles, single = _tiles(header), len(places) > 1 and not _tiled(header)
        if tiles == 1 or (tiles is None and single):
            continue
        count = f"{tiles} slices" if tiles else "several slices"
        raise ScanError(
            f"{name}: is a Siemens mosaic, {count} tiled in one image; convert the series to "
            "NIfTI with dcm2niix, which takes it apart."
        )


def _tiles(header: Any) -> int | None:  # noqa: ANN401  (pydicom's Dataset)
    element = header.get(TILES)
    value = None if element is None else element.value
    if isinstance(value, bytes):
        return int.from_bytes(value, "little") or None
    return int(value) if isinstance(value, int | float) and value else None


def _tiled(header: Any) -> bool:  # noqa: ANN401
    """Return whether the image is at least twice as large as its acquisition matrix."""
    acquired = [int(n) for n in header.get("AcquisitionMatrix") or []]
    return bool(acquired) and int(header.Rows) >= 2 * max(acquired) > 0
