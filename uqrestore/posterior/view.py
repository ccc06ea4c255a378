"""The one reader of posterior files: header at once, arrays when they are asked for."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float32

from uqrestore.posterior._hdf5 import UNREADABLE
from uqrestore.posterior.errors import PosteriorError
from uqrestore.posterior.integrity import intact
from uqrestore.posterior.open import open_posterior, read_operator, read_placement, root_attributes
from uqrestore.scans import Intensity
from uqrestore.scans.placement import Placement

if TYPE_CHECKING:
    import xarray as xr

    from uqrestore.operators import LinearOperator

SCHEMA = 1
"""Newest schema of posterior files that this package knows."""

MAP_GROUPS = ("estimate", "reference")


@dataclass(frozen=True, eq=False)
class PosteriorFile:
    """A finished or partial posterior file, read lazily.

    Volumes are ``xarray`` arrays indexed (z, y, x) in the file's units. Of images with several
    channels they show the first; :meth:`variable` and :func:`images_of` give all of them.

    Args:
        path: The file.
        newer: Accept schemas newer than this package, for readers that say so to the user.

    Raises:
        PosteriorError: If the file is missing, damaged, no posterior file, or of a newer schema.
    """

    path: Path
    newer: bool = False

    def __post_init__(self) -> None:
        if self.schema > SCHEMA and not self.newer:
            raise PosteriorError(
                f"{self.path}: has schema uqrestore-{self.schema} but this version reads "
                f"uqrestore-{SCHEMA}; upgrade uqrestore."
            )

    # --- header -------------------------------------------------------------------------------

    @cached_property
    def root(self) -> Mapping[str, str]:
        """Attributes of the root, as text."""
        return {name: _text(value) for name, value in root_attributes(self.path).items()}

    @property
    def schema(self) -> int:
        """Version of the file format."""
        found = re.search(r"uqrestore-(\d+)", self.root["Conventions"])
        return int(found[1]) if found else 0

    @property
    def status(self) -> str:
        """``"complete"`` or ``"partial"``."""
        return self.root.get("status", "unknown")

    @property
    def complete(self) -> bool:
        """True if the run that wrote the file has finished."""
        return self.status == "complete"

    @property
    def stem(self) -> str:
        """Name of the file without its suffixes."""
        name = self.path.name.removesuffix(".part")
        return name.removesuffix(".h5").removesuffix(".posterior") or "posterior"

    @property
    def provenance(self) -> dict[str, Any]:
        """Pipeline, prior, scan and versions; empty if the file states none."""
        return self.attribute("provenance") or {}

    @property
    def scope(self) -> dict[str, Any] | None:
        """Verdict on whether the prior was trained for such scans; None if not stated."""
        return self.attribute("scope")

    @property
    def figures(self) -> dict[str, float]:
        """Summary figures of the scan, such as a PSNR."""
        return self.attribute("figures") or {}

    @property
    def guarantee(self) -> dict[str, Any] | None:
        """Calibrated guarantee of the intervals in ``/interval``; None if the file has none."""
        group = self.tree.children.get("interval")
        if group is None or "guarantee" not in group.attrs:
            return None
        return self._parsed("guarantee", _text(group.attrs["guarantee"]))

    def attribute(self, name: str) -> dict[str, Any] | None:
        """Return a JSON attribute of the root, or None where it is not stated.

        Raises:
            PosteriorError: If it is not a JSON object.
        """
        return self._parsed(name, self.root[name]) if name in self.root else None

    @cached_property
    def intensity(self) -> Intensity:
        """Map between the file's units and those of the network.

        Raises:
            PosteriorError: If the file does not state it.
        """
        try:
            return Intensity(**self.provenance["intensity"])
        except (KeyError, TypeError, ValueError) as error:
            raise PosteriorError(
                f"{self.path}: does not state the intensity range of its prior; restore the scan "
                "again to have it."
            ) from error

    @cached_property
    def placement(self) -> Placement:
        """Where the slices lie, and the way to the grid of the scan's own file."""
        return read_placement(self.path)

    def require_sound(self) -> None:
        """Refuse a file that is not finished, or in which a byte has changed since.

        Raises:
            PosteriorError: Saying what to do.
        """
        if not self.complete:
            raise PosteriorError(
                f"{self.path}: is not finished; run the same command to resume it."
            )
        if intact(self.path) is False:
            raise PosteriorError(
                f"{self.path}: a byte has changed since it was written; `uqrestore inspect` says "
                "where. Take a sound copy, or make it again."
            )

    def operator(self) -> "LinearOperator":
        """Rebuild the measurement operator, a batch over slices where it differs between them."""
        return read_operator(self.path)

    # --- arrays -------------------------------------------------------------------------------

    @cached_property
    def tree(self) -> "xr.DataTree":
        """Everything in the file as ``xarray`` opens it; of a partial file NaN where unwritten."""
        try:
            return open_posterior(self.path)
        except UNREADABLE as error:
            if isinstance(error, PosteriorError):
                raise
            raise PosteriorError(f"{self.path}: cannot be read ({error}).") from error

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
        """The posterior mean, (z, y, x)."""
        return shown_channel(self.variable("mmse"))

    @property
    def std(self) -> "xr.DataArray":
        """The posterior standard deviation of every pixel, (z, y, x)."""
        return shown_channel(self.variable("std"))

    @property
    def component_count(self) -> int:
        """Number of principal components; 0 where the file holds none."""
        pc = self.find("estimate/pc")
        return 0 if pc is None else int(pc.sizes["component"])

    @property
    def components(self) -> "xr.DataArray":
        """Principal components of unit norm in each slice, (component, z, y, x)."""
        return shown_channel(self.variable("pc")).transpose("component", "z", "y", "x")

    @property
    def component_std(self) -> "xr.DataArray":
        """Standard deviation along each component, (component, z)."""
        return self.variable("pc_std")

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

    @cached_property
    def phase(self) -> "xr.DataArray | None":
        """Phase of the image in radians, (z, y, x), where the operator holds one (raw k-space)."""
        from uqrestore.operators import Composed

        operator = self.operator()
        parts = operator.parts if isinstance(operator, Composed) else (operator,)
        phase = getattr(parts[0], "phase", None)
        if phase is None:
            return None
        phase = phase.unsqueeze(-3)
        for part in parts[1:]:  # the image is a part of the measured field of view
            phase = part.adjoint(phase)
        values = self._draws.isel(chain=0, draw=0, channel=0, missing_dims="ignore", drop=True)
        shape = values.shape
        array = values.copy(data=np.broadcast_to(phase.squeeze(-3).numpy(), shape))
        return array.rename("phase").assign_attrs(units="rad", long_name="phase of the image")

    # --- closing ------------------------------------------------------------------------------

    def close(self) -> None:
        """Close the file; what was not loaded can no longer be read."""
        if "tree" in vars(self):
            self.tree.close()

    def __enter__(self) -> "PosteriorFile":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def _draws(self) -> "xr.DataArray":
        return self["posterior/image"]

    def _reference(self, name: str) -> "xr.DataArray | None":
        found = self.find(f"reference/{name}")
        return None if found is None else shown_channel(found)

    def _parsed(self, name: str, text: str) -> dict[str, Any]:
        try:
            content = json.loads(text)
        except (ValueError, RecursionError):
            content = None
        if not isinstance(content, dict):
            raise PosteriorError(f"{self.path}: its attribute {name} is not readable.")
        return content


def shown_channel(values: "xr.DataArray") -> "xr.DataArray":
    """Return the channel that pictures show: the first."""
    return values.isel(channel=0, missing_dims="ignore")


def images_of(
    values: "xr.DataArray",
) -> Float32[np.ndarray, "*lead slice channel row column"]:
    """Load a volume of images with its channel axis, of size 1 where the file has none."""
    if "channel" not in values.dims:
        values = values.expand_dims("channel")
    return values.transpose(..., "z", "channel", "y", "x").values.astype(np.float32)


def _text(value: Any) -> str:  # noqa: ANN401  (attributes come as any type)
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
