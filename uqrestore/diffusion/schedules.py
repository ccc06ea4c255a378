"""Grids of noise levels, falling to 0."""

import torch
from jaxtyping import Float
from torch import Tensor


def karras_sigmas(
    steps: int, sigma_min: float = 0.002, sigma_max: float = 80.0, rho: float = 7.0
) -> Float[Tensor, " steps_plus_1"]:
    """Noise levels of Karras et al. 2022, eq. 5, falling from ``sigma_max`` to 0.

    Args:
        steps: Number of noise levels above 0.
        sigma_min: Smallest level above 0, in the units of the image.
        sigma_max: Largest level, in the units of the image.
        rho: How much the steps crowd towards ``sigma_min``.

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
