"""Lazily opened posterior file with pictures, statistics and a notebook explorer."""

import html
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from uqrestore.posterior.inspect import physics_rows
from uqrestore.posterior.intervals import central_interval
from uqrestore.posterior.regional_components import RegionComponents, region_components
from uqrestore.posterior.view import PosteriorFile, images_of
from uqrestore.scans import Verdict

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

    from uqrestore.explorer.widget import Explorer
    from uqrestore.reports.page import Written

Image = Float[np.ndarray, "y x"]
Steps = Sequence[float | int] | Mapping[int, float | int]
"""Standard deviations along components: one number each, or by component, counted from 1."""


def open_file(path: Path | str) -> "OpenPosterior":
    """Open a posterior file; see :class:`OpenPosterior`.

    Raises:
        PosteriorError: If the file is missing or is no posterior file.
    """
    return OpenPosterior(Path(path))


class OpenPosterior(PosteriorFile):
    """Lazily opened posterior file with pictures, statistics and a notebook explorer.

    ``z`` below is the position of a slice in the file.
    """

    # --- statistics ---------------------------------------------------------------------------

    def combine(self, alpha: Steps, z: int) -> Image:
        r"""Return the mean of a slice moved along its components.

        .. math:: m + \sum_k \alpha_k \sigma_k v_k

        Args:
            alpha: In standard deviations: one number per component, or numbers by component,
                counted from 1 as in the file; missing ones are 0.
            z: Position of the slice.

        Raises:
            ValueError: If the file has no such component.
        """
        image = self.mean.isel(z=z).values.astype(np.float64)
        for k, step in enumerate(self._steps(alpha)):
            along = self.components.isel(component=k, z=z).values
            image = image + step * float(self.component_std[k, z]) * along
        return image

    def pixel(self, z: int, y: int, x: int) -> "xr.DataArray":
        """Return the draws of one pixel."""
        return self.samples.isel(z=z, y=y, x=x)

    def region(self, mask: "np.ndarray | xr.DataArray", z: int | None = None) -> "xr.DataArray":
        """Return the mean over a region, of every draw.

        Intervals of region means are calibrated for exact draws of closed-form priors alone; of
        trained priors the report, its tables and the explorer mark them.

        Args:
            mask: ``(z, y, x)``, or ``(y, x)`` with a slice given; not 0 inside.
            z: Position of the slice that a two-dimensional mask is on.

        Raises:
            ValueError: If the mask does not fit or is empty.
        """
        draws = self.samples if z is None else self.samples.isel(z=z)
        mask = np.asarray(mask, bool)
        if mask.shape != draws.shape[1:] or not mask.any():
            raise ValueError(
                f"the mask has shape {mask.shape} and {int(mask.sum())} pixels; it must have shape "
                f"{draws.shape[1:]} and at least one."
            )
        return draws.where(draws[0].copy(data=mask)).mean(dim=draws.dims[1:])

    def region_components(
        self, mask: "np.ndarray | xr.DataArray", z: int | None = None, count: int = 3
    ) -> RegionComponents:
        """Return the principal components of a region, and what follows them elsewhere.

        ``posterior.mean[z] + 2 * found.steps[0]`` is the mean moved by two standard deviations
        along the first. Draws not yet written do not count.

        Args:
            mask: As for :meth:`region`.
            z: As for :meth:`region`.
            count: Number of components; at most the number of draws less two.

        Raises:
            ValueError: If the mask does not fit or is empty, or there are too few draws.
        """
        draws = (self.samples if z is None else self.samples.isel(z=z)).values
        written = np.isfinite(draws).all(axis=tuple(range(1, draws.ndim)))
        return region_components(draws[written], np.asarray(mask, bool), count)

    def interval(
        self, values: "xr.DataArray | np.ndarray", level: float | int = 0.9
    ) -> tuple[float, float]:
        """Return the central interval of draws of a number; draws not yet written do not count.

        It ends on draws, and its exact level is the one next to ``level``: with 16 draws 88.2 %
        for 90 %. ``uqrestore.posterior.intervals.central_interval(16, 0.9).name`` names it.

        Raises:
            ValueError: If the level is no probability.
        """
        draws = np.asarray(values)
        written = draws[np.isfinite(draws)]
        low, high = central_interval(len(written), level).of(written)
        return float(low), float(high)

    def correlation(self, z: int, y: int, x: int) -> Image:
        """Return the correlation of one pixel with every other of its slice, over the draws."""
        draws = self.samples.isel(z=z).values.astype(np.float64)
        centred = draws - draws.mean(axis=0)
        own = centred[:, y, x]
        scale = np.sqrt((centred**2).sum(axis=0) * (own**2).sum())
        along = np.tensordot(own, centred, axes=1)
        return np.divide(along, scale, out=np.zeros_like(along), where=scale > 0)

    def scores(self, z: int) -> Float[np.ndarray, "sample component"]:
        """Return where each draw of a slice lies along its components, in standard deviations."""
        draws = self["posterior/image"].isel(z=[z]).stack(sample=("chain", "draw"))
        mean, pc = (self.variable(name).isel(z=[z]) for name in ("mmse", "pc"))
        change = images_of(draws.transpose("sample", ...)) - images_of(mean)
        pc = images_of(pc.transpose("component", ...))
        along = np.einsum("kzcyx,szcyx->sk", pc, change)
        std = self.component_std.isel(z=z).values
        return np.divide(along, std, out=np.zeros_like(along), where=std > 0)

    def nearest_draw(self, alpha: Steps, z: int) -> int:
        """Return the draw whose components are nearest; a draw is a possible image, a slide not."""
        return int(((self.scores(z) - self._steps(alpha)) ** 2).sum(axis=1).argmin())

    def _steps(self, alpha: Steps) -> Float[np.ndarray, " component"]:
        """Return one number of standard deviations per component."""
        count = self.component_count
        numbers = alpha if isinstance(alpha, Mapping) else dict(enumerate(alpha, start=1))
        wrong = [k for k in numbers if k not in range(1, count + 1)]
        if wrong:
            raise ValueError(
                f"{self.path.name} has components 1 to {count} but alpha names {wrong[0]!r}; give "
                "one number per component, or {number of the component: standard deviations}."
            )
        steps = np.zeros(count)
        for k, step in numbers.items():
            steps[k - 1] = step
        return steps

    # --- pictures ---------------------------------------------------------------------------

    def plot(self, z: int | None = None) -> "Figure":
        """Draw mean, standard deviation and components of a slice with matplotlib."""
        from uqrestore.explorer.thumbnails import strip

        return strip(self, self._middle if z is None else z)

    def explore(self, z: int | None = None) -> "Explorer":
        """Return a widget: sliders, cine, posterior of a pixel or a region, nearest draw.

        Raises:
            ImportError: If the extra ``notebook`` is not installed; :meth:`plot` needs none.
        """
        try:
            from uqrestore.explorer.widget import Explorer
        except ImportError as error:
            raise ImportError(
                f"the explorer needs anywidget ({error}); pip install 'uqrestore[notebook]', or "
                "use .plot() and xarray, which need nothing more."
            ) from None
        return Explorer.of(self, self._middle if z is None else z)

    def volumes(self, overlay: str = "std") -> Any:  # noqa: ANN401  (a widget of ipyniivue)
        """Return a linked view of the volume in millimetres, mean below and a map above.

        Of one to three slices the axial section alone.

        Args:
            overlay: A map of ``/estimate`` without further axes, such as ``std``.

        Raises:
            ImportError: If the extra ``notebook`` is not installed.
        """
        from uqrestore.explorer.volumes import show

        return show(self, overlay)

    def to_arviz(self) -> Any:  # noqa: ANN401  (ArviZ changed its type)
        """Return what ArviZ works on: an ``InferenceData``, or a ``DataTree`` from ArviZ 1.0 on.

        The draws are independent, of one chain, so R-hat says nothing about them.

        Raises:
            ImportError: If ArviZ is not installed.
        """
        try:
            import arviz
        except ImportError as error:
            raise ImportError("to_arviz needs ArviZ; pip install arviz.") from error
        known = getattr(arviz, "InferenceData", None)
        return self.tree if known is None else known.from_datatree(self.tree)

    def report(
        self,
        out: str | PathLike[str] | None = None,
        *,
        labels: str | PathLike[str] | None = None,
        names: str | None = None,
        threshold: float | None = None,
        guarantee: str | PathLike[str] | None = None,
        overwrite: bool = False,
    ) -> "Written":
        """Write the report: one HTML page, and the same as JSON.

        Args:
            out: The HTML file, or the folder it goes to; None puts it beside the posterior file.
            labels: NIfTI of numbered regions, on the grid of the scan that was restored.
            names: Names of the numbers: ``dlmuse``, ``freesurfer`` or a table; None takes a table
                beside the labels.
            threshold: Intensity; the page states how probable it is that a region exceeds it.
            guarantee: Guarantee of region means.
            overwrite: Replace what is there.

        Raises:
            PosteriorError: If the file is damaged, or the labels do not fit it.
            FileExistsError: If the report exists.
        """
        from uqrestore.reports.page import write_report

        return write_report(
            self.path,
            None if out is None else Path(out),
            labels=None if labels is None else Path(labels),
            names=names,
            threshold=threshold,
            guarantee=None if guarantee is None else Path(guarantee),
            overwrite=overwrite,
        )

    # --- representation ----------------------------------------------------------------------

    def __repr__(self) -> str:
        return "\n".join(f"{name}: {value}" if name else value for name, value in self._facts())

    def _repr_html_(self) -> str:
        from uqrestore.explorer.thumbnails import thumbnails

        rows = "".join(
            f"<tr><th style='text-align:left'>{html.escape(name)}</th>"
            f"<td style='text-align:left'>{html.escape(value)}</td></tr>"
            for name, value in self._facts()
            if name
        )
        return (
            f"<div><b>{html.escape(self.path.name)}</b>{thumbnails(self, self._middle)}"
            f"<table>{rows}</table></div>"
        )

    def _facts(self) -> list[tuple[str, str]]:
        sizes = ", ".join(f"{name} {size}" for name, size in self._draws.sizes.items())
        return [
            ("", f"posterior of uqrestore, {self.path.name}"),
            ("title", self.root.get("title", "")),
            ("draws", f"{sizes}; {self.path.stat().st_size / 1e6:.1f} MB on disk, not loaded"),
            ("status", self.status),
            ("components", str(self.component_count) if self.complete else "not yet"),
            ("unit", self.unit),
            *physics_rows(self),
            ("scope", self._verdict()),
            ("warning", "research use only"),
        ]

    def _verdict(self) -> str:
        try:
            return Verdict.from_data(self.scope).summary
        except ValueError:
            return "not stated"

    @property
    def _middle(self) -> int:
        return self._draws.sizes["z"] // 2
