"""The one reader of posterior files: header at once, arrays when they are asked for."""

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float32

from uqrestore.posterior._header import PosteriorHeader, as_text
from uqrestore.posterior.errors import PosteriorError
from uqrestore.posterior.open import open_posterior

if TYPE_CHECKING:
    import xarray as xr

COORDINATES = "theta"
"""Name of the standard normal coordinates of parameters, from which the operator gives them."""
MAP_GROUPS = ("estimate", "reference")
COMPLEX = 2
"""Channels of a complex image: real and imaginary part."""


class PosteriorFile(PosteriorHeader):
    """A finished or partial posterior file, read lazily.

    Volumes are ``xarray`` arrays indexed (z, y, x) in the file's units. Of complex images, which
    have two channels, they show the magnitude, of others with several channels the first;
    :meth:`variable` and :func:`images_of` give all channels.

    Args:
        path: The file.
        newer: Accept schemas newer than this package, for readers that say so to the user.

    Raises:
        PosteriorError: If the file is missing, malformed, no posterior file, or of a newer schema.
    """

    @cached_property
    def tree(self) -> "xr.DataTree":
        """Everything in the file as ``xarray`` opens it; of a partial file NaN where unwritten."""
        return open_posterior(self.path)

    def find(self, place: str) -> "xr.DataArray | None":
        """Return a variable with all its channels, such as ``estimate/std``; None if missing."""
        group, _, name = place.strip("/").rpartition("/")
        node = self.tree.children.get(group) if group else self.tree
        if node is None:
            return None
        dataset = node.to_dataset()
        return dataset[name] if name in dataset.variables else None

    def __getitem__(self, place: str) -> "xr.DataArray":
        """Return a variable that every file has, such as ``observed_data/y``.

        Raises:
            PosteriorError: If it is missing.
        """
        found = self.find(place)
        if found is None:
            raise PosteriorError(
                f"{self.path}: holds no /{place}; `uqrestore inspect` lists it all."
            )
        return found

    def variable(self, name: str) -> "xr.DataArray":
        """Return a map of ``/estimate`` or ``/reference`` with all its channels.

        Raises:
            PosteriorError: If the file is not finished or holds no such map.
        """
        if not self.complete:
            raise PosteriorError(
                f"{self.path}: is not finished, so it holds no {name}; resume its run, or use its "
                "samples, which are NaN where nothing is written yet."
            )
        for group in MAP_GROUPS:
            found = self.find(f"{group}/{name}")
            if found is not None:
                return found
        raise PosteriorError(
            f"{self.path}: holds no map {name!r}; it can be {', '.join(self.maps)}."
        )

    def channel_values(self, name: str) -> Iterator[Float32[np.ndarray, "z y x"]]:
        """Yield a map of ``/estimate`` or ``/reference`` channel by channel."""
        values = self.variable(name)
        for channel in range(values.sizes.get("channel", 1)):
            yield values.isel(channel=channel, missing_dims="ignore").values.astype(np.float32)

    @property
    def maps(self) -> tuple[str, ...]:
        """Names of the volumes of ``/estimate`` and ``/reference``."""
        groups = (self.tree.children[g].to_dataset() for g in MAP_GROUPS if g in self.tree.children)
        return tuple(
            str(name)
            for group in groups
            for name, values in group.data_vars.items()
            if {"z", "y", "x"} <= set(values.dims)
        )

    @property
    def channels(self) -> int:
        """Channels of an image; 2 (real, imaginary) for complex images."""
        return int(self._draws.sizes.get("channel", 1))

    @property
    def complex_image(self) -> bool:
        """True if the two channels of an image are its real and its imaginary part."""
        return self.channels == COMPLEX

    @property
    def draws(self) -> int:
        """Number of draws behind mean and spread; :attr:`samples` may hold fewer (``--keep``)."""
        estimate = self.tree.children.get("estimate")
        made = None if estimate is None else estimate.attrs.get("draws")
        return int(self._draws.sizes["draw"] if made is None else made)

    @property
    def unit(self) -> str:
        """Unit of the voxel values."""
        return str(self._draws.attrs.get("units", "a.u."))

    @property
    def slices(self) -> np.ndarray:
        """Index of every slice on the model's grid."""
        return self["slice"].values

    @property
    def samples(self) -> "xr.DataArray":
        """The draws that are kept, (sample, z, y, x)."""
        draws = shown_channel(self._draws)
        return draws.stack(sample=("chain", "draw")).transpose("sample", ...)

    @property
    def valid(self) -> "xr.DataArray":
        """Which slices of which draws are written, (draw, z)."""
        return self["posterior/valid"].isel(chain=0) == 1

    @property
    def mean(self) -> "xr.DataArray":
        """The posterior mean, (z, y, x); of complex images the magnitude of the complex mean."""
        return shown_channel(self.variable("mmse"))

    @property
    def std(self) -> "xr.DataArray":
        """The posterior standard deviation of every pixel, (z, y, x).

        Of complex images that of the magnitude; where draws were not kept, the root mean square of
        those of the two parts.
        """
        std = self.variable("std")
        if not self.complex_image:
            return shown_channel(std)
        if len(self.samples) < self.draws:
            return shown_channel(std) / COMPLEX**0.5
        return self.samples.std("sample", ddof=1).rename("std")

    @property
    def component_count(self) -> int:
        """Number of principal components; 0 where the file holds none."""
        pc = self.find("estimate/pc")
        return 0 if pc is None else int(pc.sizes["component"])

    @property
    def components(self) -> "xr.DataArray":
        """Principal components of unit norm in each slice, (component, z, y, x).

        Of complex images the part in phase with the mean, by which the magnitude changes.
        """
        pc = self.variable("pc")
        shown = in_phase(pc, self.variable("mmse")) if self.complex_image else shown_channel(pc)
        return shown.transpose("component", "z", "y", "x")

    @property
    def component_std(self) -> "xr.DataArray":
        """Standard deviation along each component, (component, z)."""
        return self.variable("pc_std")

    @property
    def parameters(self) -> dict[str, "xr.DataArray"]:
        """Draws of the unknown parameters by name, (chain, draw, z, ...); empty if all was known.

        Without the standard normal coordinates ``theta``, which ``find("parameters/theta")`` gives.
        """
        node = self.tree.children.get("parameters")
        return (
            {}
            if node is None
            else {
                str(name): values
                for name, values in node.to_dataset().data_vars.items()
                if name != COORDINATES
            }
        )

    @property
    def mask(self) -> "xr.DataArray | None":
        """Voxels of the object, (z, y, x); None if the file holds no mask."""
        mask = self.find("constant_data/brain_mask")
        return None if mask is None else mask.astype(bool)

    @property
    def truth(self) -> "xr.DataArray | None":
        """The known image of a simulated acquisition, (z, y, x)."""
        return self._reference("truth")

    @property
    def zero_filled(self) -> "xr.DataArray | None":
        """The plain image of the measurement, (z, y, x)."""
        return self._reference("zero_filled")

    @property
    def cg_sense(self) -> "xr.DataArray | None":
        """The CG-SENSE image, (z, y, x), where the pipeline names it among its baselines."""
        return self._reference("cg_sense")

    @property
    def l1_wavelet(self) -> "xr.DataArray | None":
        """The l1-wavelet image, (z, y, x), where the pipeline names it among its baselines."""
        return self._reference("l1_wavelet")

    @property
    def total_variation(self) -> "xr.DataArray | None":
        """The total-variation image, (z, y, x), where the pipeline names it."""
        return self._reference("total_variation")

    @property
    def filtered_back_projection(self) -> "xr.DataArray | None":
        """The filtered back-projection, (z, y, x), where the pipeline names it."""
        return self._reference("filtered_back_projection")

    @cached_property
    def phase(self) -> "xr.DataArray | None":
        """Phase of the image in radians, (z, y, x).

        Of complex images that of the mean; of real ones that of the operator, None where it holds
        none.
        """
        from uqrestore.posterior._phase import phase_of

        return phase_of(self)

    @property
    def guarantee(self) -> dict[str, Any] | None:
        """Calibrated guarantee of the intervals in ``/interval``; None if the file has none."""
        group = self.tree.children.get("interval")
        if group is None or "guarantee" not in group.attrs:
            return None
        return self.parsed("guarantee", as_text(group.attrs["guarantee"]))

    def close(self) -> None:
        """Close the file; what was not loaded can no longer be read."""
        if "tree" in vars(self):
            self.tree.close()

    def __enter__(self) -> "PosteriorFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def _draws(self) -> "xr.DataArray":
        return self["posterior/image"]

    def _reference(self, name: str) -> "xr.DataArray | None":
        found = self.find(f"reference/{name}")
        return None if found is None else shown_channel(found)


def shown_channel(values: "xr.DataArray") -> "xr.DataArray":
    """Return what pictures show: the magnitude of complex images, of others the first channel."""
    if values.sizes.get("channel") != COMPLEX:
        return values.isel(channel=0, missing_dims="ignore")
    import xarray as xr

    parts = values.isel(channel=0, drop=True), values.isel(channel=1, drop=True)
    return xr.apply_ufunc(np.hypot, *parts, keep_attrs=True)


def in_phase(values: "xr.DataArray", mean: "xr.DataArray") -> "xr.DataArray":
    r"""Return the part of complex images in phase with a mean.

    .. math:: \operatorname{Re}(v \, \bar m / |m|)

    It is the change of the magnitude of :math:`m` by a small :math:`v`.
    """
    size = shown_channel(mean)
    return (values * mean).sum("channel") / size.where(size > 0, 1)


def images_of(
    values: "xr.DataArray",
) -> Float32[np.ndarray, "*lead slice channel row column"]:
    """Load a volume of images with its channel axis, of size 1 where the file has none."""
    if "channel" not in values.dims:
        values = values.expand_dims("channel")
    return values.transpose(..., "z", "channel", "y", "x").values.astype(np.float32)
