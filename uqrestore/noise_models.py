r"""Noise models: distributions of a measurement about its noise-free signal.

Each is a frozen value with the density :math:`p(y \mid s)` of one entry of the measurement given
its noise-free value, its derivative (the score), its Fisher information, and simulation. Parameters
are numbers, or tensors that broadcast against measurements: shape ``(b, 1, 1, 1)`` for one value
per problem of measurements ``(b, channel, row, column)``.
"""

import abc
import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, TypeVar

import numpy as np
import torch
from torch import Tensor

from uqrestore.noise import SampleNoise
from uqrestore.operators._checks import Index

__all__ = ["NOISE_MODELS", "Gaussian", "NoiseModel", "Poisson", "Rician", "StudentT"]

Parameter = float | int | Tensor
Model = TypeVar("Model", bound="NoiseModel")
SMALLEST = 1e-12
"""Lower bound of rates and magnitudes inside logarithms."""


class NoiseModel(abc.ABC):
    """Distribution of a measurement about its noise-free signal, entry by entry.

    Attributes:
        name: Name in the registry.
    """

    name: ClassVar[str]

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

    def _require_positive(self, *names: str) -> None:
        for name in names:
            value = torch.as_tensor(getattr(self, name))
            if not (torch.isfinite(value) & (value > 0)).all():
                raise ValueError(f"{self.name}: {name} must be finite and above 0, got {value}.")


@dataclass(frozen=True, eq=False)
class Gaussian(NoiseModel):
    r""":math:`y = s + \sigma n` with unit Gaussian ``n``.

    Args:
        std: :math:`\sigma`, at least 0; log-likelihood and score need it above 0.
    """

    name: ClassVar[str] = "gaussian"

    std: Parameter

    def __post_init__(self) -> None:
        std = torch.as_tensor(self.std)
        if not (torch.isfinite(std) & (std >= 0)).all():
            raise ValueError(f"gaussian: std must be finite and at least 0, got {self.std}.")

    def log_likelihood(self, y: Tensor, signal: Tensor) -> Tensor:
        std = torch.as_tensor(self.std).to(signal)
        return -0.5 * ((y - signal) / std) ** 2 - torch.log(math.sqrt(2 * math.pi) * std)

    def score(self, y: Tensor, signal: Tensor) -> Tensor:
        return (y - signal) / self.variance(signal)

    def information(self, signal: Tensor) -> Tensor:
        return 1 / self.variance(signal)

    def simulate(self, signal: Tensor, noise: SampleNoise) -> Tensor:
        return signal + torch.as_tensor(self.std).to(signal) * noise.like(signal)

    def mean(self, signal: Tensor) -> Tensor:
        return signal

    def variance(self, signal: Tensor) -> Tensor:
        return torch.as_tensor(self.std).to(signal).square().expand_as(signal)


@dataclass(frozen=True, eq=False)
class Poisson(NoiseModel):
    r"""Counts: :math:`y = g N` with :math:`N \sim \mathrm{Poisson}((s + b) / g)`.

    Args:
        gain: :math:`g`, units of ``y`` per count.
        background: :math:`b`, expected measurement without signal (scatter, dark current).
    """

    name: ClassVar[str] = "poisson"

    gain: Parameter = 1.0
    background: Parameter = 0.0

    def __post_init__(self) -> None:
        self._require_positive("gain")
        if not (torch.as_tensor(self.background) >= 0).all():
            raise ValueError(f"poisson: background must be at least 0, got {self.background}.")

    def log_likelihood(self, y: Tensor, signal: Tensor) -> Tensor:
        counts, rate = y / self.gain, self.mean(signal) / self.gain
        return torch.xlogy(counts, rate) - rate - torch.lgamma(counts + 1)

    def score(self, y: Tensor, signal: Tensor) -> Tensor:
        return (y / self.mean(signal) - 1) / self.gain

    def information(self, signal: Tensor) -> Tensor:
        return 1 / self.variance(signal)

    def simulate(self, signal: Tensor, noise: SampleNoise) -> Tensor:
        from scipy.stats import poisson

        rate = (self.mean(signal) / self.gain).double().cpu().numpy()
        counts = torch.as_tensor(poisson.ppf(_uniform(signal, noise), rate))
        return counts.to(signal) * self.gain

    def mean(self, signal: Tensor) -> Tensor:
        return (signal + self.background).clamp(min=SMALLEST)

    def variance(self, signal: Tensor) -> Tensor:
        return self.gain * self.mean(signal)

    def check(self, y: Tensor) -> None:
        counts = y / self.gain
        if bool((counts < 0).any()):
            raise ValueError(
                f"poisson: {int((counts < 0).sum())} measurements are negative, such as "
                f"{float(y.min()):g}; counts are at least 0. Undo an offset, or use Gaussian noise."
            )
        away = (counts - counts.round()).abs()
        bad = away > 1e-3 * (1 + 1e-3 * counts)
        if bool(bad.any()):
            raise ValueError(
                f"poisson: {int(bad.sum())} measurements are not whole numbers of counts, such as "
                f"{float(y.masked_select(bad)[0]):g}; give the gain in units of y per count."
            )


