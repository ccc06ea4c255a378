"""Samplers: each turns noise and a denoiser into images; none knows an operator."""

from collections.abc import Callable
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from uqrestore.diffusion.schedules import check_decreasing

DenoiseFn: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""``(x_t, sigma) -> E[x0 | x_t]``; ``sigma`` is a 0-dim tensor in the units of the image."""


@torch.no_grad()
def sample_heun(
    denoise: DenoiseFn,
    noise: Float[Tensor, " sample *shape"],
    sigmas: Float[Tensor, " steps_plus_1"],
) -> Float[Tensor, " sample *shape"]:
    r"""Integrate the probability-flow ODE with Heun's second-order rule.

    .. math:: \frac{dx}{d\sigma} = \frac{x - D(x; \sigma)}{\sigma}

    Give a denoiser that already knows the measurement to draw from the posterior.
    Deterministic: the only randomness is in ``noise``. Makes ``2 steps - 1`` calls when the
    last level is 0.

    Args:
        denoise: :math:`D(x; \sigma)`, the estimate of :math:`E[x_0 \mid x]`.
        noise: Unit Gaussian noise, one image per sample.
        sigmas: Decreasing noise levels in the units of the image; a final 0 makes the last
            step a plain Euler step, which lands on the denoised image.

    Returns:
        Images at noise level ``sigmas[-1]``, in the units of the image.

    Raises:
        ValueError: If ``sigmas`` does not decrease.

    References:
        Karras et al., "Elucidating the Design Space of Diffusion-Based Generative Models",
        NeurIPS 2022, Algorithm 1. arXiv:2206.00364
    """
    check_decreasing(sigmas)
    x = sigmas[0].item() * noise
    for sigma, sigma_next in sigmas.to(noise).unfold(0, 2, 1):
        slope = (x - denoise(x, sigma)) / sigma
        x_next = x + (sigma_next - sigma) * slope
        if sigma_next > 0:
            slope_next = (x_next - denoise(x_next, sigma_next)) / sigma_next
            x_next = x + (sigma_next - sigma) * (slope + slope_next) / 2
        x = x_next
    return x
