"""Protocol of noise models: density, score, information and draws of a measurement."""

import abc
import dataclasses
from collections.abc import Callable
from typing import ClassVar, TypeVar

import numpy as np
import torch
from torch import Tensor

from uqrestore.noise.streams import SampleNoise
from uqrestore.operators._checks import Index

Parameter = float | int | Tensor
Model = TypeVar("Model", bound="NoiseModel")
SMALLEST = 1e-12
"""Lower bound of rates and magnitudes inside logarithms."""


def as_like(value: Parameter, like: Tensor) -> Tensor:
    """Return a parameter in the type of measurements, without rounding a number on the way."""
    return torch.as_tensor(value, dtype=like.dtype, device=like.device)


class NoiseModel(abc.ABC):
    """Distribution of a measurement about its noise-free signal, entry by entry.

    Attributes:
        name: Name in the registry.
        in_units_of_y: Parameters that are in the units of the measurement.
    """

    name: ClassVar[str]
    in_units_of_y: ClassVar[tuple[str, ...]]

    @abc.abstractmethod
    def log_likelihood(self, y: Tensor, signal: Tensor) -> Tensor:
        """Log density of every entry of ``y``, of the broadcast shape of both."""

    @abc.abstractmethod
    def score(self, y: Tensor, signal: Tensor) -> Tensor:
        """Derivative of :meth:`log_likelihood` with respect to the signal."""

    @abc.abstractmethod
    def information(self, signal: Tensor) -> Tensor:
        """Fisher information of every entry about its signal, at least 0."""

    @abc.abstractmethod
    def simulate(self, signal: Tensor, noise: SampleNoise) -> Tensor:
        """Draw one measurement per stream, for a signal ``(*noise.shape, *out_shape)``."""

    @abc.abstractmethod
    def mean(self, signal: Tensor) -> Tensor:
        """Expected measurement."""

    @abc.abstractmethod
    def variance(self, signal: Tensor) -> Tensor:
        """Variance of the measurement; infinite where it does not exist."""

    def chi_square(self, y: Tensor, signal: Tensor) -> Tensor:
        """Return the misfit of every entry, whose mean is 1 at the true signal."""
        return (y - self.mean(signal)).square() / self.variance(signal)

    def scaled(self: Model, factor: float) -> Model:
        """Return the noise of ``factor * y``."""
        changed = {name: getattr(self, name) * factor for name in self.in_units_of_y}
        return dataclasses.replace(self, **changed)  # type: ignore[type-var]

    def parameters(self) -> dict[str, float]:
        """Return the parameters as numbers, for files.

        Raises:
            ValueError: If one differs between problems.
        """
        found = {}
        for key, value in vars(self).items():
            numbers = torch.as_tensor(value).unique()
            if len(numbers) != 1:
                raise ValueError(
                    f"{self.name}: {key} has {len(numbers)} values, and a posterior file holds "
                    "one for all its slices; write one file for each."
                )
            found[key] = float(numbers)
        return found

    def given(
        self,
        y: Tensor,  # noqa: ARG002 - for overrides
        signal: Tensor,  # noqa: ARG002
        noise: SampleNoise,  # noqa: ARG002
        mask: Tensor | None,  # noqa: ARG002
    ) -> "NoiseModel":
        """Draw what is unknown of the noise itself, and return the noise given that.

        Args:
            y: Measurement.
            signal: Noise-free measurement of an image, ``(*noise.shape, *out_shape)``.
            noise: Random streams.
            mask: True where ``y`` is a measurement; None for everywhere.
        """
        return self

    def check(self, y: Tensor) -> None:  # noqa: B027 - every real number is a measurement
        """Raise ``ValueError`` if ``y`` cannot come from this noise."""

    def select(self, index: Index, dims: int) -> "NoiseModel":
        """Return the noise of some problems, of measurements with ``dims`` dimensions each."""
        at = index if isinstance(index, int | slice | Tensor) else list(index)
        return self._with_tensors(lambda value: value[at] if value.ndim > dims else value)

    def to(self, target: torch.device | torch.dtype | str) -> "NoiseModel":
        """Return a copy on a device, or with its numbers in another floating-point type."""
        return self._with_tensors(lambda value: value.to(target))

    def _with_tensors(self: Model, change: Callable[[Tensor], Tensor]) -> Model:
        values = vars(self).items()
        changed = {key: change(value) for key, value in values if isinstance(value, Tensor)}
        return dataclasses.replace(self, **changed) if changed else self  # type: ignore[type-var]

    def require_positive(self, *names: str) -> None:
        for name in names:
            value = torch.as_tensor(getattr(self, name))
            if not (torch.isfinite(value) & (value > 0)).all():
                raise ValueError(f"{self.name}: {name} must be finite and above 0, got {value}.")


def uniform_like(signal: Tensor, noise: SampleNoise) -> np.ndarray:
    """Draw uniform numbers from the Gaussian streams, one per entry of the signal."""
    return torch.special.ndtr(noise.like(signal.double().cpu())).numpy()
