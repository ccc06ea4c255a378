"""The explorer: one anywidget whose sliders, clicks and lassos are answered in the browser."""

import itertools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import numpy as np
import traitlets

from uqrestore.posterior.intervals import central_interval
from uqrestore.posterior.regional_components import RegionComponents

if TYPE_CHECKING:
    from uqrestore.explorer.opened import OpenPosterior

HERE = Path(__file__).parent
MOST_BYTES = 64e6  # of one slice's draws in the browser
MOST_PARAMETERS = 12  # listed; the report and the file hold more
COMPONENTS = 3  # of a region, unless the file keeps more of a slice


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
        scope: Flat indices of the pixels whose components the sliders move; empty for the slice.
        code: The state as Python.
    """

    _posterior: "OpenPosterior"
    components: RegionComponents | None = None
    """Components of the region that the sliders move; None where they move those of the slice."""
    _esm = HERE / "explorer.js"
    _css = HERE / "explorer.css"
    arrays = traitlets.Bytes().tag(sync=True)
    meta = traitlets.Dict().tag(sync=True)
    z = traitlets.Int().tag(sync=True)
    alpha = traitlets.List(traitlets.Float()).tag(sync=True)
    pixel = traitlets.List(traitlets.Int()).tag(sync=True)
    region = traitlets.List(traitlets.Int()).tag(sync=True)
    scope = traitlets.List(traitlets.Int()).tag(sync=True)
    code = traitlets.Unicode().tag(sync=True)

    @classmethod
    def of(cls, posterior: "OpenPosterior", z: int) -> "Explorer":
        """Return an explorer that shows a slice of an opened file."""
        widget = cls(z=z, alpha=[0.0] * posterior.component_count)
        widget._posterior = posterior
        widget._load()
        widget.observe(lambda _: widget._load(), names=["z", "scope"])
        return widget

    def image(self) -> np.ndarray:
        """Return what the left picture shows."""
        if self.components is None:
            return self._posterior.combine(self.alpha, self.z)
        mean = self._posterior.mean.isel(z=self.z).values
        return mean + np.tensordot(self.alpha, self.components.steps, 1)

    def mask(self) -> np.ndarray:
        """Return the lasso as (y, x) mask."""
        return self._mask(self.region)

    def _mask(self, pixels: list[int]) -> np.ndarray:
        rows, columns = self._posterior.mean.shape[1:]
        mask = np.zeros(rows * columns, bool)
        mask[list(pixels)] = True
        return mask.reshape(rows, columns)

    def _load(self) -> None:
        found, count = None, self._posterior.component_count
        if self.scope:
            count = min(max(count, COMPONENTS), len(self._posterior.samples) - 2)
            found = self._posterior.region_components(self._mask(self.scope), self.z, count)
        meta, arrays = slice_data(self._posterior, self.z, found)
        with self.hold_sync():
            if (found is None) != (self.components is None) or len(self.alpha) != count:
                self.alpha = [0.0] * count
            self.components = found
            self.arrays, self.meta = arrays, meta


def slice_data(
    posterior: "OpenPosterior", z: int, region: RegionComponents | None = None
) -> tuple[dict[str, Any], bytes]:
    """Return what the browser needs of a slice: plain values, and arrays as bytes.

    Intensities are in a unit in which they are readable: the file's, times a power of ten.

    Args:
        posterior: The file.
        z: Position of the slice.
        region: Components of a region of it, in place of those of the slice.
    """
    from uqrestore.reports.pictures import colours
    from uqrestore.reports.regions import regions_warning
    from uqrestore.reports.units import display_unit, share_of_variance
    from uqrestore.reports.window import grey_window, top_of

    mean, std = posterior.mean.isel(z=z).values, posterior.std.isel(z=z).values
    draws = posterior.samples.isel(z=z)
    steps, scores = np.zeros((0, *mean.shape), np.float32), np.zeros((0, 0))
    explained = posterior.find("estimate/explained")
    shares = [] if explained is None else list(explained.values)
    if region is not None:
        steps, shares = region.steps, list(region.explained)
        if len(region.coefficients) == len(draws):  # else some draws are not written
            scores = region.coefficients
    elif posterior.component_count:
        spread = posterior.component_std.isel(z=z).values
        steps = posterior.components.isel(z=z).values * spread[:, None, None]
        scores = posterior.scores(z)
    count = len(steps)
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
        "scope": 0 if region is None else int(region.region.sum()),
        "scores": scores[:shown].round(4).tolist(),
        "shares": list(map(share_of_variance, shares)),
        "unit": unit.name,
        "x": coordinates["x"].values.tolist(),
        "y": coordinates["y"].values.tolist(),
        "zmm": float(coordinates["z"][z]),
        "window": [unit.factor * end for end in window],
        "stdTop": unit.factor * top_of(std),
        "stepTop": 2 * unit.factor * top_of(steps) if count else 1.0,
        "parameters": _parameters(posterior, z, shown),
        "regionsWarning": regions_warning(posterior.provenance),
        "colours": colours(),
    }
    return json.loads(json.dumps(meta)), arrays.astype("<f4").tobytes()


def _parameters(posterior: "OpenPosterior", z: int, shown: int) -> list[dict[str, Any]]:
    """Return the first unknown numbers of the measurement of a slice, beside their priors."""
    from uqrestore.reports.parameters import slice_parameters

    found = itertools.islice(slice_parameters(posterior, z, range(shown)), MOST_PARAMETERS)
    return [
        one.to_data() | {"values": one.values.tolist()}
        for one in found
        if np.isfinite(one.values).all()
    ]