@dataclass(frozen=True, eq=False)
class Rician(NoiseModel):
    r"""Magnitude of a complex value with noise: :math:`y = |s + \sigma (n_1 + i n_2)|`.

    Args:
        std: :math:`\sigma` of the real and of the imaginary part.

    References:
        Gudbjartsson & Patz, "The Rician distribution of noisy MRI data", Magn. Reson. Med.
        34:910-914, 1995.
    """

    name: ClassVar[str] = "rician"

    std: Parameter

    def __post_init__(self) -> None:
        self._require_positive("std")

    def log_likelihood(self, y: Tensor, signal: Tensor) -> Tensor:
        var, y = torch.as_tensor(self.std).to(signal) ** 2, y.clamp(min=SMALLEST)
        bent = torch.special.i0e(y * signal.abs() / var).log()  # I0 without its growth
        return torch.log(y / var) - (y - signal.abs()) ** 2 / (2 * var) + bent

    def score(self, y: Tensor, signal: Tensor) -> Tensor:
        var = torch.as_tensor(self.std).to(signal) ** 2
        z = y * signal / var
        return (y * torch.special.i1e(z) / torch.special.i0e(z) - signal) / var

    def information(self, signal: Tensor) -> Tensor:
        """Return the leading terms at high and at low signal; between them 16 % above the exact."""
        var, power = torch.as_tensor(self.std).to(signal) ** 2, signal.square()
        return power / (var * (power + var))

    def simulate(self, signal: Tensor, noise: SampleNoise) -> Tensor:
        std = torch.as_tensor(self.std).to(signal)
        return torch.hypot(signal + std * noise.like(signal), std * noise.like(signal))

    def mean(self, signal: Tensor) -> Tensor:
        std = torch.as_tensor(self.std).to(signal)
        u = signal.square() / (2 * std**2)
        bessel = (1 + u) * torch.special.i0e(u / 2) + u * torch.special.i1e(u / 2)
        return std * math.sqrt(math.pi / 2) * bessel

    def variance(self, signal: Tensor) -> Tensor:
        std = torch.as_tensor(self.std).to(signal)
        return 2 * std**2 + signal.square() - self.mean(signal).square()

    def check(self, y: Tensor) -> None:
        if bool((y < 0).any()):
            raise ValueError(
                f"rician: {int((y < 0).sum())} measurements are negative, such as "
                f"{float(y.min()):g}; magnitudes are at least 0."
            )


@dataclass(frozen=True, eq=False)
class StudentT(NoiseModel):
    r"""Noise with outliers: :math:`y = s + c t`, ``t`` of Student's distribution.

    Args:
        scale: :math:`c`.
        df: Degrees of freedom; fewer give heavier tails.
    """

    name: ClassVar[str] = "student_t"

    scale: Parameter
    df: float | int = 4.0

    def __post_init__(self) -> None:
        self._require_positive("scale", "df")

    def log_likelihood(self, y: Tensor, signal: Tensor) -> Tensor:
        scale, df = torch.as_tensor(self.scale).to(signal), self.df
        constant = math.lgamma((df + 1) / 2) - math.lgamma(df / 2) - 0.5 * math.log(math.pi * df)
        away = ((y - signal) / scale).square() / df
        return constant - scale.log() - (df + 1) / 2 * torch.log1p(away)

    def score(self, y: Tensor, signal: Tensor) -> Tensor:
        away = y - signal
        return (self.df + 1) * away / (self.df * self.scale**2 + away.square())

    def information(self, signal: Tensor) -> Tensor:
        scale = torch.as_tensor(self.scale).to(signal)
        return ((self.df + 1) / ((self.df + 3) * scale**2)).expand_as(signal)

    def simulate(self, signal: Tensor, noise: SampleNoise) -> Tensor:
        from scipy.stats import t

        drawn = torch.as_tensor(t.ppf(_uniform(signal, noise), self.df))
        return signal + self.scale * drawn.to(signal)

    def mean(self, signal: Tensor) -> Tensor:
        return signal

    def variance(self, signal: Tensor) -> Tensor:
        scale = torch.as_tensor(self.scale).to(signal)
        factor = self.df / (self.df - 2) if self.df > 2 else math.inf
        return (factor * scale**2).expand_as(signal)


NOISE_MODELS: Mapping[str, type[NoiseModel]] = {
    "gaussian": Gaussian,
    "poisson": Poisson,
    "rician": Rician,
    "student_t": StudentT,
}


def _uniform(signal: Tensor, noise: SampleNoise) -> np.ndarray:
    """Draw uniform numbers from the Gaussian streams, one per entry of the signal."""
    return torch.special.ndtr(noise.like(signal.double().cpu())).numpy()
