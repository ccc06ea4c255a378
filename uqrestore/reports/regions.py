"""Regions of interest: their posterior, and where the posterior is widest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from uqrestore.intervals import central_interval
from uqrestore.posterior.errors import PosteriorError
from uqrestore.posterior.open import read_placement
from uqrestore.reports.contents import Contents

SPOTS = 3
SPOT_PERCENTILE = 97.0
LEAST_PIXELS = 4

Mask = Bool[np.ndarray, "z y x"]


@dataclass(frozen=True, eq=False)
class Region:
    """The posterior of the mean over a region.

    Attributes:
        name: For people.
        voxels: Of the slices shown.
        millilitres: Their volume.
        slice: Position among the slices shown where most of it lies.
        position: Its middle there: x, y, z in mm.
        values: Mean over the region, of every draw.
        truth: Of the reference image, if there is one.
        above: Share of draws whose mean exceeds a threshold, if one was asked about.
    """

    name: str
    voxels: int
    millilitres: float
    slice: int
    position: tuple[float, float, float]
    values: Float[np.ndarray, " draw"]
    truth: float | None
    above: float | None

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
    def half_width(self) -> float:
        """Half of the interval."""
        low, high = self.interval
        return (high - low) / 2


def find_spots(contents: Contents) -> dict[str, Mask]:
    """Return the largest patches of high spread inside the mask, each within one slice."""
    from scipy.ndimage import label, uniform_filter

    std, mask = contents.maps["std"], contents.mask
    if not mask.any() or not np.isfinite(std).all():
        return {}
    smooth = np.stack([uniform_filter(image, size=3) for image in std])
    high = mask & (smooth > np.percentile(smooth[mask], SPOT_PERCENTILE))
    found: list[tuple[float, Mask]] = []
    for k in range(len(std)):
        found_here: Any = label(high[k])
        labels = np.asarray(found_here[0])
        for index in range(1, int(labels.max()) + 1):
            patch = labels == index
            if patch.sum() >= LEAST_PIXELS:
                region = np.zeros(std.shape, bool)
                region[k] = patch
                found.append((float(std[region].sum()), region))
    found.sort(key=lambda item: -item[0])
    chosen: list[Mask] = []
    for _, region in found:
        # One patch a place: the neighbour slice of a patch already chosen says nothing new.
        if not any((region.any(0) & other.any(0)).any() for other in chosen):
            chosen.append(region)
        if len(chosen) == SPOTS:
            break
    return {f"widest spot {letter}": m for letter, m in zip("abc", chosen, strict=False)}


def default_regions(contents: Contents) -> dict[str, Mask]:
    """Return the object, its left and right half, and the spots of widest posterior."""
    mask = contents.mask
    whole = {"inside the mask" if contents.has_mask else "whole image": mask}
    middle = float(contents.x.mean())
    left, right = contents.x < middle, contents.x >= middle
    halves = {"left half": mask & left, "right half": mask & right}
    return {n: m for n, m in {**whole, **halves, **find_spots(contents)}.items() if m.any()}


def labelled_regions(contents: Contents, labels: Path) -> dict[str, Mask]:
    """Return the regions of a label volume, brought from the scan's own grid to the slices.

    Args:
        contents: Of the posterior file.
        labels: NIfTI of whole numbers, on the grid of the scan that was restored.

    Raises:
        PosteriorError: If it does not lie on that grid, or holds no label in these slices.
    """
    import nibabel

    placement = read_placement(contents.path)
    image = nibabel.load(labels)  # pyright: ignore[reportPrivateImportUsage]
    values = np.asarray(image.dataobj)  # pyright: ignore[reportAttributeAccessIssue]
    affine = image.affine  # pyright: ignore[reportAttributeAccessIssue]
    native = placement.native
    if values.shape != native.shape or not np.allclose(affine, native.affine, atol=1e-3):
        raise PosteriorError(
            f"{labels}: does not lie on the grid of the scan (shape {native.shape}), but has shape "
            f"{values.shape} or another affine; draw the labels on the scan that was restored."
        )
    numbers = np.unique(values[values != 0]).astype(int)
    regions = {}
    for number in numbers.tolist():
        region = _to_model(contents, values == number)
        if region.any():
            regions[f"label {number}"] = region
    if not regions:
        raise PosteriorError(f"{labels}: none of its {len(numbers)} labels lies in these slices.")
    return regions


def measure_regions(
    contents: Contents,
    regions: Mapping[str, Mask],
    draws: Sequence[int],
    *,
    threshold: float | None = None,
) -> list[Region]:
    """Return the posterior of the mean of every region, reading each draw once."""
    values = {name: np.empty(len(draws)) for name in regions}
    for row, index in enumerate(draws):
        draw = contents.draw(index)
        for name, region in regions.items():
            values[name][row] = draw[region].mean()
    voxel = abs(float(np.linalg.det(contents.affine[:3, :3]))) / 1000
    truth = contents.maps.get("truth")
    found = []
    for name, region in regions.items():
        k = int(region.sum(axis=(1, 2)).argmax())
        rows, columns = np.nonzero(region[k])
        middle = (
            float(contents.x[columns].mean()),
            float(contents.y[rows].mean()),
            float(contents.z[k]),
        )
        above = None if threshold is None else float((values[name] > threshold).mean())
        found.append(
            Region(
                name=name,
                voxels=int(region.sum()),
                millilitres=int(region.sum()) * voxel,
                slice=k,
                position=middle,
                values=values[name],
                truth=None if truth is None else float(truth[region].mean()),
                above=above,
            )
        )
    return found


def _to_model(contents: Contents, native: Bool[np.ndarray, "_ _ _"]) -> Mask:
    """Bring a mask from the grid of the scan's file to the slices, by nearest voxel."""
    placement = read_placement(contents.path)
    indices = _model_indices(contents)
    position = indices @ contents.affine[:3, :3].T + contents.affine[:3, 3]
    inverse = np.linalg.inv(placement.native.affine)
    place = np.rint(position @ inverse[:3, :3].T + inverse[:3, 3]).astype(int)
    inside = np.all((place >= 0) & (place < native.shape), axis=-1)
    place = np.where(inside[..., None], place, 0)
    flat = np.ravel_multi_index(tuple(np.moveaxis(place, -1, 0)), native.shape)
    return inside & native.ravel()[flat]


def _model_indices(contents: Contents) -> Int[np.ndarray, "z y x 3"]:
    z, y, x = np.meshgrid(
        contents.slices, np.arange(len(contents.y)), np.arange(len(contents.x)), indexing="ij"
    )
    return np.stack([x, y, z], axis=-1)
