"""Summary figure of a posterior file: one PNG, drawn from the file alone."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from uqrestore._files import atomic
from uqrestore.posterior.view import PosteriorFile, shown_channel
from uqrestore.reports.contents import TITLES
from uqrestore.reports.units import share_of_variance
from uqrestore.reports.window import grey_window, top_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Perceptually uniform, ordered in lightness, safe for colour-blind readers.
GREY, SPREAD, SIGNED = "gray", "cividis", "PuOr_r"
MAX_ROWS = 4
# Inches: width of a panel, between panels, and the margins.
PANEL, GAP, LEFT, TOP, BOTTOM = 1.55, 0.04, 0.25, 0.62, 0.5

Slices = Float[np.ndarray, "z y x"]
Extent = tuple[float, float, float, float]


@dataclass(frozen=True)
class _Column:
    """One column of the figure: a map of every slice, on one scale.

    Attributes:
        title: Title over the column.
        values: Map of all slices; the caller shows some.
        colours: Name of the colour map.
        low: Value of the lowest colour.
        high: Value of the highest colour.
        label: Label of the colour bar; columns with the same label share the scale.
    """

    title: str
    values: Slices
    colours: str
    low: float
    high: float
    label: str


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


def _columns(file: PosteriorFile) -> list[_Column]:
    mean, std, unit = file.mean.values, file.std.values, file.unit
    found = {name: file.find(f"reference/{name}") for name in TITLES}
    known = {n: shown_channel(image).values for n, image in found.items() if image is not None}
    truth = known.get("truth")
    shown = mean if truth is None else truth
    mask = None if file.mask is None else file.mask.values
    low, high = grey_window(shown, mask)
    psnr = _psnr(file)

    def image(title: str, name: str, values: Slices) -> _Column:
        quality = f"\n{psnr[name]:.1f} dB" if name in psnr else "\n"
        return _Column(title + quality, values, GREY, low, high, f"intensity ({unit})")

    columns = [image(TITLES[name], name, values) for name, values in known.items()]
    columns.append(image("posterior mean", "mean", mean))
    columns.append(_magnitude("posterior std\n", std, f"std ({unit})"))
    if truth is not None:
        error = np.abs(mean - truth)
        columns.append(_magnitude("|mean - reference|\n", error, f"|error| ({unit})"))
    return columns + _components(file)


def _magnitude(title: str, values: Slices, label: str) -> _Column:
    return _Column(title, values, SPREAD, 0.0, top_of(values), label)


def _components(file: PosteriorFile) -> list[_Column]:
    if not file.component_count:
        return []
    # One standard deviation along a component, in the unit of the image.
    steps = file.components.values * file.component_std.values[..., None, None]
    shares, top = file.variable("explained").values, top_of(steps)
    return [
        _Column(
            f"component {k + 1}\n{share_of_variance(float(share))}",
            step,
            SIGNED,
            -top,
            top,
            f"one std along it ({file.unit})",
        )
        for k, (step, share) in enumerate(zip(steps, shares, strict=True))
    ]


def _page(file: PosteriorFile, columns: list[_Column], rows: int) -> "Figure":
    from matplotlib.figure import Figure

    z = file["z"].values
    rows = min(rows, len(z))
    shown = [int((i + 0.5) / rows * len(z)) for i in range(rows)]
    extent = _extent(file)
    height = PANEL * (extent[3] - extent[2]) / (extent[1] - extent[0])
    size = (LEFT + (PANEL + GAP) * len(columns), BOTTOM + (height + GAP) * rows + TOP)
    figure = Figure(figsize=size)

    def place(x: float, y: float, w: float, h: float) -> "Axes":
        return figure.add_axes((x / size[0], y / size[1], w / size[0], h / size[1]))

    for j, column in enumerate(columns):
        for i, at in enumerate(shown):
            y = BOTTOM + (height + GAP) * (rows - 1 - i)
            axes = place(LEFT + (PANEL + GAP) * j, y, PANEL, height)
            _panel(axes, column, at, extent)
            if i == 0:
                axes.set_title(column.title, pad=3)
            if j == 0:
                axes.set_ylabel(f"z = {z[at]:.0f} mm")
            if j == 0 and i == rows - 1:
                _mark_sides(axes)
    for first, last in _same_scale(columns):
        middle = LEFT + (PANEL + GAP) * (first + last + 1) / 2
        width = min(PANEL * (last - first + 1), 2.2) * 0.9
        bar = place(middle - width / 2, BOTTOM - 0.17, width, 0.09)
        figure.colorbar(figure.axes[first * rows].images[0], cax=bar, orientation="horizontal")
        bar.set_xlabel(columns[first].label, labelpad=2)
        bar.tick_params(length=2, pad=1)
        bar.locator_params(nbins=4)
    psnr = _psnr(file)
    draws = f"{len(file.samples)} posterior draws"
    words = [file.root.get("title", ""), draws, "research use only"]
    if "data_range" in psnr:
        words.insert(2, f"PSNR inside the mask, all slices, peak {psnr['data_range']:.4g}")
    figure.text(0.5, 1 - 0.1 / size[1], "   ·   ".join(words), ha="center", va="top", fontsize=9)
    return figure


def _panel(axes: "Axes", column: _Column, at: int, extent: Extent) -> None:
    axes.imshow(
        column.values[at],
        cmap=column.colours,
        vmin=column.low,
        vmax=column.high,
        origin="lower",  # row 0 is posterior, so anterior is up
        extent=extent,
        interpolation="nearest",
    )
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def _mark_sides(axes: "Axes") -> None:
    """Write left, right and anterior on a panel, and a scale of 50 mm."""
    box = {"color": "white", "fontsize": 7, "transform": axes.transAxes}
    axes.text(0.02, 0.5, "L", ha="left", va="center", **box)
    axes.text(0.98, 0.5, "R", ha="right", va="center", **box)
    axes.text(0.5, 0.98, "A", ha="center", va="top", **box)
    left, right, bottom, top = axes.get_xlim() + axes.get_ylim()
    x, y = left + 0.04 * (right - left), bottom + 0.04 * (top - bottom)
    axes.plot([x, x + 50], [y, y], color="white", linewidth=1.5)
    axes.text(x, y + 0.02 * (top - bottom), "50 mm", color="white", fontsize=6, va="bottom")


def _same_scale(columns: list[_Column]) -> list[tuple[int, int]]:
    """Return the first and last column of every run that shares a scale."""
    runs: list[tuple[int, int]] = []
    for j, column in enumerate(columns):
        if runs and columns[runs[-1][0]].label == column.label:
            runs[-1] = (runs[-1][0], j)
        else:
            runs.append((j, j))
    return runs


def _extent(file: PosteriorFile) -> Extent:
    """Return the edges of a slice in mm: left, right, posterior, anterior."""
    x, y = file["x"].values, file["y"].values
    dx, dy = abs(x[1] - x[0]) / 2, abs(y[1] - y[0]) / 2
    return float(x[0] - dx), float(x[-1] + dx), float(y[0] - dy), float(y[-1] + dy)


def _psnr(file: PosteriorFile) -> dict[str, float]:
    """Return the PSNR that the file states, by the name of the image."""
    start = "psnr_"
    figures = file.figures
    return {name.removeprefix(start): figures[name] for name in figures if name.startswith(start)}
