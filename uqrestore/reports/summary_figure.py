"""Summary figure of a posterior file: one PNG, drawn from the file alone."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from uqrestore._shared.files import atomic
from uqrestore.posterior.view import PosteriorFile, shown_channel
from uqrestore.reports.contents import TITLES
from uqrestore.reports.panels import (
    GREY,
    SIGNED,
    Panel,
    Slices,
    draw_panel,
    extent_of,
    magnitude_panel,
    mark_sides,
    sides_of,
)
from uqrestore.reports.units import share_of_variance
from uqrestore.reports.window import grey_window, top_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_ROWS = 4
# Inches: width of a panel, between panels, and the margins.
PANEL, GAP, LEFT, TOP, BOTTOM = 1.55, 0.04, 0.25, 0.62, 0.5


def draw_summary(path: Path, picture: Path, *, rows: int = 3) -> Path:
    """Draw truth, zero-filled image, mean, spread, error and components of some slices.

    What the file does not hold (a truth, components) is left out. Images with several channels
    show the first.

    Args:
        path: A complete posterior file.
        picture: PNG to write; it appears under its name only once it is whole.
        rows: Slices to show, spread evenly; at most four.

    Returns:
        ``picture``.
    """
    import matplotlib

    style: dict[Any, Any] = {"font.size": 7, "axes.titlesize": 8, "font.family": "DejaVu Sans"}
    with matplotlib.rc_context(style), PosteriorFile(path) as file:
        figure = _page(file, _columns(file), min(rows, MAX_ROWS))
        with atomic(picture) as temporary:
            figure.savefig(temporary, format="png", dpi=150)
    return picture


def _columns(file: PosteriorFile) -> list[Panel]:
    mean, std, unit = file.mean.values, file.std.values, file.unit
    found = {name: file.find(f"reference/{name}") for name in TITLES}
    known = {n: shown_channel(image).values for n, image in found.items() if image is not None}
    truth = known.get("truth")
    shown = mean if truth is None else truth
    mask = None if file.mask is None else file.mask.values
    low, high = grey_window(shown, mask)
    psnr = file.psnr

    def image(title: str, name: str, values: Slices) -> Panel:
        quality = f"\n{psnr[name]:.1f} dB" if name in psnr else "\n"
        return Panel(title + quality, values, GREY, low, high, f"intensity ({unit})")

    columns = [image(TITLES[name], name, values) for name, values in known.items()]
    columns.append(image("posterior mean", "mean", mean))
    columns.append(magnitude_panel("posterior std\n", std, f"std ({unit})"))
    if truth is not None:
        error = np.abs(mean - truth)
        columns.append(magnitude_panel("|mean - reference|\n", error, f"|error| ({unit})"))
    return columns + _components(file)


def _components(file: PosteriorFile) -> list[Panel]:
    if not file.component_count:
        return []
    # One standard deviation along a component, in the unit of the image.
    steps = file.components.values * file.component_std.values[..., None, None]
    shares, top = file.variable("explained").values, top_of(steps)
    return [
        Panel(
            f"component {k + 1}\n{share_of_variance(float(share))}",
            step,
            SIGNED,
            -top,
            top,
            f"one std along it ({file.unit})",
        )
        for k, (step, share) in enumerate(zip(steps, shares, strict=True))
    ]


def _page(file: PosteriorFile, columns: list[Panel], rows: int) -> "Figure":
    from matplotlib.figure import Figure

    z = file["z"].values
    rows = min(rows, len(z))
    shown = [int((i + 0.5) / rows * len(z)) for i in range(rows)]
    extent = extent_of(file["x"].values, file["y"].values)
    sides = sides_of(file.placement.model.affine)
    height = PANEL * (extent[3] - extent[2]) / (extent[1] - extent[0])
    size = (LEFT + (PANEL + GAP) * len(columns), BOTTOM + (height + GAP) * rows + TOP)
    figure = Figure(figsize=size)

    def place(x: float, y: float, w: float, h: float) -> "Axes":
        return figure.add_axes((x / size[0], y / size[1], w / size[0], h / size[1]))

    for j, column in enumerate(columns):
        for i, at in enumerate(shown):
            y = BOTTOM + (height + GAP) * (rows - 1 - i)
            axes = place(LEFT + (PANEL + GAP) * j, y, PANEL, height)
            draw_panel(axes, column, at, extent)
            if i == 0:
                axes.set_title(column.title, pad=3)
            if j == 0:
                axes.set_ylabel(f"z = {z[at]:.0f} mm")
            if j == 0 and i == rows - 1:
                mark_sides(axes, sides)
    for first, last in _same_scale(columns):
        middle = LEFT + (PANEL + GAP) * (first + last + 1) / 2
        width = min(PANEL * (last - first + 1), 2.2) * 0.9
        bar = place(middle - width / 2, BOTTOM - 0.17, width, 0.09)
        figure.colorbar(figure.axes[first * rows].images[0], cax=bar, orientation="horizontal")
        bar.set_xlabel(columns[first].label, labelpad=2)
        bar.tick_params(length=2, pad=1)
        bar.locator_params(nbins=4)
    psnr = file.psnr
    draws = f"{len(file.samples)} posterior draws"
    words = [file.root.get("title", ""), draws, "research use only"]
    if "data_range" in psnr:
        words.insert(2, f"PSNR inside the mask, all slices, peak {psnr['data_range']:.4g}")
    figure.text(0.5, 1 - 0.1 / size[1], "   ·   ".join(words), ha="center", va="top", fontsize=9)
    return figure


def _same_scale(columns: list[Panel]) -> list[tuple[int, int]]:
    """Return the first and last column of every run that shares a scale."""
    runs: list[tuple[int, int]] = []
    for j, column in enumerate(columns):
        if runs and columns[runs[-1][0]].label == column.label:
            runs[-1] = (runs[-1][0], j)
        else:
            runs.append((j, j))
    return runs
