"""Panels of figures: one map of a slice on one scale, its sides and a length marked."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from uqrestore.reports.window import top_of
from uqrestore.scans.grid import OPPOSITE, Affine, Grid

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Perceptually uniform, ordered in lightness, safe for colour-blind readers.
GREY, SPREAD, SIGNED, CYCLIC = "gray", "cividis", "PuOr_r", "twilight"

Slices = Float[np.ndarray, "z y x"]
Extent = tuple[float, float, float, float]
"""Edges of a slice in mm: left, right, posterior, anterior."""


@dataclass(frozen=True)
class Panel:
    """A map of every slice, on one scale.

    Attributes:
        title: Title over the panel.
        values: Map of all slices; the caller shows some.
        colours: Name of the colour map.
        low: Value of the lowest colour.
        high: Value of the highest colour.
        label: Label of the colour bar; panels with the same label share the scale.
    """

    title: str
    values: Slices
    colours: str
    low: float
    high: float
    label: str


def magnitude_panel(title: str, values: Slices, label: str) -> Panel:
    """Return a panel of values that begin at zero."""
    return Panel(title, values, SPREAD, 0.0, top_of(values), label)


def extent_of(x: Float[np.ndarray, " x"], y: Float[np.ndarray, " y"]) -> Extent:
    """Return the edges of a slice from the positions of its columns and rows in mm."""
    dx, dy = abs(x[1] - x[0]) / 2, abs(y[1] - y[0]) / 2
    return float(x[0] - dx), float(x[-1] + dx), float(y[0] - dy), float(y[-1] + dy)


def draw_panel(axes: "Axes", panel: Panel, at: int, extent: Extent) -> None:
    """Draw one slice of a panel."""
    axes.imshow(
        panel.values[at],
        cmap=panel.colours,
        vmin=panel.low,
        vmax=panel.high,
        origin="lower",  # row 0 is posterior (inferior), so anterior (superior) is up
        extent=extent,
        interpolation="nearest",
    )
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def sides_of(affine: Affine) -> tuple[str, str, str]:
    """Return letters of the patient's side at the left, at the right and on top of a slice."""
    right, top, _ = Grid((1, 1, 1), affine).directions
    return OPPOSITE[right], right, top


def mark_sides(axes: "Axes", sides: tuple[str, str, str], size: float = 7.0) -> None:
    """Write the patient's sides on a panel, and a scale of 50 mm.

    Args:
        axes: Axes of the panel.
        sides: Letters at the left, at the right and on top.
        size: Size of the letters in points.
    """
    box = {"color": "white", "fontsize": size, "transform": axes.transAxes}
    left_side, right_side, upper = sides
    axes.text(0.02, 0.5, left_side, ha="left", va="center", **box)
    axes.text(0.98, 0.5, right_side, ha="right", va="center", **box)
    axes.text(0.5, 0.98, upper, ha="center", va="top", **box)
    left, right, bottom, top = axes.get_xlim() + axes.get_ylim()
    x, y = left + 0.04 * (right - left), bottom + 0.04 * (top - bottom)
    axes.plot([x, x + 50], [y, y], color="white", linewidth=1.5)
    axes.text(x, y + 0.02 * (top - bottom), "50 mm", color="white", fontsize=size - 1, va="bottom")
