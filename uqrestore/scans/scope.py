"""Comparison of a scan with the training data of a prior: a verdict from the scan's own voxels."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from uqrestore.scans.scan import Scan

LARGEST_BRAIN_CM2 = 230.0  # an adult's largest axial brain section is 150-190, a head's 300-400
SMALLEST_BRAIN_CM2 = 20.0  # a child's is above 80; a slab of the vertex shows less
STRIPPED_BACKGROUND = 0.2  # a stripped scan is background over far more of its box than this
FEWEST_PIXELS = 8  # across what a scan shows, on both axes of a slice
THICKEST_MM, THICKEST = 6.0, 2.0  # of a slice: in mm, or in pixels of the prior
TILT_DEGREES = 20.0  # above, "axial" slices are another anatomy
ANY = "any"
"""Contrast of a prior that was trained with random grey scales."""
PLANES = {side: plane for plane, sides in
          (("sagittal", "RL"), ("coronal", "AP"), ("axial", "SI")) for side in sides}  # fmt: skip
"""Plane of slices that follow one another towards a side of the patient."""
RIM_MM, CORE_MM = (2.0, 7.0), 14.0  # cortex and its CSF; deep white matter


@dataclass(frozen=True)
class TrainingDomain:
    """Kind of scan that a prior was trained on; what is None is not known, and not judged.

    Attributes:
        voxel_size: Size of a pixel in mm, one number or one a side; a third number is the
            distance of slices.
        contrast: Such as ``T1w``; ``any`` where grey scales were random.
        skull_stripped: Whether the training scans hold the brain alone.
        planes: Planes of the slices; axial where a card says nothing.
        voxel_range: Smallest and largest size of a pixel in mm, for a prior of many sizes.
    """

    voxel_size: float | tuple[float, ...] | None = None
    contrast: str | None = None
    skull_stripped: bool | None = None
    planes: tuple[str, ...] = ("axial",)
    voxel_range: tuple[float, float] | None = None

    @property
    def unknown(self) -> str:
        """Fields that a verdict of in scope needs and that are not known, as text."""
        size = self.voxel_range if self.voxel_size is None else self.voxel_size
        missing = {"pixel size": size, "contrast": self.contrast}
        return " and ".join(name for name, value in missing.items() if value is None)


@dataclass(frozen=True)
class Verdict:
    """Whether a scan is of the kind a prior was trained on.

    Attributes:
        in_scope: False if any finding speaks against it; None if too little is known of the
            prior to tell.
        findings: One sentence each: what was wanted and what was found, or what is not known.
    """

    in_scope: bool | None
    findings: tuple[str, ...] = ()

    def to_data(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {"in_scope": self.in_scope, "findings": list(self.findings)}

    @classmethod
    def from_data(cls, data: object) -> "Verdict":
        """Undo :meth:`to_data`, of a file that anybody may have written.

        Raises:
            ValueError: If it is no verdict.
        """
        if isinstance(data, Mapping):
            state, findings = data.get("in_scope", ""), data.get("findings", [])
            if (state is None or isinstance(state, bool)) and isinstance(findings, list | tuple):
                return cls(state, tuple(map(str, findings)))
        raise ValueError("the file's scope is no verdict on a scan.")

    def with_findings(self, *findings: str) -> "Verdict":
        """Return the verdict with further findings against the scan."""
        if not findings:
            return self
        return Verdict(False, (*(self.findings if self.in_scope is False else ()), *findings))

    @property
    def summary(self) -> str:
        """Short text of the verdict and its findings."""
        state = {True: "in scope", False: "OUT OF SCOPE", None: "scope unknown"}[self.in_scope]
        return f"{state}: {'; '.join(self.findings)}" if self.findings else state

    def __str__(self) -> str:
        state, _, findings = self.summary.partition(": ")
        verdict = f"{state} of the model's training data"
        return f"{verdict}: {findings}" if findings else verdict


def check_scope(
    scan: Scan, domain: TrainingDomain | Mapping[str, Any], *, resampled: bool = False
) -> Verdict:
    """Compare a scan with what a prior was trained on.

    The skull and the contrast are judged by rules of thumb on mask and voxels (and a BIDS suffix
    in the name): they catch a whole head, a T2-weighted or an inverted scan, not a subtle one.

    Args:
        scan: In patient order, as it is restored: stripped where a mask was given.
        domain: What the prior was trained on, or its card as plain data.
        resampled: Whether the scan is brought to the model's voxel size; then only pixels
            larger than the model's speak against it, since detail cannot be resampled in.

    Returns:
        The verdict; it never raises, for a scan out of scope may still be restored knowingly.
    """
    if isinstance(domain, Mapping):
        names = (field.name for field in fields(TrainingDomain))
        known = {name: domain[name] for name in names if domain.get(name) is not None}
        domain = TrainingDomain(**known)
    findings = [*_size_findings(scan, domain.voxel_size, resampled), *_extent_findings(scan)]
    findings += _range_findings(scan, domain.voxel_range)
    if domain.skull_stripped is not None:
        findings += _head_findings(scan, stripped=domain.skull_stripped)
    if domain.contrast and domain.contrast != ANY:
        findings += _contrast_findings(scan, domain.contrast)
    plane = PLANES[scan.grid.directions[2]]
    if scan.grid.tilt > TILT_DEGREES:
        findings.append(f"slices are tilted by {scan.grid.tilt:.0f} degrees from {plane}")
    if plane not in domain.planes:
        findings.append(f"slices are {plane}, the model's {' or '.join(domain.planes)}")
    if scan.source.format == "NIfTI" and scan.source.space_code == 0:
        findings.append("the file states no orientation, so left and right cannot be trusted")
    if findings:
        return Verdict(False, tuple(findings))
    if domain.unknown:
        return Verdict(None, (f"the prior's card does not state its {domain.unknown}",))
    return Verdict(True)


def _size_findings(
    scan: Scan, size: float | tuple[float, ...] | None, resampled: bool
) -> list[str]:
    if size is None:
        return []
    findings = []
    wanted = np.broadcast_to(np.asarray(size, np.float64), np.shape(size) or (2,))
    pixel = wanted[:2]
    excess = np.asarray(scan.spacing[:2]) / pixel - 1
    if excess.max() > 0.05 or (excess.min() < -0.05 and not resampled):
        findings.append(
            f"pixels are {scan.spacing[0]:.3g} x {scan.spacing[1]:.3g} mm, "
            f"the model's {pixel[0]:g} x {pixel[1]:g} mm"
        )
    limit = 1.05 * wanted[2] if len(wanted) > 2 else max(THICKEST_MM, THICKEST * pixel.max())
    if scan.spacing[2] > limit:
        findings.append(
            f"slices lie {scan.spacing[2]:.3g} mm apart, more than the {limit:.3g} mm of the "
            "model's training data"
        )
    return findings


def _range_findings(scan: Scan, span: tuple[float, float] | None) -> list[str]:
    if (
        span is None
        or 0.95 * span[0] <= min(scan.spacing[:2]) <= max(scan.spacing[:2]) <= 1.05 * span[1]
    ):
        return []
    return [
        f"pixels are {scan.spacing[0]:.3g} x {scan.spacing[1]:.3g} mm, the model's {span[0]:g} to "
        f"{span[1]:g} mm"
    ]


def _extent_findings(scan: Scan) -> list[str]:
    """Judge whether there is an image at all: not one voxel, and not a line."""
    sides = [int(np.ptp(np.flatnonzero(scan.mask.any(axis=axes)))) + 1 for axes in ((1, 2), (0, 2))]
    if min(sides) >= FEWEST_PIXELS:
        return []
    return [f"what it shows is {sides[0]} x {sides[1]} pixels, too little to be an image"]


def _head_findings(scan: Scan, *, stripped: bool) -> list[str]:
    """Judge by the mask whether there is a skull; coils that measure a person always see it."""
    area = float(scan.mask.sum(axis=(0, 1)).max()) * scan.spacing[0] * scan.spacing[1] / 100
    background = 1 - float(scan.mask.mean())
    measured = scan.source.format == "k-space"
    skull = ""
    if not measured and background < STRIPPED_BACKGROUND:
        skull = f"only {100 * background:.0f} % of its voxels are plain background"
    elif area > LARGEST_BRAIN_CM2:
        skull = f"its largest section is {area:.0f} cm2, too large for a brain"
    if stripped and skull:
        return [f"the model wants a skull-stripped scan, but {skull}"]
    if area < SMALLEST_BRAIN_CM2:
        return [f"its largest section is {area:.2g} cm2, too small for a head or a brain"]
    if not stripped and not skull and not measured:
        return ["the model wants the whole head, but the scan is skull-stripped"]
    return []


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
    least = np.finfo(np.float32).tiny
    return float(np.median(values[core]) / max(float(np.median(values[rim])), least))
