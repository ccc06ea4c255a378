"""Is this a scan the model was trained for? A verdict, from the scan's own voxels."""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from uqrestore.scans.scan import Scan

LARGEST_BRAIN_CM2 = 230.0  # an adult's largest axial brain section is 150-190, a head's 300-400
STRIPPED_BACKGROUND = 0.2  # a stripped scan is zero over far more of its box than this
TILT_DEGREES = 20.0  # above, "axial" slices are another anatomy
RIM_MM, CORE_MM = (2.0, 7.0), 14.0  # cortex and its CSF; deep white matter


@dataclass(frozen=True)
class TrainingDomain:
    """Kind of scan that a prior was trained on; what is None is not known, and not judged.

    Attributes:
        voxel_size: In-plane size of a pixel in mm, one number or one a side.
        contrast: Such as ``T1w``.
        skull_stripped: Whether the training scans hold the brain alone.
    """

    voxel_size: float | tuple[float, ...] | None = None
    contrast: str | None = None
    skull_stripped: bool | None = None


@dataclass(frozen=True)
class Verdict:
    """Whether a scan is of the kind a model was trained on.

    Attributes:
        in_scope: False if any finding speaks against it.
        findings: One sentence each: what was wanted, what was found.
    """

    in_scope: bool
    findings: tuple[str, ...] = ()

    def to_data(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {"in_scope": self.in_scope, "findings": list(self.findings)}

    def __str__(self) -> str:
        if self.in_scope:
            return "in scope of the model's training data"
        return "OUT OF SCOPE of the model's training data: " + "; ".join(self.findings)


def check_scope(scan: Scan, domain: TrainingDomain, *, resampled: bool = False) -> Verdict:
    """Compare a scan with what a prior was trained on.

    The skull and the contrast are judged by rules of thumb on the voxels (and a BIDS suffix in
    the name): they catch a whole head, a T2-weighted or an inverted scan, not a subtle one.

    Args:
        scan: In patient order.
        domain: What the prior was trained on.
        resampled: Whether the scan is brought to the model's voxel size; then only pixels
            larger than the model's speak against it, since detail cannot be resampled in.

    Returns:
        The verdict; it never raises, for a scan out of scope may still be restored knowingly.
    """
    findings = []
    if (size := domain.voxel_size) is not None:
        wanted = np.broadcast_to(np.asarray(size, np.float64), np.shape(size) or (2,))[:2]
        excess = np.asarray(scan.spacing[:2]) / wanted - 1
        if excess.max() > 0.05 or (excess.min() < -0.05 and not resampled):
            findings.append(
                f"pixels are {scan.spacing[0]:.3g} x {scan.spacing[1]:.3g} mm, "
                f"the model's {wanted[0]:g} x {wanted[1]:g} mm"
            )
    if (stripped := domain.skull_stripped) is not None:
        skull = _skull(scan)
        if stripped and skull:
            findings.append(f"the model wants a skull-stripped scan, but {skull}")
        if not stripped and not skull:
            findings.append("the model wants the whole head, but the scan is skull-stripped")
    if domain.contrast:
        findings += _contrast_findings(scan, domain.contrast)
    if scan.grid.tilt > TILT_DEGREES:
        findings.append(f"slices are tilted by {scan.grid.tilt:.0f} degrees from axial")
    if scan.source.format == "NIfTI" and scan.source.space_code == 0:
        findings.append("the file states no orientation, so left and right cannot be trusted")
    return Verdict(not findings, tuple(findings))


def _skull(scan: Scan) -> str:
    """Say why the scan seems to hold more than a brain; empty if it does not."""
    above = scan.voxels > scan.voxels.min()
    background = 1 - above.mean()
    if background < STRIPPED_BACKGROUND:
        return f"only {100 * background:.0f} % of its voxels are plain background"
    from scipy.ndimage import binary_fill_holes

    pixel_cm2 = scan.spacing[0] * scan.spacing[1] / 100
    largest = above[:, :, int(above.sum(axis=(0, 1)).argmax())]
    area = float(np.asarray(binary_fill_holes(largest)).sum()) * pixel_cm2
    if area > LARGEST_BRAIN_CM2:
        return f"its largest section is {area:.0f} cm2, too large for a brain"
    return ""


def _contrast_findings(scan: Scan, wanted: str) -> list[str]:
    named = re.search(r"_(T1w|T2w|PDw|FLAIR|T2starw|bold|dwi|CT)\b", scan.source.name, re.I)
    if named and named[1].lower() != wanted.lower():
        return [f"the file's name says {named[1]}, the model was trained on {wanted}"]
    ratio = _core_to_rim(scan)
    if wanted.lower() == "t1w" and ratio is not None and ratio < 1:
        return [
            f"deep white matter is darker than the cortex (ratio {ratio:.2f}), "
            f"which is not {wanted}"
        ]
    return []


def _core_to_rim(scan: Scan) -> float | None:
    """Return the median of the brain's core over that of its rim; None if there is no core."""
    from scipy.ndimage import distance_transform_edt

    # The ends of a slab are cuts, not rims: measure depth within each slice.
    depth = np.stack(
        [
            np.asarray(distance_transform_edt(scan.mask[:, :, k], sampling=scan.spacing[:2]))
            for k in range(scan.mask.shape[2])
        ],
        axis=-1,
    )
    core, rim = depth > CORE_MM, (depth > RIM_MM[0]) & (depth < RIM_MM[1])
    if core.sum() < 100 or rim.sum() < 100:
        return None
    values = scan.voxels - scan.voxels.min()
    return float(np.median(values[core]) / max(float(np.median(values[rim])), 1e-12))
