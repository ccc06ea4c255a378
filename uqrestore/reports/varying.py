"""What can vary in each region of a report: principal components of the draws inside it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from uqrestore.posterior.regional_components import RegionComponents, region_components
from uqrestore.reports.contents import Contents
from uqrestore.reports.regions import Region, Voxels

COUNT = 2
"""Components of a region; a third seldom holds enough to be named."""
MOST = 12
"""Regions with pictures: more would fill the page, and the numbers of all are in the table."""
FEWEST_DRAWS, FEWEST_PIXELS = 8, 4
LARGEST = 0.25
"""Share of the object in a slice above which a region is no structure but half of the image."""


@dataclass(frozen=True, eq=False)
class Varying:
    """Components of a region, in the slice where most of it lies.

    Attributes:
        name: Name of the region.
        slice: Position among the slices shown.
        mean: Mean of the draws of the slice.
        found: Its components.
        truth: Coefficients of the reference, in standard deviations; None without one.
    """

    name: str
    slice: int
    mean: Float[np.ndarray, "y x"]
    found: RegionComponents
    truth: Float[np.ndarray, " component"] | None

    def to_data(self) -> dict[str, Any]:
        """Return plain values for JSON; standard deviations are in the unit of the file."""
        return {
            "region": self.name,
            "slice": self.slice,
            "explained": self.found.explained.tolist(),
            "std": self.found.std.tolist(),
            "truth": None if self.truth is None else self.truth.tolist(),
        }


def varying_regions(
    contents: Contents,
    regions: Sequence[Region],
    voxels: Mapping[str, Voxels],
    draws: Sequence[int],
) -> tuple[Varying, ...]:
    """Return the components of the first :data:`MOST` regions that are structures.

    Args:
        contents: The file.
        regions: Regions, with the slice where most of each lies.
        voxels: Voxels of each by name.
        draws: Draws that are written for every slice; few of them have no components.
    """
    if len(draws) < FEWEST_DRAWS:
        return ()
    chosen, size = [], contents.mask[0].size
    for region in regions:
        flat = voxels[region.name]
        inside = np.zeros(size, bool)
        inside[flat[flat // size == region.slice] % size] = True
        of_object = int(contents.mask[region.slice].sum())
        if inside.sum() >= FEWEST_PIXELS and inside.sum() <= LARGEST * of_object:
            chosen.append((region, inside.reshape(contents.mask.shape[1:])))
    chosen = chosen[:MOST]
    slices = sorted({region.slice for region, _ in chosen})
    # Each draw is read once, however many regions a slice has.
    read = [contents.draw(index, slices) for index in draws]
    values = {at: np.stack([one[k] for one in read]) for k, at in enumerate(slices)}
    return tuple(
        _varying(contents, region, inside, values[region.slice]) for region, inside in chosen
    )


def _varying(
    contents: Contents, region: Region, inside: np.ndarray, values: Float[np.ndarray, "draw y x"]
) -> Varying:
    found, mean = region_components(values, inside, COUNT), values.mean(0, dtype=np.float64)
    truth = contents.maps.get("truth")
    along = None if truth is None else found.of(truth[region.slice], mean)
    return Varying(region.name, region.slice, mean, found, along)
