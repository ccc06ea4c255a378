"""Noise of counted photons."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from uqrestore.noise.base import SMALLEST, NoiseModel, Parameter, uniform_like
from uqrestore.noise.streams import SampleNoise


@dataclass(frozen=True, eq=False)
class Poisson(NoiseModel):
    r"""Counts: :math:`y = g N` with :math:`N \sim \mathrm{Poisson}((s + b) / g)`.

    Args:
        gain: :math:`g`, units of ``y`` per count.
        background: :math:`b`, expected measurement without signal (scatter, dark current).
    """

    name: ClassVar[str] = "poisson"
    in_units_of_y: ClassVar[tuple[str, ...]] = ("gain", "background")

    gain: Parameter = 1.0
    background: Parameter = 0.0

    def __post_init__(self) -> None:
        self.require_positive("gain")
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
        counts = torch.as_tensor(poisson.ppf(uniform_like(signal, noise), rate))
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
