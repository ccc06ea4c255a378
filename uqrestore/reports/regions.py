"""Regions of interest: the posterior of their means, and where the posterior is widest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from uqrestore.posterior.intervals import central_interval
from uqrestore.reports.contents import Contents
from uqrestore.reports.stated import part

EXACT_METHOD = "exact"
REGIONS_NOT_CALIBRATED = (
    "Intervals of region means are not calibrated. Errors of neighbouring pixels go together, so "
    "intervals that hold for pixels can fail for means. Inside a mask drawn on the reference image "
    "the mean was 0.2 to 1.3 % too low in every person tried and never inside its interval, mostly "
    "because the reference chose the region; over the object in the posterior mean it was 0 to "
    "0.4 % too low. Do not use these intervals as error bars of a measurement."
)

SPOTS = 3
SPOT_PERCENTILE = 97.0
LEAST_PIXELS = 4

Voxels = Int[np.ndarray, " voxel"]
"""Flat indices into (z, y, x); a mask of the volume for each of many regions would fill memory."""


@dataclass(frozen=True, eq=False)
class Region:
    """The posterior of the mean over a region.

    Attributes:
        name: Name of the region.
        voxels: Number of its voxels in the slices shown.
        millilitres: Volume of these.
        slice: Position among the slices shown where most of it lies.
        position: Its middle there: x, y, z in mm.
        values: Mean over the region, of every draw.
        truth: Mean of the reference image, if there is one.
        above: Share of draws whose mean exceeds a threshold, if one was asked about.
        width: Half-width of the guaranteed interval, in standard deviations of the means of the
            draws; None without a guarantee.
    """

    name: str
    voxels: int
    millilitres: float
    slice: int
    position: tuple[float, float, float]
    values: Float[np.ndarray, " draw"]
    truth: float | None
    above: float | None
    width: float | None = None

    @property
    def estimate(self) -> float:
        """Mean of the draws."""
        return float(self.values.mean())

    @property
    def interval(self) -> tuple[float, float]:
        """Central interval of the draws, of the level next to 90 %."""
        low, high = central_interval(len(self.values)).of(self.values)
        return float(low), float(high)

    @property
    def guaranteed(self) -> tuple[float, float] | None:
        """Interval that a guarantee of region means gives; None without one."""
        if self.width is None:
            return None
        half = self.width * float(self.values.std(ddof=1))
        return self.estimate - half, self.estimate + half

    @property
    def half_width(self) -> float:
        """Half of the width of the interval."""
        low, high = self.interval
        return (high - low) / 2


def regions_warning(provenance: Mapping[str, Any]) -> str:
    """Return why intervals of region means cannot be relied on; empty for exact draws.

    Args:
        provenance: That of a posterior file.
    """
    method = part(part(provenance, "pipeline"), "method").get("name")
    return "" if method == EXACT_METHOD else REGIONS_NOT_CALIBRATED


def default_regions(contents: Contents) -> dict[str, Voxels]:
    """Return the object, its left and right half, and the spots of widest posterior.

    The mask of a file with a reference is drawn on it, and selects what is bright there: draws of
    an ideal sampler are too dark inside. The object in the mean is chosen without it.
    """
    mask = contents.mask
    left = contents.x < contents.x.mean()
    regions = {"inside the mask" if contents.has_mask else "whole image": np.flatnonzero(mask)}
    if contents.has_mask and "truth" in contents.maps and mask.any():
        mean = contents.maps["mean"]
        mask = mean > (float(mean.min()) + float(np.median(mean[mask]))) / 2
        regions["object in the mean"] = np.flatnonzero(mask)
    regions |= {
        "left half": np.flatnonzero(mask & left),
        "right half": np.flatnonzero(mask & ~left),
        **find_spots(contents),
    }
    return {name: voxels for name, voxels in regions.items() if len(voxels)}


def find_spots(contents: Contents) -> dict[str, Voxels]:
    """Return the largest patches of high spread inside the mask, each within one slice."""
    from scipy.ndimage import label, uniform_filter

    std, mask = contents.maps["std"], contents.mask
    if not mask.any():
        return {}
    smooth = np.stack([uniform_filter(image, size=3) for image in std])
    threshold = np.percentile(smooth[mask], SPOT_PERCENTILE)
    found: list[tuple[float, Voxels]] = []
    for k, image in enumerate(std):
        labelled: Any = label(mask[k] & (smooth[k] > threshold))
        labels = labelled[0].ravel()
        # Pixels sorted by patch, so that no patch needs a pass over the slice of its own.
        order = np.argsort(labels, kind="stable")
        ends = np.bincount(labels).cumsum()
        for patch in np.split(order, ends[:-1])[1:]:
            if len(patch) >= LEAST_PIXELS:
                total = float(image.ravel()[patch].sum(dtype=np.float64))
                found.append((total, k * image.size + patch))
    found.sort(key=lambda item: -item[0])
    chosen: list[Voxels] = []
    taken = np.zeros(std[0].size, bool)
    for _, voxels in found:
        # One patch a place: the neighbour slice of a patch already chosen says nothing new.
        pixels = voxels % std[0].size
        if not taken[pixels].any():
            chosen.append(voxels)
            taken[pixels] = True
        if len(chosen) == SPOTS:
            break
    return {f"widest spot {letter}": v for letter, v in zip("abc", chosen, strict=False)}


def measure_regions(
    contents: Contents,
    regions: Mapping[str, Voxels],
    draws: Sequence[int],
    *,
    threshold: float | None = None,
) -> list[Region]:
    """Return the posterior of the mean of every region, reading each draw once."""
    values = {name: np.empty(len(draws)) for name in regions}
    for row, index in enumerate(draws):
        draw = contents.draw(index).ravel()
        for name, voxels in regions.items():
            values[name][row] = draw[voxels].mean(dtype=np.float64)
    voxel = abs(float(np.linalg.det(contents.affine[:3, :3]))) / 1000
    truth, shape = contents.maps.get("truth"), contents.mask.shape
    found = []
    for name, voxels in regions.items():
        slices, rows, columns = np.unravel_index(voxels, shape)
        k = int(np.bincount(slices).argmax())
        here = slices == k
        middle = (
            float(contents.x[columns[here]].mean()),
            float(contents.y[rows[here]].mean()),
            float(contents.z[k]),
        )
        above = None if threshold is None else float((values[name] > threshold).mean())
        found.append(
            Region(
                name=name,
                voxels=len(voxels),
                millilitres=len(voxels) * voxel,
                slice=k,
                position=middle,
                values=values[name],
                truth=None if truth is None else float(truth.ravel()[voxels].mean(dtype=float)),
                above=above,
            )
        )
    return found
