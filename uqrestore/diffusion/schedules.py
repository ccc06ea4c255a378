"""Grids of noise levels, decreasing to 0."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor


def karras_sigmas(
    steps: int, sigma_min: float = 0.002, sigma_max: float = 80.0, rho: float = 7.0
) -> Float[Tensor, " steps_plus_1"]:
    """Noise levels of Karras et al. 2022, eq. 5, decreasing from ``sigma_max`` to 0.

    Args:
        steps: Number of noise levels above 0.
        sigma_min: Smallest level above 0, in the units of the image.
        sigma_max: Largest level, in the units of the image.
        rho: Density of levels near ``sigma_min``.

    Returns:
        ``steps + 1`` levels in float64, the last of them 0.

    Raises:
        ValueError: If ``steps < 1`` or not ``0 < sigma_min <= sigma_max``.
    """
    if steps < 1:
        raise ValueError(f"a schedule needs at least one step, got steps={steps}.")
    if not 0 < sigma_min <= sigma_max:
        raise ValueError(
            f"noise levels need 0 < sigma_min <= sigma_max, got sigma_min={sigma_min:g} and "
            f"sigma_max={sigma_max:g}."
        )
    ramp = torch.linspace(0, 1, steps, dtype=torch.float64)
    high, low = sigma_max ** (1 / rho), sigma_min ** (1 / rho)
    sigmas = (high + ramp * (low - high)) ** rho
    return torch.cat([sigmas, sigmas.new_zeros(1)])


def check_decreasing(sigmas: Tensor) -> Tensor:
    """Return ``sigmas`` if they strictly decrease to a level of at least 0, else raise."""
    if sigmas.ndim != 1 or len(sigmas) < 2 or not (sigmas.diff() < 0).all() or sigmas[-1] < 0:
        raise ValueError(
            "sigmas must be at least two noise levels that strictly decrease to a value of 0 or "
            f"more, got {[round(s, 6) for s in sigmas.flatten().tolist()]}."
        )
    return sigmas


TIMES = 1000
"""Length of the DDPM schedule of the published methods."""

Grid: TypeAlias = Literal["karras", "ddpm", "quadratic", "geometric"]


def ddpm_table() -> Float[Tensor, " time"]:
    r"""Noise level of each DDPM time, :math:`\sigma_t = \sqrt{(1 - \bar\alpha_t) / \bar\alpha_t}`.

    The linear schedule (beta from 1e-4 to 0.02 over 1000 steps) of Ho et al., NeurIPS 2020,
    section 4. arXiv:2006.11239
    """
    alpha_bar = torch.cumprod(1 - torch.linspace(1e-4, 0.02, TIMES, dtype=torch.float64), 0)
    return ((1 - alpha_bar) / alpha_bar).sqrt()


def ddpm_sigmas(steps: int) -> Float[Tensor, " steps_plus_1"]:
    """Times 0, s, 2 s, ... with stride ``1000 // steps``, from the noisiest down, then 0."""
    if not 1 <= steps <= TIMES:
        raise ValueError(f"a DDPM grid has 1 to {TIMES} steps, got steps={steps}.")
    times = torch.arange(steps) * (TIMES // steps)
    return _to_zero(ddpm_table()[times.flip(0)])


def quadratic_sigmas(steps: int) -> Float[Tensor, " steps_plus_1"]:
    """Times ``999 - floor(sqrt(linspace(0, 1000^2, steps)))``: dense at low noise (DiffPIR)."""
    if not 2 <= steps <= TIMES:
        raise ValueError(f"a quadratic grid has 2 to {TIMES} steps, got steps={steps}.")
    index = torch.linspace(0, TIMES**2, steps, dtype=torch.float64).sqrt().floor().long()
    times = (TIMES - 1 - index).clamp(min=0).unique().flip(0)
    return _to_zero(ddpm_table()[times])


def geometric_sigmas(
    steps: int, sigma_max: float = 100.0, sigma_min: float = 0.01
) -> Float[Tensor, " steps_plus_1"]:
    """Levels in equal ratios, then 0 (InverseBench)."""
    levels = torch.logspace(np.log10(sigma_max), np.log10(sigma_min), steps, dtype=torch.float64)
    return _to_zero(levels)


def noise_levels(
    steps: int, grid: Grid = "ddpm", sigmas: Sequence[float] | None = None
) -> list[float]:
    """Return decreasing noise levels, the last one 0 for every named grid.

    Args:
        steps: Network calls of a first-order sampler.
        grid: ``karras`` (80 to 0.002), ``ddpm``, ``quadratic`` or ``geometric`` (100 to 0.01).
        sigmas: Explicit noise levels instead, in network intensity.

    Raises:
        ValueError: If there is no step, or explicit levels do not decrease.
    """
    if sigmas is not None:
        return check_decreasing(torch.as_tensor(sigmas, dtype=torch.float64)).tolist()
    if steps < 1:
        raise ValueError(f"a sampler needs at least one step, got steps={steps}.")
    makers = {
        "karras": karras_sigmas,
        "ddpm": ddpm_sigmas,
        "quadratic": quadratic_sigmas,
        "geometric": geometric_sigmas,
    }
    if grid not in makers:
        raise ValueError(f"there is no grid {grid!r}; it can be {', '.join(makers)}.")
    return makers[grid](steps).tolist()


@dataclass(frozen=True)
class Schedule:
    """Noise levels of a sampler, decreasing: a named grid, or explicit levels.

    Attributes:
        steps: Noise levels above 0, which are the network calls of a first-order sampler.
        grid: ``karras`` (80 to 0.002), ``ddpm``, ``quadratic`` or ``geometric`` (100 to 0.01).
        sigmas: Explicit noise levels instead, in network intensity.
    """

    steps: int = 100
    grid: Grid = "ddpm"
    sigmas: Sequence[float] | None = None

    def levels(self) -> list[float]:
        """Return the noise levels; see :func:`noise_levels`."""
        return noise_levels(self.steps, self.grid, self.sigmas)


def shortcut_times(t0: int, count: int) -> Int[Tensor, " count"]:
    """Times 0 to ``t0 - 1`` in ``count`` equal steps, both ends included (SSD's two grids)."""
    if not 1 < t0 <= TIMES or not 2 <= count <= t0:
        raise ValueError(
            f"a shortcut needs t0 from 2 to {TIMES} and 2 to t0 points, got t0={t0} and {count}."
        )
    # Accumulated stride by stride, as published: sums that end in .5 then round the same way.
    stride = (t0 - 1) / (count - 1)
    return torch.tensor([round(t) for t in itertools.accumulate([0.0] + [stride] * (count - 1))])


def _to_zero(sigmas: Tensor) -> Tensor:
    return torch.cat([sigmas, sigmas.new_zeros(1)])
