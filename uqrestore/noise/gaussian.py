"""Gaussian noise of a known or an uncertain standard deviation."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from uqrestore.noise.base import NoiseModel, Parameter, as_like, uniform_like
from uqrestore.noise.streams import SampleNoise


@dataclass(frozen=True, eq=False)
class Gaussian(NoiseModel):
    r""":math:`y = s + \sigma n` with unit Gaussian ``n``.

    Args:
        std: :math:`\sigma`, at least 0; log-likelihood and score need it above 0.
    """

    name: ClassVar[str] = "gaussian"
    in_units_of_y: ClassVar[tuple[str, ...]] = ("std",)

    std: Parameter

    def __post_init__(self) -> None:
        std = torch.as_tensor(self.std)
        if not (torch.isfinite(std) & (std >= 0)).all():
            raise ValueError(f"gaussian: std must be finite and at least 0, got {self.std}.")

    def log_likelihood(self, y: Tensor, signal: Tensor) -> Tensor:
        std = as_like(self.std, signal)
        return -0.5 * ((y - signal) / std) ** 2 - torch.log(math.sqrt(2 * math.pi) * std)

    def score(self, y: Tensor, signal: Tensor) -> Tensor:
        return (y - signal) / self.variance(signal)

    def information(self, signal: Tensor) -> Tensor:
        return 1 / self.variance(signal)

    def simulate(self, signal: Tensor, noise: SampleNoise) -> Tensor:
        return signal + as_like(self.std, signal) * noise.like(signal)

    def mean(self, signal: Tensor) -> Tensor:
        return signal

    def variance(self, signal: Tensor) -> Tensor:
        return as_like(self.std, signal).square().expand_as(signal)


@dataclass(frozen=True, eq=False)
class UncertainGaussian(Gaussian):
    r"""Gaussian noise whose standard deviation is a parameter to draw with the image.

    The prior of the variance is scaled inverse chi-squared, :math:`\sigma^2 \sim \nu s^2 /
    \chi^2_\nu`: what an earlier measurement of ``degrees`` noise values with the root mean square
    ``std`` leaves open. Density and simulation are those at ``std``.

    Args:
        std: :math:`s`, above 0.
        degrees: :math:`\nu`; at 20 the standard deviation is known to 16 %.

    References:
        Gelman et al., "Bayesian Data Analysis", third edition, 2013, section 2.6.
    """

    name: ClassVar[str] = "uncertain_gaussian"

    degrees: float | int = 20.0

    def __post_init__(self) -> None:
        self.require_positive("std", "degrees")

    def given(self, y: Tensor, signal: Tensor, noise: SampleNoise, mask: Tensor | None) -> Gaussian:
        """Draw the standard deviation of each measurement."""
        from scipy.stats import chi2

        power = (y - signal).square()
        rows = torch.ones_like(power) if mask is None else mask.to(power).expand_as(power)
        axes = tuple(range(len(noise.shape), power.ndim))
        degrees = self.degrees + rows.sum(axes, keepdim=True)
        start = as_like(self.std, power)
        total = self.degrees * start.square() + (rows * power).sum(axes, keepdim=True)
        uniform = uniform_like(total, noise)
        chi = torch.as_tensor(chi2.ppf(uniform, degrees.double().cpu().numpy()))
        return Gaussian((total / chi.to(total)).sqrt())
