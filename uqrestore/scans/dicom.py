"""DICOM series: read into a Scan, or refused by name and millimetre; nothing personal is kept."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from uqrestore.scans.checksum import files_of, input_sha256, printable
from uqrestore.scans.dicom_frames import frames_of, headers_of, one_series
from uqrestore.scans.dicom_stack import one_volume, parallel, steps
from uqrestore.scans.errors import ScanError
from uqrestore.scans.grid import Grid, nearest_ras
from uqrestore.scans.scan import Scan, Source, scan_from_array

KEPT_TAGS = ("Modality", "BodyPartExamined", "Laterality", "FrameOfReferenceUID")
"""All that is remembered of a header beside geometry and units; free text can name people."""

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
MAGIC_AT, MAGIC = 128, b"DICM"
LOOKED_AT = 5  # files of a folder that are opened to see whether it is a series


def read_dicom(
    path: Path, *, mask: Path | None = None, volume: int | None = None, allow_gaps: bool = False
) -> Scan:
    """Read one series: a folder of classic images, or enhanced multi-frame files.

    Args:
        path: Folder of one series, or one file.
        mask: The brain mask as NIfTI, on the voxel grid of the series; any axis order.
        volume: Which volume, from 0, where there are several images at every place.
        allow_gaps: Fill missing slices with the darkest value, outside the mask, rather than
            refuse the series.

    Returns:
        The scan, rescale slope applied; its source keeps the tags of ``KEPT_TAGS`` alone.

    Raises:
        ScanError: If there is no DICOM image, more than one series, orientation or size, a slice
            is missing, the spacing is irregular, or the values cannot be decoded.
    """
    headers = one_series(path, list(headers_of(path)))
    frames = [frame for name, header in headers for frame in frames_of(name, header)]
    frames, note = one_volume(parallel(frames), volume)
    step, places = steps(frames, allow_gaps)
    first = frames[0]
    voxels = np.full((*first.values.shape[::-1], places[-1] + 1), np.nan, np.float64)
    for place, frame in zip(places, frames, strict=True):
        voxels[:, :, place] = frame.values.T
    missing = places[-1] + 1 - len(frames)
    if missing:
        voxels = np.where(np.isnan(voxels), np.nanmin(voxels), voxels)
        note = "; ".join(filter(None, (note, f"missing slices left dark: {missing}")))
    affine = np.eye(4)
    affine[:3, 0] = first.across * first.pixel[1]
    affine[:3, 1] = first.down * first.pixel[0]
    affine[:3, 2], affine[:3, 3] = step, first.position
    affine = LPS_TO_RAS @ affine
    header = headers[0][1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # values that a tag must not have are text all the same
        tags = tuple((name, printable(str(header.get(name, "")))) for name in KEPT_TAGS)
    source = Source(
        name=f"{dict(tags)['Modality'] or 'DICOM'} series of {len(frames)} images",
        format="DICOM",
        sha256=input_sha256(path),
        mask_sha256="" if mask is None else input_sha256(mask),
        volume=volume,
        note=note,
        tags=tags,
    )
    inside = None if mask is None else _mask_on(mask, voxels.shape, affine)
    return scan_from_array(voxels, affine, source=source, mask=inside, unit=_unit(header))


def is_dicom(path: Path) -> bool:
    """Say whether a file, or one of the first files of a folder, is DICOM."""
    if path.is_dir():
        return any(is_dicom(file) for file in files_of(path)[:LOOKED_AT])
    try:
        with path.open("rb") as file:
            return file.read(MAGIC_AT + len(MAGIC)).endswith(MAGIC)
    except OSError:
        return False


def first_header(path: Path) -> Any:  # noqa: ANN401  (pydicom's Dataset)
    """Return the header of the first image of a series.

    Raises:
        ScanError: If there is no DICOM image, or more than one series.
    """
    return one_series(path, list(headers_of(path)))[0][1]


def _mask_on(path: Path, shape: tuple[int, ...], affine: np.ndarray) -> np.ndarray:
    """Bring a NIfTI mask that lies on the series' voxels into their order."""
    from uqrestore.scans.nifti import read_voxels

    values, place = read_voxels(path)
    theirs, ours = nearest_ras(place), nearest_ras(affine)
    same = values.ndim == 3 and sorted(values.shape) == sorted(shape)
    if same:
        here = ours.apply_to_grid(Grid((shape[0], shape[1], shape[2]), affine))
        there = theirs.apply_to_grid(Grid(values.shape[:3], place))
        same = here.shape == there.shape and np.allclose(here.affine, there.affine, atol=1e-2)
    if not same:
        raise ScanError(
            f"{printable(path.name)}: lies on another grid than the series; give a mask on the "
            "series' own voxels."
        )
    return ours.undo(theirs.apply(values))


def _unit(header: Any) -> str:  # noqa: ANN401
    said = printable(str(header.get("RescaleType", "") or ""))
    if header.get("Modality") == "CT" and said in {"", "HU", "US"}:
        return "HU"
    return said if said not in {"", "US"} else "a.u."
