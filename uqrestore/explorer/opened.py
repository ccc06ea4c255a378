"""A posterior file at one's fingertips; nothing is loaded before it is asked for."""

import html
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float

from uqrestore.posterior import PosteriorError, open_posterior

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

    from uqrestore.explorer.widget import Explorer

Image = Float[np.ndarray, "y x"]


def open_file(path: Path | str) -> "OpenPosterior":
    """Open a posterior file; see :class:`OpenPosterior`.

    Raises:
        PosteriorError: If the file is missing or is no posterior file.
    """
    path = Path(path)
    return OpenPosterior(path, open_posterior(path))


@dataclass(frozen=True, eq=False)
class OpenPosterior:
    """A posterior file, lazily: xarray for everything, and a few short cuts.

    Images of several channels show the first. ``z`` below is the position of a slice in the file.

    Attributes:
        path: The file.
        tree: Everything in it, as ``xarray`` opens it.
    """

    path: Path
    tree: "xr.DataTree"

    # --- what is in it ------------------------------------------------------------------------

    @property
    def samples(self) -> "xr.DataArray":
        """The draws, (sample, z, y, x)."""
        draws = self._group("posterior")["image"]
        return _one_channel(draws).stack(sample=("chain", "draw")).transpose("sample", ...)

    @property
    def mean(self) -> "xr.DataArray":
        """The posterior mean, (z, y, x)."""
        return self._estimate("mmse")

    @property
    def std(self) -> "xr.DataArray":
        """The posterior standard deviation of every pixel, (z, y, x)."""
        return self._estimate("std")

    @property
    def components(self) -> "xr.DataArray":
        """Principal components of unit norm in each slice, (component, z, y, x)."""
        return self._estimate("pc").transpose("component", "z", "y", "x")

    @property
    def component_std(self) -> "xr.DataArray":
        """Standard deviation along each component, (component, z)."""
        return self._estimate("pc_std")

    @property
    def component_count(self) -> int:
        """Number of components; 0 where the file holds none."""
        return int(self._group("estimate").sizes.get("component", 0))

    @property
    def unit(self) -> str:
        """Of the images."""
        return str(self._group("posterior")["image"].attrs.get("units", "a.u."))

    # --- what follows from it -----------------------------------------------------------------

    def combine(self, alpha: Sequence[float | int], z: int) -> Image:
        r"""Return the mean of a slice moved along its components.

        .. math:: m + \sum_k \alpha_k \sigma_k v_k

        Args:
            alpha: In standard deviations; one number a component, missing ones are 0.
            z: Position of the slice.

        Raises:
            ValueError: If there are more numbers than components.
        """
        if len(alpha) > self.component_count:
            raise ValueError(
                f"{self.path.name} has {self.component_count} components but alpha has "
                f"{len(alpha)} numbers."
            )
        image = self.mean.isel(z=z).values.astype(np.float64)
        for k, step in enumerate(alpha):
            along = self.components.isel(component=k, z=z).values
            image = image + step * float(self.component_std[k, z]) * along
        return image

    def pixel(self, z: int, y: int, x: int) -> "xr.DataArray":
        """Return the draws of one pixel."""
        return self.samples.isel(z=z, y=y, x=x)

    def region(self, mask: Bool[np.ndarray, "*space"], z: int | None = None) -> "xr.DataArray":
        """Return the mean over a region, of every draw.

        Args:
            mask: ``(z, y, x)``, or ``(y, x)`` with a slice given.
            z: Position of the slice that a two-dimensional mask is on.

        Raises:
            ValueError: If the mask does not fit or is empty.
        """
        draws = self.samples if z is None else self.samples.isel(z=z)
        if mask.shape != draws.shape[1:] or not mask.any():
            raise ValueError(
                f"the mask has shape {mask.shape} and {int(mask.sum())} pixels; it must have shape "
                f"{draws.shape[1:]} and at least one."
            )
        return draws.where(draws[0].copy(data=mask)).mean(dim=draws.dims[1:])

    def interval(self, values: "xr.DataArray", level: float = 0.9) -> tuple[float, float]:
        """Return the central interval between sample quantiles of draws of a number."""
        low, high = np.quantile(values.values, [(1 - level) / 2, (1 + level) / 2])
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
        change = self.samples.isel(z=z).values - self.mean.isel(z=z).values
        along = np.einsum("kyx,syx->sk", self.components.isel(z=z).values, change)
        std = self.component_std.isel(z=z).values
        return np.divide(along, std, out=np.zeros_like(along), where=std > 0)

    def nearest_draw(self, alpha: Sequence[float | int], z: int) -> int:
        """Return the draw whose components are nearest; a draw is a possible image, a slide not."""
        wanted = np.zeros(self.component_count)
        wanted[: len(alpha)] = alpha
        return int(((self.scores(z) - wanted) ** 2).sum(axis=1).argmin())

    # --- how it looks -------------------------------------------------------------------------

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

    # --- how it says who it is ----------------------------------------------------------------

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
        image = self._group("posterior")["image"]
        sizes = ", ".join(f"{name} {size}" for name, size in image.sizes.items())
        facts = [
            ("", f"posterior of uqrestore, {self.path.name}"),
            ("title", str(self.tree.attrs.get("title", ""))),
            ("draws", f"{sizes}; {self.path.stat().st_size / 1e6:.1f} MB on disk, not loaded"),
            ("status", str(self.tree.attrs.get("status", "unknown"))),
            ("components", str(self.component_count if self._complete else "not yet")),
            ("unit", self.unit),
        ]
        return [*facts, ("scope", self._scope()), ("warning", "research use only")]

    def _scope(self) -> str:
        try:
            said = json.loads(self.tree.attrs["scope"])
            return (
                "in scope" if said["in_scope"] else "OUT OF SCOPE: " + "; ".join(said["findings"])
            )
        except (KeyError, ValueError, TypeError):
            return "not stated"

    @property
    def _complete(self) -> bool:
        return "estimate" in self.tree.children

    @property
    def _middle(self) -> int:
        return self._group("posterior").sizes["z"] // 2

    def _estimate(self, name: str) -> "xr.DataArray":
        if not self._complete:
            raise PosteriorError(
                f"{self.path}: is not finished, so it holds no {name}; resume its run, or use "
                ".samples, which are NaN where nothing is written yet."
            )
        group = self._group("estimate")
        if name not in group:
            raise PosteriorError(
                f"{self.path}: holds no {name}; it has {', '.join(map(str, group))}."
            )
        return _one_channel(group[name])

    def _group(self, name: str) -> "xr.Dataset":
        if name not in self.tree.children:
            return self.tree.to_dataset().drop_vars(list(self.tree.data_vars))
        return self.tree.children[name].to_dataset()


def _one_channel(values: "xr.DataArray") -> "xr.DataArray":
    return values.isel(channel=0) if "channel" in values.dims else values
