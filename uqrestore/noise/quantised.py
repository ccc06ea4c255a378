"""Noise of measurements that are rounded by a detector or a file."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from uqrestore.noise.base import NoiseModel, Parameter, as_like
from uqrestore.noise.streams import SampleNoise

BINS = 8
"""Steps on either side of the signal in sums over all measurements: six standard deviations, where
these are at most a step."""
FINE = 1e-3
"""Step, in standard deviations, below which the probability is the density times the step: the
difference of two nearly equal numbers would be rounding in single precision."""
OFF = 1e-3
"""Distance from a multiple of the step, in steps, that rounding of numbers explains."""


@dataclass(frozen=True, eq=False)
class Quantised(NoiseModel):
    r"""Gaussian noise, then rounding: :math:`y = \Delta\,\mathrm{round}((s + \sigma n) / \Delta)`.

    Its probabilities are those of the Gaussian within half a step; with little noise they tend to
    uniform noise of a step's width about ``y``.

    Args:
        step: :math:`\Delta`, the distance of two values.
        std: :math:`\sigma`, of the noise before rounding; above 0, however small.

    References:
        Widrow & Kollar, "Quantization Noise", Cambridge University Press, 2008.
    """

    name: ClassVar[str] = "quantised"
    in_units_of_y: ClassVar[tuple[str, ...]] = ("step", "std")

    step: Parameter
    std: Parameter

    def __post_init__(self) -> None:
        self.require_positive("step", "std")

    def log_likelihood(self, y: Tensor, signal: Tensor) -> Tensor:
        low, high = self._edges(y, signal)
        # Both on the left, where no probability is rounded to 1.
        flipped = low + high > 0
        low, high = torch.where(flipped, -high, low), torch.where(flipped, -low, high)
        upper = torch.special.log_ndtr(high)
        exact = upper + torch.log1p(-torch.exp(torch.special.log_ndtr(low) - upper))
        width = as_like(self.step, signal) / as_like(self.std, signal)
        density = -((low + high) / 2).square() / 2 - 0.5 * math.log(2 * math.pi)
        return torch.where(width < FINE, density + width.log(), exact)

    def score(self, y: Tensor, signal: Tensor) -> Tensor:
        low, high = self._edges(y, signal)
        total = self.log_likelihood(y, signal)
        ends = [(-0.5 * end.square() - total).exp() for end in (low, high)]
        step, std = as_like(self.step, signal), as_like(self.std, signal)
        exact = (ends[0] - ends[1]) / (math.sqrt(2 * math.pi) * std)
        return torch.where(step < FINE * std, (y - signal) / std.square(), exact)

    def information(self, signal: Tensor) -> Tensor:
        """Return the Fisher information: that of Gaussian noise, less what rounding loses."""
        wide = 1 / (as_like(self.std, signal).square() + as_like(self.step, signal).square() / 12)
        return self._expected(lambda y: self.score(y, signal).square(), wide, signal)

    def simulate(self, signal: Tensor, noise: SampleNoise) -> Tensor:
        step, std = as_like(self.step, signal), as_like(self.std, signal)
        return step * torch.round((signal + std * noise.like(signal)) / step)

    def mean(self, signal: Tensor) -> Tensor:
        return self._expected(lambda y: y, signal, signal)

    def variance(self, signal: Tensor) -> Tensor:
        step, std = as_like(self.step, signal), as_like(self.std, signal)
        mean = self.mean(signal)
        wide = (std.square() + step.square() / 12).expand_as(signal)  # Sheppard's correction
        return self._expected(lambda y: (y - mean).square(), wide, signal)

    def check(self, y: Tensor) -> None:
        steps = y / as_like(self.step, y)
        off = (steps - steps.round()).abs() > OFF
        if bool(off.any()):
            raise ValueError(
                f"quantised: {int(off.sum())} measurements are no multiples of the step, such as "
                f"{float(y[off].flatten()[0]):g}; give the step of the detector, or gaussian noise."
            )

    def _edges(self, y: Tensor, signal: Tensor) -> tuple[Tensor, Tensor]:
        """Return the ends of what is rounded to ``y``, in standard deviations of the noise."""
        half, std = as_like(self.step, signal) / 2, as_like(self.std, signal)
        return (y - half - signal) / std, (y + half - signal) / std

    def _expected(self, of: Callable[[Tensor], Tensor], wide: Tensor, signal: Tensor) -> Tensor:
        """Return the mean over measurements; ``wide`` where noise hides the steps (3e-9 off)."""
        step, total = as_like(self.step, signal), torch.zeros_like(signal)
        nearest = torch.round(signal / step)
        for offset in range(-BINS, BINS + 1):
            y = step * (nearest + offset)
            total = total + self.log_likelihood(y, signal).exp() * torch.nan_to_num(of(y))
        return torch.where(as_like(self.std, signal) > step, wide, total)
