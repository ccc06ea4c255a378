"""The explorer: one anywidget whose sliders, clicks and lassos are answered in the browser."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import numpy as np
import traitlets

from uqrestore.posterior.intervals import central_interval

if TYPE_CHECKING:
    from uqrestore.explorer.opened import OpenPosterior

HERE = Path(__file__).parent
MOST_BYTES = 64e6  # of one slice's draws in the browser


class Explorer(anywidget.AnyWidget):
    """Sliders over components, draws as a cine, posteriors of pixels and of lassoed regions.

    Only a change of slice asks Python for something; all else is worked out in the browser from
    the arrays of the slice.

    Attributes:
        arrays: Mean, std, components and draws of the slice: float32, little-endian.
        meta: Layout of the arrays, and texts beside the pictures.
        z: Position of the slice.
        alpha: Positions of the sliders, in standard deviations.
        pixel: Row and column that was clicked, or empty.
        region: Flat indices of the pixels of the lasso, or empty.
        code: The state as Python.
    """

    _posterior: "OpenPosterior"
    _esm = HERE / "explorer.js"
    _css = HERE / "explorer.css"
    arrays = traitlets.Bytes().tag(sync=True)
    meta = traitlets.Dict().tag(sync=True)
    z = traitlets.Int().tag(sync=True)
    alpha = traitlets.List(traitlets.Float()).tag(sync=True)
    pixel = traitlets.List(traitlets.Int()).tag(sync=True)
    region = traitlets.List(traitlets.Int()).tag(sync=True)
    code = traitlets.Unicode().tag(sync=True)

    @classmethod
    def of(cls, posterior: "OpenPosterior", z: int) -> "Explorer":
        """Return an explorer that shows a slice of an opened file."""
        widget = cls(z=z, alpha=[0.0] * posterior.component_count)
        widget._posterior = posterior
        widget._load()
        widget.observe(lambda _: widget._load(), names="z")
        return widget

    def image(self) -> np.ndarray:
        """Return what the left picture shows."""
        return self._posterior.combine(self.alpha, self.z)

    def mask(self) -> np.ndarray:
        """Return the lasso as (y, x) mask."""
        rows, columns = self._posterior.mean.shape[1:]
        mask = np.zeros(rows * columns, bool)
        mask[list(self.region)] = True
        return mask.reshape(rows, columns)

    def _load(self) -> None:
        meta, arrays = slice_data(self._posterior, self.z)
        with self.hold_sync():
            self.arrays, self.meta = arrays, meta


def slice_data(posterior: "OpenPosterior", z: int) -> tuple[dict[str, Any], bytes]:
    """Return what the browser needs of a slice: plain values, and arrays as bytes.

    Intensities are in a unit in which they are readable: the file's, times a power of ten.
    """
    from uqrestore.reports.pictures import colours
    from uqrestore.reports.regions import regions_warning
    from uqrestore.reports.units import display_unit, share_of_variance
    from uqrestore.reports.window import grey_window, top_of

    mean, std = posterior.mean.isel(z=z).values, posterior.std.isel(z=z).values
    count = posterior.component_count
    steps = np.zeros((0, *mean.shape), np.float32)
    explained = posterior.find("estimate/explained")
    if count:
        spread = posterior.component_std.isel(z=z).values
        steps = posterior.components.isel(z=z).values * spread[:, None, None]
    draws = posterior.samples.isel(z=z)
    shown = min(len(draws), max(2, int(MOST_BYTES // mean.nbytes)))
    cloud, interval = draws[:shown].values, central_interval(shown)
    blocks = [mean, std, steps.reshape(-1, *mean.shape[1:]), cloud.reshape(-1, *mean.shape[1:])]
    window = grey_window(mean)
    unit = display_unit(max(map(abs, window)), posterior.unit)
    arrays = unit.factor * np.concatenate([np.atleast_2d(block) for block in blocks])
    coordinates = posterior.tree.coords
    meta = {
        "name": posterior.path.name,
        "shape": [int(n) for n in mean.shape],
        "slices": int(posterior.mean.sizes["z"]),
        "components": count,
        "draws": int(shown),
        "interval": {"rank": interval.rank, "name": interval.name},
        "scores": posterior.scores(z)[:shown].round(4).tolist() if count else [],
        "shares": [] if explained is None else list(map(share_of_variance, explained.values)),
        "unit": unit.name,
        "x": coordinates["x"].values.tolist(),
        "y": coordinates["y"].values.tolist(),
        "zmm": float(coordinates["z"][z]),
        "window": [unit.factor * end for end in window],
        "stdTop": unit.factor * top_of(std),
        "stepTop": 2 * unit.factor * top_of(steps) if count else 1.0,
        "regionsWarning": regions_warning(posterior.provenance),
        "colours": colours(),
    }
    return json.loads(json.dumps(meta)), arrays.astype("<f4").tobytes()
