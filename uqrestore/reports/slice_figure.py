"""Figure of one restored slice beside its reference: one PNG, drawn from the file alone."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from uqrestore._shared.files import atomic
from uqrestore.reports.contents import TITLES, Contents
from uqrestore.reports.panels import (
    CYCLIC,
    GREY,
    SPREAD,
    Panel,
    draw_panel,
    extent_of,
    mark_sides,
    sides_of,
)
from uqrestore.reports.read import read_contents
from uqrestore.reports.units import DisplayUnit, display_unit
from uqrestore.reports.window import grey_window, top_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROWS = 2
# Inches: width of a panel, between panels, title of a panel, and the margins.
PANEL, GAP, HEADING, SIDE, TOP, BOTTOM = 2.5, 0.1, 0.32, 0.1, 0.5, 0.55


def draw_slice(path: Path, picture: Path, *, credit: str = "") -> Path:
    """Draw reference, zero-filled image, mean, one draw, spread, error and phase of a slice.

    It is the middle one. Of complex images the magnitudes are shown. What the file does not hold
    (a reference, a phase) is left out.

    Args:
        path: A complete posterior file.
        picture: PNG to write; it appears under its name only once it is whole.
        credit: Source and licence of the scan, written under the title.

    Returns:
        ``picture``.
    """
    import matplotlib

    style: dict[Any, Any] = {"font.size": 9, "axes.titlesize": 11, "font.family": "DejaVu Sans"}
    contents = read_contents(path)
    with matplotlib.rc_context(style), contents.file:
        window = grey_window(contents.maps.get("truth", contents.maps["mean"]), contents.mask)
        unit = display_unit(max(map(abs, window)), contents.unit)
        figure = _page(contents, _panels(contents, window, unit), unit, credit)
        with atomic(picture) as temporary:
            figure.savefig(temporary, format="png", dpi=120)
    return picture


def _panels(contents: Contents, window: tuple[float, float], unit: DisplayUnit) -> list[Panel]:
    maps = contents.maps
    low, high = (unit.factor * end for end in window)

    def image(title: str, values: np.ndarray, name: str = "") -> Panel:
        psnr = contents.figures.get(f"psnr_{name}")
        title = title if psnr is None else f"{title}, {psnr:.1f} dB"
        label = f"intensity ({unit.name})"
        return Panel(title, values * unit.factor, GREY, low, high, label)

    titles = dict(TITLES)
    if str(contents.provenance.get("acquisition", "")).startswith("as measured"):
        titles["truth"] = "fully sampled reference"
    panels = [image(titles[name], maps[name], name) for name in titles if name in maps]
    panels.append(image("posterior mean", maps["mean"], "mean"))
    if contents.draws:
        panels.append(image("one posterior draw", contents.draw(contents.draws[0])))
    panels += _spread_and_error(contents, unit)
    if contents.phase is not None:
        degrees, label = np.degrees(contents.phase), "phase (degrees)"
        panels.append(Panel(contents.phase_title, degrees, CYCLIC, -180.0, 180.0, label))
    return panels


def _spread_and_error(contents: Contents, unit: DisplayUnit) -> list[Panel]:
    maps = contents.maps
    found = [("posterior standard deviation", maps["std"])]
    if "truth" in maps:
        found.append(("|mean - reference|", np.abs(maps["mean"] - maps["truth"])))
    both = [values * unit.factor for _, values in found]
    # One scale for both: a spread that is as large as the error has its colours.
    top = top_of(np.stack(both))
    return [
        Panel(title, values, SPREAD, 0.0, top, f"spread, error ({unit.name})")
        for (title, _), values in zip(found, both, strict=True)
    ]


def _page(contents: Contents, panels: list[Panel], unit: DisplayUnit, credit: str) -> "Figure":
    from matplotlib.figure import Figure

    at = len(contents.z) // 2
    extent = extent_of(contents.x, contents.y)
    height = PANEL * (extent[3] - extent[2]) / (extent[1] - extent[0])
    columns = -(-len(panels) // ROWS)
    size = (
        2 * SIDE + PANEL * columns + GAP * (columns - 1),
        BOTTOM + (height + HEADING) * ROWS + TOP,
    )
    figure = Figure(figsize=size)

    def place(x: float, y: float, w: float, h: float) -> "Axes":
        return figure.add_axes((x / size[0], y / size[1], w / size[0], h / size[1]))

    scales: dict[str, Axes] = {}
    for i, panel in enumerate(panels):
        row, column = divmod(i, columns)
        x, y = SIDE + (PANEL + GAP) * column, BOTTOM + (height + HEADING) * (ROWS - 1 - row)
        axes = place(x, y, PANEL, height)
        draw_panel(axes, panel, at, extent)
        axes.set_title(panel.title, pad=4)
        if i == 0:
            mark_sides(axes, sides_of(contents.affine), 9.0)
        scales[panel.label] = axes
    for i, (label, axes) in enumerate(scales.items()):
        width = (size[0] - 2 * SIDE) / len(scales)
        bar = place(SIDE + (i + 0.2) * width, BOTTOM - 0.17, 0.6 * width, 0.1)
        figure.colorbar(axes.images[0], cax=bar, orientation="horizontal")
        bar.set_xlabel(label, labelpad=1)
        bar.tick_params(length=2, pad=1)
        bar.locator_params(nbins=5)
    words = [f"{contents.planned} posterior draws"]
    if (peak := contents.figures.get("psnr_data_range")) is not None:
        words.append(f"PSNR inside the mask, peak {unit.text(peak)}")
    words += [word for word in (credit, "research use only") if word]
    title = str(contents.file.root.get("title", ""))
    text = "\n".join([title, "   \u00b7   ".join(words)])
    figure.text(0.5, 1 - 0.1 / size[1], text, ha="center", va="top", linespacing=1.5)
    return figure
