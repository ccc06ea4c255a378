"""Scans in calibrated units, such as the Hounsfield units of CT."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool

from uqrestore.scans.errors import ScanError
from uqrestore.scans.scan import Intensity, Scan, join_notes

EMPTY = 0.25
"""Share of the range below which there is no tissue: -500 HU of -1000 ... 1000."""


@dataclass(frozen=True)
class FixedScale:
    """Calibrated range of values that a prior was trained on.

    Attributes:
        low: Value that is -1 in network units, such as -1000 (HU).
        high: Value that is 1 in network units.
        unit: Name of the unit of ``low`` and ``high``.
    """

    low: float
    high: float
    unit: str


def on_fixed_scale(scan: Scan, scale: FixedScale | Mapping[str, Any] | None) -> Scan:
    """Give a scan the scale of a prior that was trained in calibrated units.

    A magnitude image is scaled by its own brightest tissue; HU are not. Values outside the range,
    such as metal, are clipped to it, as in training, and the note states how many. Without a given
    mask the mask is the body: the largest part that is not air, with all that it encloses.

    Args:
        scan: In patient order.
        scale: Of the prior, or ``range`` of its card as plain data; None leaves the scan as it is.

    Raises:
        ScanError: If the values are in another unit, or cannot be in this one: nothing in the scan
            is empty.
    """
    if scale is None:
        return scan
    if isinstance(scale, Mapping):
        scale = FixedScale(float(scale["low"]), float(scale["high"]), str(scale["unit"]))
    low, high, unit = scale.low, scale.high, scale.unit
    if scan.intensity.unit not in ("a.u.", unit):
        raise ScanError(
            f"{scan.source.name}: its values are in {scan.intensity.unit}, the prior's in {unit}; "
            f"export it in {unit}, or choose a prior without a fixed range."
        )
    empty = low + EMPTY * (high - low)
    darkest, brightest = float(scan.voxels.min()), float(scan.voxels.max())
    if not darkest < empty < brightest:
        raise ScanError(
            f"{scan.source.name}: its values from {darkest:g} to {brightest:g} are not in {unit}, "
            f"where air is {low:g}; apply the rescale slope and intercept of the scanner first."
        )
    voxels = np.clip(scan.voxels, low, high)
    share = float((voxels != scan.voxels).mean())
    clipped = f"{100 * share:.2g} % of the voxels cut to {low:g} ... {high:g} {unit}"
    return replace(
        scan,
        voxels=voxels,
        mask=scan.mask if scan.source.given_mask else body(voxels > empty),
        intensity=Intensity.from_range(low, high, unit),
        source=replace(scan.source, note=join_notes(scan.source.note, clipped if share else "")),
    )


def body(tissue: Bool[np.ndarray, "x y z"]) -> Bool[np.ndarray, "x y z"]:
    """Return the body: the largest part that is not air, lungs and bowel filled, no table."""
    from scipy.ndimage import binary_fill_holes, binary_opening, label

    solid = np.stack(
        [np.asarray(binary_fill_holes(tissue[:, :, k])) for k in range(tissue.shape[2])], -1
    )
    apart = binary_opening(solid, np.ones((3, 3, 1)))  # the table touches clothes
    parts, count = label(apart if apart.any() else solid)  # type: ignore[misc]
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    return parts == 1 + int(np.argmax(sizes[1:]))
