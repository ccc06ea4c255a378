"""Geometry of a stack of DICOM images: parallel, regularly spaced, or refused."""

from collections.abc import Iterable

import numpy as np

from uqrestore.scans.dicom_frames import Frame, Vector
from uqrestore.scans.dicom_volumes import SAME_PLACE_MM
from uqrestore.scans.errors import ScanError

SAME_STEP = 0.01  # of the distance of two slices


def parallel(frames: list[Frame]) -> list[Frame]:
    """Sort images along their normal.

    Raises:
        ScanError: If they are turned against each other, or differ in size.
    """
    first = frames[0]
    for frame in frames:
        turned = max(
            np.abs(frame.across - first.across).max(), np.abs(frame.down - first.down).max()
        )
        if turned > 1e-3:
            raise ScanError(
                f"{first.file} and {frame.file} are turned against each other; a scan is a stack "
                "of parallel slices. Is this a localiser?"
            )
        ours, theirs = first.pixels.values.shape, frame.pixels.values.shape
        if ours != theirs or not np.allclose(frame.pixel, first.pixel):
            raise ScanError(
                f"{first.file} has {ours} pixels of {first.pixel} mm but {frame.file} {theirs} of "
                f"{frame.pixel} mm; they are not one scan. Give the folder of one series."
            )
    return sorted(frames, key=lambda frame: frame.depth)


def steps(frames: list[Frame], allow_gaps: bool) -> tuple[Vector, list[int]]:
    """Return the vector from slice to slice, and the number of the slice of every image.

    Raises:
        ScanError: If the spacing is irregular, or slices are missing and must not be.
    """
    first = frames[0]
    normal = np.cross(first.across, first.down)
    if len(frames) == 1:
        return normal * first.thickness, [0]
    gaps = np.diff([frame.depth for frame in frames])
    usual = float(np.median(gaps))
    whole = np.maximum(np.rint(gaps / usual), 1).astype(int)
    places = [0, *np.cumsum(whole).tolist()]
    step = (frames[-1].position - first.position) / places[-1]
    off = [
        float(np.linalg.norm(frame.position - first.position - place * step))
        for place, frame in zip(places, frames, strict=True)
    ]
    if max(off) > max(SAME_PLACE_MM, SAME_STEP * usual):
        k, j = int(np.argmax(gaps)), int(np.argmin(gaps))
        raise ScanError(
            f"the slices are not regularly spaced: {_gap(frames, k, gaps)}, but "
            f"{_gap(frames, j, gaps)}; a voxel grid cannot hold them. Export one regular stack."
        )
    if places[-1] + 1 > len(frames) and not allow_gaps:
        k = int(np.argmax(gaps))
        count = places[-1] + 1 - len(frames)
        raise ScanError(
            f"{count} slice{'s are' if count > 1 else ' is'} missing: {_gap(frames, k, gaps)}, "
            f"where the others lie {usual:.3f} mm apart; copy the series again, or pass "
            "--allow-gaps to leave the place dark."
        )
    return step, places


def _gap(frames: list[Frame], k: int, gaps: Iterable[float]) -> str:
    distance = list(gaps)[k]
    return f"from {frames[k].file} to {frames[k + 1].file} it is {distance:.3f} mm"
