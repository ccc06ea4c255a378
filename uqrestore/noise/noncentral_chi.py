"""Noise of magnitude images combined from several coils by the root of the sum of squares."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from uqrestore.noise.base import SMALLEST, NoiseModel, Parameter, as_like
from uqrestore.noise.streams import SampleNoise

MOST_COILS = 128
"""Channels beyond which nobody measures; terms grow with their number."""


@dataclass(frozen=True, eq=False)
class NoncentralChi(NoiseModel):
    r"""Root of the sum of squares of coils: :math:`y^2 = \sum_c |s_c + \sigma (n_1 + i n_2)|^2`.

    The signal is the same root without noise. Noise of the coils is independent; correlated noise
    is approximated by fewer coils and another ``std``. With one coil this is
    :class:`Rician` noise.

    Args:
        std: :math:`\sigma` of the real and of the imaginary part of each coil.
        coils: Number of coils.

    Raises:
        ValueError: If ``std`` is not above 0, or ``coils`` is no whole number from 1 to 128.

    References:
        Constantinides et al., "Signal-to-noise measurements in magnitude images from NMR phased
        arrays", Magn. Reson. Med. 38:852-857, 1997. Correlated coils: Aja-Fernandez &
        Tristan-Vega, Magn. Reson. Med. 67:580-585, 2012.
    """

    name: ClassVar[str] = "noncentral_chi"
    in_units_of_y: ClassVar[tuple[str, ...]] = ("std",)

    std: Parameter
    coils: int

    def __post_init__(self) -> None:
        self.require_positive("std")
        coils = float(self.coils)  # files keep numbers as floats
        if not (coils.is_integer() and 1 <= coils <= MOST_COILS):
            raise ValueError(
                f"{self.name}: coils must be a whole number from 1 to {MOST_COILS}, "
                f"got {self.coils}."
            )
        object.__setattr__(self, "coils", int(coils))

    def log_likelihood(self, y: Tensor, signal: Tensor) -> Tensor:
        var, y = as_like(self.std, signal) ** 2, y.clamp(min=SMALLEST)
        u = y * signal.abs() / var
        # log(I_{L-1}(u) / u^{L-1}) without its growth, finite at 0
        bent = torch.special.i0e(u).log()
        for ratio in _ratios(u, self.coils - 1):
            bent = bent + ratio.log()
        power = (2 * self.coils - 1) * torch.log(y) - self.coils * torch.log(var)
        return power - (y - signal.abs()) ** 2 / (2 * var) + bent

    def score(self, y: Tensor, signal: Tensor) -> Tensor:
        var = as_like(self.std, signal) ** 2
        u = y * signal.abs() / var
        return signal * (y.square() / var * _ratios(u, self.coils)[-1] - 1) / var

    def information(self, signal: Tensor) -> Tensor:
        """Return the leading terms at high and at low signal; between them at most 7 % off."""
        var, power = as_like(self.std, signal) ** 2, signal.square()
        return power / (var * (power + self.coils * var))

    def simulate(self, signal: Tensor, noise: SampleNoise) -> Tensor:
        std = as_like(self.std, signal)
        power = (signal + std * noise.like(signal)).square()
        for _ in range(2 * self.coils - 1):
            power = power + (std * noise.like(signal)).square()
        return power.sqrt()

    def mean(self, signal: Tensor) -> Tensor:
        from scipy.special import hyp1f1

        std = as_like(self.std, signal)
        u = (signal.square() / (2 * std**2)).double().cpu().numpy()
        factor = math.sqrt(2) * math.exp(math.lgamma(self.coils + 0.5) - math.lgamma(self.coils))
        return std * factor * torch.as_tensor(hyp1f1(-0.5, self.coils, -u)).to(signal)

    def variance(self, signal: Tensor) -> Tensor:
        # The difference of large numbers needs double precision.
        wide = signal.double()
        power = 2 * self.coils * as_like(self.std, wide) ** 2 + wide.square()
        return (power - self.mean(wide).square()).to(signal)

    def check(self, y: Tensor) -> None:
        if bool((y < 0).any()):
            raise ValueError(
                f"{self.name}: {int((y < 0).sum())} measurements are negative, such as "
                f"{float(y.min()):g}; roots of sums of squares are at least 0."
            )


def _ratios(u: Tensor, count: int) -> list[Tensor]:
    r"""Return :math:`I_k(u) / (u I_{k-1}(u))` for ``k`` from 1 to ``count``, finite at 0.

    Both recurrences follow from :math:`I_{k-1}(u) - I_{k+1}(u) = 2k I_k(u) / u`. The one towards
    small ``k`` damps errors where the orders exceed ``u``, the other one where ``u`` is large.

    References:
        Amos, "Computation of modified Bessel functions and their ratios", Math. Comp. 28:239-251,
        1974 (the start).
    """
    if not count:
        return []
    turn = max(30.0, float(count**2))
    small, large = u.clamp(max=turn), u.clamp(min=turn)
    orders = count + 30 + math.ceil(6 * math.sqrt(turn))
    order = orders + 0.5
    ratio = 1 / (order + (order**2 + small.square()).sqrt())
    down = []
    for k in range(orders, 0, -1):
        ratio = 1 / (2 * k + small.square() * ratio)
        if k <= count:
            down.append(ratio)
    up = [torch.special.i1e(large) / (large * torch.special.i0e(large))]
    for k in range(1, count):
        up.append((1 / up[-1] - 2 * k) / large.square())
    return [torch.where(u < turn, a, b) for a, b in zip(reversed(down), up, strict=True)]
