"""Volumes as text inside a page: quantised, compressed, base64, as many as fit."""

import base64
import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from uqrestore.reports.contents import Contents

BUDGET = 8_000_000
"""Bytes of arrays before compression; with the viewer and the text a page stays below 15 MB."""

MOST_COMPONENTS = 8
MOST_DRAWS = 16


@dataclass(frozen=True, eq=False)
class Packed:
    """An array as it stands in the page: ``value = offset + scale * integer``."""

    shape: tuple[int, ...]
    offset: float
    scale: float
    dtype: str
    text: str

    def header(self, factor: float = 1.0) -> dict[str, Any]:
        """Return what the page needs to read the text as values times ``factor``."""
        return {
            "shape": self.shape,
            "offset": self.offset * factor,
            "scale": self.scale * factor,
            "dtype": self.dtype,
        }


@dataclass(frozen=True, eq=False)
class Shown:
    """Part of a posterior that is in the page.

    Attributes:
        slices: Positions of the slices, among those of the contents.
        draws: Indices of the draws.
        components: Number of components.
        arrays: Arrays by name.
    """

    slices: tuple[int, ...]
    draws: tuple[int, ...]
    components: int
    arrays: Mapping[str, Packed]


def pack(values: Float[np.ndarray, "..."], dtype: str = "u2") -> Packed:
    """Quantise over the range of an array; the error is at most half a step of it."""
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    steps = 255 if dtype == "u1" else 65535
    scale = (high - low) / steps or 1.0
    integers = np.rint((values.astype(np.float64) - low) / scale).astype(f"<{dtype}")
    text = base64.b64encode(gzip.compress(integers.tobytes(), 4, mtime=0)).decode()
    return Packed(values.shape, low, scale, dtype, text)


def choose(contents: Contents) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    """Return the slices, draws and components that fit into a page.

    Draws give way first (to four), then slices, evenly.
    """
    slices, rows, columns = contents.maps["mean"].shape
    components = min(len(contents.component_std), MOST_COMPONENTS)
    draws = contents.draws[:MOST_DRAWS]
    fixed = 2 * (len(contents.maps) + components + (contents.phase is not None))
    pixels = rows * columns
    while len(draws) > 4 and slices * pixels * (fixed + len(draws)) > BUDGET:
        draws = draws[:-1]
    fit = max(1, BUDGET // (pixels * (fixed + len(draws))))
    if slices <= fit:
        return tuple(range(slices)), draws, components
    places = (np.arange(fit) + 0.5) / fit * slices
    return tuple(int(place) for place in places), draws, components


def embed(contents: Contents) -> Shown:
    """Pack what the page shows."""
    slices, draws, components = choose(contents)
    at = list(slices)
    arrays = {name: pack(values[at]) for name, values in contents.maps.items()}
    if contents.phase is not None:
        arrays["phase"] = pack(contents.phase[at])
    arrays["mask"] = pack(contents.mask[at].astype(np.float32), "u1")
    # Component by component: each keeps its own range, so a weak one is not rounded away.
    directions = contents.directions(at)
    for k in range(components):
        arrays[f"pc{k}"] = pack(directions[k])
    for j in draws:
        arrays[f"draw{j}"] = pack(contents.draw(j, at), "u1")
    return Shown(slices, draws, components, arrays)


def component_scores(contents: Contents, shown: Shown) -> Float[np.ndarray, "draw component z"]:
    """Return where each draw in the page lies along the components, in standard deviations."""
    at = list(shown.slices)
    directions = contents.direction_images(at)[: shown.components].astype(np.float64)
    std = contents.component_std[: shown.components, at]
    scores = np.zeros((len(shown.draws), shown.components, len(at)))
    mean = contents.mean_images(at)
    for row, index in enumerate(shown.draws):
        change = contents.draw_images(index, at) - mean
        along = np.einsum("kzcyx,zcyx->kz", directions, change)
        scores[row] = np.divide(along, std, out=np.zeros_like(along, float), where=std > 0)
    return scores
