"""Small pictures of a slice: for the repr of an opened file, and with matplotlib."""

from typing import TYPE_CHECKING

import numpy as np

from uqrestore.reports.inline import picture
from uqrestore.reports.units import display_unit
from uqrestore.reports.window import grey_window, top_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from uqrestore.explorer.opened import OpenPosterior

SHOWN_COMPONENTS = 3
Panel = tuple[str, np.ndarray, str, float, float]


def panels(posterior: "OpenPosterior", z: int, components: int) -> list[Panel]:
    """Return title, image, colour map and range of what is shown of a slice."""
    if not posterior.complete:
        with np.errstate(all="ignore"):
            draws = posterior.samples.isel(z=z).values
            written = draws[np.isfinite(draws).all(axis=(1, 2))]
        if len(written) == 0:
            return []
        return [_image("mean of draws so far", written.mean(axis=0))]
    mean, std = posterior.mean.isel(z=z).values, posterior.std.isel(z=z).values
    found = [
        _image("mean", mean),
        ("standard deviation", std, "cividis", 0.0, top_of(std)),
    ]
    for k in range(min(components, posterior.component_count)):
        step = posterior.components.isel(component=k, z=z).values
        step = step * float(posterior.component_std[k, z])
        top = top_of(step)
        found.append((f"component {k + 1}, one std", step, "PuOr_r", -top, top))
    return found


def thumbnails(posterior: "OpenPosterior", z: int, width: int = 140) -> str:
    """Return images of a slice as HTML that holds them."""
    found = []
    for title, image, colours, low, high in panels(posterior, z, 1):
        found.append(
            f"<figure style='display:inline-block;margin:4px'><img alt='{title}' width={width} "
            f"style='image-rendering:pixelated' src='{picture(image, colours, low, high)}'>"
            f"<figcaption style='font-size:small'>{title}</figcaption></figure>"
        )
    return "<div>" + "".join(found) + "</div>"


def strip(posterior: "OpenPosterior", z: int) -> "Figure":
    """Draw mean, spread and components of a slice side by side."""
    from matplotlib.figure import Figure

    shown = panels(posterior, z, SHOWN_COMPONENTS)
    figure = Figure(figsize=(2.3 * max(len(shown), 1), 2.6), layout="constrained")
    axes = figure.subplots(1, max(len(shown), 1), squeeze=False)[0]
    x, y = posterior.tree.coords["x"].values, posterior.tree.coords["y"].values
    extent = (float(x[0]), float(x[-1]), float(y[0]), float(y[-1]))
    unit = display_unit(max(map(abs, shown[0][3:])) if shown else 1.0, posterior.unit)
    for axis, (title, image, colours, *ends) in zip(axes, shown, strict=False):
        low, high = (unit.factor * end for end in ends)
        drawn = axis.imshow(
            unit.factor * image, cmap=colours, vmin=low, vmax=high, origin="lower", extent=extent
        )
        axis.set_title(title, fontsize=9)
        axis.set(xticks=[], yticks=[])
        bar = figure.colorbar(drawn, ax=axis, orientation="horizontal", shrink=0.9)
        bar.set_label(unit.name, fontsize=8)
        bar.ax.tick_params(labelsize=7)
    figure.suptitle(f"z = {float(posterior.tree.coords['z'][z]):.0f} mm", fontsize=9)
    return figure


def _image(title: str, image: np.ndarray) -> Panel:
    return title, image, "gray", *grey_window(image)
