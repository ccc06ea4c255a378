"""Plan of a posterior file, fixed before the first draw."""

import hashlib
import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Shaped

from uqrestore.posterior.errors import PosteriorError
from uqrestore.scans.placement import Placement

Named = tuple[tuple[str, ...], np.ndarray]
"""An array and the names of its dimensions, outermost first, as xarray takes it."""


@dataclass(frozen=True, eq=False)
class Parameter:
    """An unknown parameter, as a posterior file states it.

    Attributes:
        name: Its name.
        unit: Its unit; ``1`` for a pure number.
        centre: Median of its prior, of the shape of the parameter.
        std: Standard deviation of its prior.
        truth: Its value for every slice of a simulated measurement; None where it is not known.
    """

    name: str
    unit: str
    centre: Float[np.ndarray, "..."]
    std: Float[np.ndarray, "..."]
    truth: Float[np.ndarray, "slice ..."] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one value; () for a number."""
        return self.centre.shape

    @property
    def dims(self) -> tuple[str, ...]:
        """Names of the dimensions of one value."""
        return tuple(f"{self.name}_{axis}" for axis in range(self.centre.ndim))


@dataclass(frozen=True, eq=False, kw_only=True)
class PosteriorPlan:
    """Content of a posterior file that is known before the draws.

    Images come as ``(slice, channel, row, column)`` in the file's units; slices are those of
    ``slices``, in that order.

    Attributes:
        placement: Place of the model's grid on that of the scan.
        slices: Slices to restore, as indices on the model's grid; increasing.
        draws: Number of posterior draws of each slice.
        channels: Channels of an image; with 1 the file has no channel dimension.
        unit: Unit of the voxel values.
        seed: Seed of the run; the stream of a draw follows from (seed, scan, slice, draw).
        fingerprint: Names what decides the numbers: pipeline, weights, scan. A partial file
            with another fingerprint is not resumed.
        operator: Registry name, parameters for JSON, arrays.
        y: The measurement as acquired; dimension ``z`` runs over ``slices``.
        y_unit: Unit of the measurement; None for that of the voxel values.
        noise_std: Standard deviation of the noise of ``y``, one or one per slice; of noise that is
            not Gaussian a typical one.
        noise_model: Name and parameters of noise that is not Gaussian, or of an operator that is
            not linear; None otherwise.
        parameters: Unknown parameters of the measurement, which are drawn with the image.
        observed: More arrays of ``/observed_data``.
        mask: Brain mask of the slices.
        reference: Images to compare with, such as the truth of a simulated acquisition.
        stats: Names of the numbers given with every draw of a slice.
        scope: The verdict of ``scans.check_scope``.
        provenance: Values for JSON on how the file came about.
        title: One line, shown by ``inspect`` and reports.
    """

    placement: Placement
    slices: tuple[int, ...]
    draws: int
    channels: int
    unit: str
    seed: int
    fingerprint: str
    operator: tuple[str, dict[str, Any], dict[str, np.ndarray]]
    y: Named
    y_unit: str | None = None
    noise_std: float | np.ndarray = 0.0
    noise_model: Mapping[str, Any] | None = None
    parameters: tuple[Parameter, ...] = ()
    observed: Mapping[str, Named] = field(default_factory=dict)
    mask: Bool[np.ndarray, "slice row column"] | None = None
    reference: Mapping[str, Shaped[np.ndarray, "slice channel row column"]] = field(
        default_factory=dict
    )
    stats: tuple[str, ...] = ()
    scope: Mapping[str, Any] | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    title: str = "Posterior of a scan"

    def __post_init__(self) -> None:
        for fault in self._faults():
            raise PosteriorError(f"posterior plan: {fault}.")

    @property
    def rows(self) -> int:
        """Rows of a slice."""
        return self.placement.model.shape[1]

    @property
    def columns(self) -> int:
        """Columns of a slice."""
        return self.placement.model.shape[0]

    @property
    def image_dims(self) -> tuple[str, ...]:
        """Dimensions of one image volume in the file."""
        return ("z", "y", "x") if self.channels == 1 else ("channel", "z", "y", "x")

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Sizes of :attr:`image_dims`."""
        space = (len(self.slices), self.rows, self.columns)
        return space if self.channels == 1 else (self.channels, *space)

    @property
    def summary_bytes(self) -> int:
        """Memory that the draws take while they are summarised, beside maps of the volume.

        Marks of every slab, inner products of the draws and what their eigenvectors need, and a
        row of every draw.
        """
        slabs, row = 40 * len(self.slices), 24 * self.channels * self.columns
        return self.draws * (slabs + row + 48 * self.draws)

    def to_volume(
        self, images: Shaped[np.ndarray, "*lead slice channel row column"]
    ) -> Shaped[np.ndarray, "..."]:
        """Reorder images to the file's dimensions :attr:`image_dims`."""
        volume = np.moveaxis(images, -3, -4)
        return volume[..., 0, :, :, :] if self.channels == 1 else volume

    @property
    def digest(self) -> str:
        """SHA-256 over everything exact; the measurement's floats are compared by value."""
        name, params, arrays = self.operator
        unknown = [[p.name, p.shape] for p in self.parameters]
        facts = {
            "fingerprint": self.fingerprint,
            "placement": self.placement.to_data(),
            "slices": self.slices,
            "draws": self.draws,
            "channels": self.channels,
            "unit": self.unit,
            "seed": self.seed,
            "operator": [name, params],
            "y": [self.y[0], self.y[1].shape],
            "stats": self.stats,
            **({"noise": self.noise_model} if self.noise_model is not None else {}),
            **({"parameters": unknown} if unknown else {}),
            "arrays": {key: _exact(value) for key, value in sorted(arrays.items())},
        }
        return hashlib.sha256(to_json(facts).encode()).hexdigest()

    def _faults(self) -> list[str]:
        faults = []
        slices, count = self.slices, self.placement.model.shape[2]
        if not slices or any(a >= b for a, b in itertools.pairwise(slices)):
            faults.append(f"slices must increase and be at least one, got {slices}")
        elif slices[0] < 0 or slices[-1] >= count:
            faults.append(f"slices {slices} do not all lie in 0 ... {count - 1}")
        if self.draws < 1 or self.channels < 1:
            faults.append(f"got {self.draws} draws of {self.channels} channels; both start at 1")
        space = (len(slices), self.rows, self.columns)
        if self.mask is not None and self.mask.shape != space:
            faults.append(f"the mask has shape {self.mask.shape}, the slices {space}")
        image = (len(slices), self.channels, self.rows, self.columns)
        faults += [
            f"reference {name!r} has shape {value.shape}, the images {image}"
            for name, value in self.reference.items()
            if value.shape != image
        ]
        sizes = {"z": len(slices), "y": self.rows, "x": self.columns, "channel": self.channels}
        for name, (dims, values) in {"y": self.y, **self.observed}.items():
            if len(dims) != values.ndim:
                faults.append(f"{name} has {values.ndim} axes but dimensions {dims}")
            faults += [
                f"{name} has {size} along {dim!r} where {sizes[dim]} are expected"
                for dim, size in zip(dims, values.shape, strict=False)
                if sizes.setdefault(dim, size) != size
            ]
        if not np.isfinite(self.y[1]).all():
            faults.append("the measurement y holds NaN or infinite numbers")
        noise = np.asarray(self.noise_std)
        if noise.shape not in ((), (len(slices),)) or not (np.isfinite(noise) & (noise >= 0)).all():
            faults.append(f"noise_std must be one number >= 0 or one per slice, got {noise}")
        faults += [
            f"{name!r} is no name for a statistic" for name in self.stats if not name.isidentifier()
        ]
        return faults


def to_json(value: Any) -> str:  # noqa: ANN401  (any JSON value)
    """Return one line of JSON with sorted keys; numpy scalars and arrays become numbers."""
    return json.dumps(value, sort_keys=True, default=_plain)


def _plain(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return str(value)


def _exact(array: np.ndarray) -> list[Any]:
    if array.dtype.kind in "biu":
        return [array.shape, hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()]
    return [array.shape, str(array.dtype)]
