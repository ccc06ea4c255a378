"""Noise with outliers."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from uqrestore.noise.base import NoiseModel, Parameter, as_like, uniform_like
from uqrestore.noise.gaussian import Gaussian
from uqrestore.noise.streams import SampleNoise


@dataclass(frozen=True, eq=False)
class StudentT(NoiseModel):
    r"""Noise with outliers: :math:`y = s + c t`, ``t`` of Student's distribution.

    Args:
        scale: :math:`c`.
        df: Degrees of freedom; fewer give heavier tails.
    """

    name: ClassVar[str] = "student_t"
    in_units_of_y: ClassVar[tuple[str, ...]] = ("scale",)

    scale: Parameter
    df: float | int = 4.0

    def __post_init__(self) -> None:
        self.require_positive("scale", "df")

    def log_likelihood(self, y: Tensor, signal: Tensor) -> Tensor:
        scale, df = as_like(self.scale, signal), self.df
        constant = math.lgamma((df + 1) / 2) - math.lgamma(df / 2) - 0.5 * math.log(math.pi * df)
        away = ((y - signal) / scale).square() / df
        return constant - scale.log() - (df + 1) / 2 * torch.log1p(away)

    def score(self, y: Tensor, signal: Tensor) -> Tensor:
        away = y - signal
        return (self.df + 1) * away / (self.df * self.scale**2 + away.square())

    def information(self, signal: Tensor) -> Tensor:
        scale = as_like(self.scale, signal)
        return ((self.df + 1) / ((self.df + 3) * scale**2)).expand_as(signal)

    def simulate(self, signal: Tensor, noise: SampleNoise) -> Tensor:
        from scipy.stats import t

        drawn = torch.as_tensor(t.ppf(uniform_like(signal, noise), self.df))
        return signal + self.scale * drawn.to(signal)

    def mean(self, signal: Tensor) -> Tensor:
        return signal

    def variance(self, signal: Tensor) -> Tensor:
        scale = as_like(self.scale, signal)
        factor = self.df / (self.df - 2) if self.df > 2 else math.inf
        return (factor * scale**2).expand_as(signal)

    def chi_square(self, y: Tensor, signal: Tensor) -> Tensor:
        """Return the misfit that outliers do not dominate: at most ``df + 1``, of mean 1."""
        away = ((y - signal) / self.scale).square()
        return (self.df + 1) * away / (self.df + away)

    def given(
        self,
        y: Tensor,
        signal: Tensor,
        noise: SampleNoise,
        mask: Tensor | None,  # noqa: ARG002
    ) -> Gaussian:
        r"""Draw the variance of every entry; given these the noise is Gaussian.

        With :math:`n \mid v \sim N(0, v)` and :math:`v \sim \nu c^2 / \chi^2_\nu`.

        References:
            Geweke, "Bayesian treatment of the independent Student-t linear model", J. Appl.
            Econometrics 8:S19-S40, 1993.
        """
        from scipy.stats import chi2

        total = self.df * as_like(self.scale, signal) ** 2 + (y - signal).square()
        chi = torch.as_tensor(chi2.ppf(uniform_like(total, noise), self.df + 1))
        return Gaussian((total / chi.to(total)).sqrt())
