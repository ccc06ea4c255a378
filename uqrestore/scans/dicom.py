"""DICOM series: read into a Scan, or refused by name; nothing personal is kept."""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from uqrestore.scans.checksum import input_sha256, printable
from uqrestore.scans.dicom_files import series_images
from uqrestore.scans.dicom_frames import Frame, frames_of
from uqrestore.scans.dicom_header import parsing
from uqrestore.scans.dicom_mosaic import refuse_mosaic
from uqrestore.scans.dicom_stack import parallel, steps
from uqrestore.scans.dicom_volumes import one_volume
from uqrestore.scans.errors import ScanError
from uqrestore.scans.grid import Affine, Grid, nearest_ras
from uqrestore.scans.memory import check_memory
from uqrestore.scans.scan import Scan, Source, join_notes, scan_from_array

KEPT_TAGS = ("Modality", "BodyPartExamined", "Laterality", "FrameOfReferenceUID")
"""All that is kept of a header beside geometry and units; free text can name people."""

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def read_dicom(
    path: Path, *, mask: Path | None = None, volume: int | None = None, allow_gaps: bool = False
) -> Scan:
    """Read one series: a folder of classic images, or enhanced multi-frame files.

    Padding counts as background: it gets the darkest value of the images.

    Args:
        path: Folder of one series, or one file.
        mask: The brain mask as NIfTI, on the voxel grid of the series; any axis order.
        volume: Which volume, from 0, where there are several images at every place.
        allow_gaps: Fill missing slices with the darkest value, outside the mask, rather than
            refuse the series.

    Returns:
        The scan, in the units of its modality transform; its source keeps the tags of
        ``KEPT_TAGS`` alone.

    Raises:
        ScanError: If there is no DICOM image, more than one series, orientation or size, a slice
            is missing, the spacing is irregular, volumes cannot be separated, or the values
            cannot be decoded or have no clear meaning.
    """
    images, left_out = series_images(path)
    frames = [frame for name, header in images for frame in frames_of(name, header)]
    refuse_mosaic(images, frames)
    tags = _tags(images[0][1])
    frames, chosen = one_volume(parallel(frames), volume)
    step, places = steps(frames, allow_gaps)
    voxels, filled = _stacked(frames, places)
    affine = _affine(frames[0], step)
    source = Source(
        name=f"{tags['Modality'] or 'DICOM'} series of {len(frames)} images",
        format="DICOM",
        sha256=input_sha256(path),
        mask_sha256="" if mask is None else input_sha256(mask),
        volume=volume,
        note=join_notes(chosen, filled, left_out),
        tags=tuple(tags.items()),
    )
    inside = None if mask is None else _mask_on(mask, voxels.shape, affine)
    unit = frames[0].pixels.unit
    return scan_from_array(voxels, affine, source=source, mask=inside, unit=unit)


def first_header(path: Path) -> Any:  # noqa: ANN401  (pydicom's Dataset)
    """Return the header of the first image of a series.

    Raises:
        ScanError: If there is no DICOM image, or more than one series.
    """
    return series_images(path)[0][0][1]


def _stacked(frames: list[Frame], places: list[int]) -> tuple[np.ndarray, str]:
    """Return the voxels (column, row, slice), and a note on those that had no value."""
    shape = (*frames[0].pixels.values.shape[::-1], places[-1] + 1)
    check_memory(20 * int(np.prod(shape)), frames[0].file, "the stack of slices")
    voxels, known = np.zeros(shape, np.float64), np.zeros(shape, bool)
    for place, frame in zip(places, frames, strict=True):
        voxels[:, :, place] = frame.pixels.values.T
        known[:, :, place] = ~frame.pixels.padding.T
    if not known.any():
        raise ScanError(f"{frames[0].file}: every pixel of the series is padding.")
    voxels[~known] = np.min(voxels[known])
    missing = shape[2] - len(frames)
    padding = sum(int(frame.pixels.padding.sum()) for frame in frames)
    return voxels, join_notes(
        f"missing slices left dark: {missing}" if missing else "",
        f"{100 * padding / known.size:.2g} % of the voxels are padding, set to the darkest value"
        if padding
        else "",
    )


def _affine(first: Frame, step: Float[np.ndarray, " 3"]) -> Affine:
    affine = np.eye(4)
    affine[:3, 0] = first.across * first.pixel[1]
    affine[:3, 1] = first.down * first.pixel[0]
    affine[:3, 2], affine[:3, 3] = step, first.position
    return LPS_TO_RAS @ affine


def _tags(header: Any) -> dict[str, str]:  # noqa: ANN401
    with parsing("the series"):
        return {name: printable(str(header.get(name, ""))) for name in KEPT_TAGS}


def _mask_on(path: Path, shape: tuple[int, ...], affine: Affine) -> np.ndarray:
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
            f"{path.name}: lies on another grid than the series; give a mask on the series' own "
            "voxels."
        )
    return ours.undo(theirs.apply(values))
