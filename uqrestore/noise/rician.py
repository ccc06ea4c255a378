"""Noise of magnitude images."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from uqrestore.noise.base import SMALLEST, NoiseModel, Parameter, as_like
from uqrestore.noise.streams import SampleNoise


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
    in_units_of_y: ClassVar[tuple[str, ...]] = ("std",)

    std: Parameter

    def __post_init__(self) -> None:
        self.require_positive("std")

    def log_likelihood(self, y: Tensor, signal: Tensor) -> Tensor:
        var, y = as_like(self.std, signal) ** 2, y.clamp(min=SMALLEST)
        bent = torch.special.i0e(y * signal.abs() / var).log()  # I0 without its growth
        return torch.log(y / var) - (y - signal.abs()) ** 2 / (2 * var) + bent

    def score(self, y: Tensor, signal: Tensor) -> Tensor:
        var = as_like(self.std, signal) ** 2
        z = y * signal / var
        return (y * torch.special.i1e(z) / torch.special.i0e(z) - signal) / var

    def information(self, signal: Tensor) -> Tensor:
        """Return the leading terms at high and at low signal; between them at most 7 % off."""
        var, power = as_like(self.std, signal) ** 2, signal.square()
        return power / (var * (power + var))

    def simulate(self, signal: Tensor, noise: SampleNoise) -> Tensor:
        std = as_like(self.std, signal)
        return torch.hypot(signal + std * noise.like(signal), std * noise.like(signal))

    def mean(self, signal: Tensor) -> Tensor:
        std = as_like(self.std, signal)
        u = signal.square() / (2 * std**2)
        bessel = (1 + u) * torch.special.i0e(u / 2) + u * torch.special.i1e(u / 2)
        return std * math.sqrt(math.pi / 2) * bessel

    def variance(self, signal: Tensor) -> Tensor:
        std = as_like(self.std, signal)
        return 2 * std**2 + signal.square() - self.mean(signal).square()

    def check(self, y: Tensor) -> None:
        if bool((y < 0).any()):
            raise ValueError(
                f"rician: {int((y < 0).sum())} measurements are negative, such as "
                f"{float(y.min()):g}; magnitudes are at least 0."
            )
