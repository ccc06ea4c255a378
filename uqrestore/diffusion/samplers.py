"""Samplers of the probability-flow ODE and its stochastic variants, without operators."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal, TypeAlias, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from uqrestore.diffusion.ddim import DenoiseFn, effective_eta, move
from uqrestore.diffusion.schedules import check_decreasing
from uqrestore.noise import SampleNoise

TensorDenoiseFn: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""``(x_t, sigma) -> E[x0 | x_t]``; ``sigma`` is a 0-dim tensor in the units of the image."""


@torch.no_grad()
def sample_heun(
    denoise: TensorDenoiseFn,
    noise: Float[Tensor, " sample *shape"],
    sigmas: Float[Tensor, " steps_plus_1"],
) -> Float[Tensor, " sample *shape"]:
    r"""Integrate the probability-flow ODE with Heun's second-order rule.

    .. math:: \frac{dx}{d\sigma} = \frac{x - D(x; \sigma)}{\sigma}

    With a denoiser conditioned on the measurement, it draws from the posterior.
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


Sampler: TypeAlias = Literal["heun", "dpmpp_2m", "dpmpp_3m", "euler"]


def sample(
    denoise: DenoiseFn,
    x: Tensor,
    sigmas: Sequence[float],
    noise: SampleNoise,
    *,
    sampler: Sampler,
    eta: float = 0.0,
) -> Tensor:
    r"""Integrate a denoiser along a decreasing grid of noise levels.

    Args:
        denoise: :math:`E[x_0 \mid x_t]`, or :math:`E[x_0 \mid x_t, y]` to draw from a posterior.
        x: State at ``sigmas[0]``.
        sigmas: Decreasing noise levels.
        noise: Random streams of the samples; used by ``euler`` with ``eta > 0`` only.
        sampler: ``heun`` (second order, two calls a step), ``dpmpp_2m`` and ``dpmpp_3m`` (second
            and third order, one call) or ``euler`` (first order, stochastic).
        eta: Fraction of new noise of ``euler``: 0 deterministic, 1 ancestral.

    Raises:
        ValueError: If a deterministic sampler is given ``eta``.
    """
    if sampler == "euler":
        for sigma, sigma_next in pairwise(sigmas):
            clean = denoise(x, sigma)
            share = effective_eta(eta, "consistent", sigma, sigma_next)
            x = move(clean, (x - clean) / sigma, sigma_next, share, noise)
        return x
    if eta != 0:
        raise ValueError(f"sampler {sampler!r} is deterministic but eta={eta:g}; use 'euler'.")
    if sampler == "heun":
        grid = torch.as_tensor(sigmas, dtype=torch.float64, device=x.device)
        return sample_heun(lambda u, sigma: denoise(u, float(sigma)), x / sigmas[0], grid)
    if sampler == "dpmpp_2m":
        return _dpmpp_2m(denoise, x, sigmas)
    if sampler == "dpmpp_3m":
        return _dpmpp_3m(denoise, x, sigmas)
    raise ValueError(f"there is no sampler {sampler!r}; it can be {', '.join(get_args(Sampler))}.")


def _dpmpp_2m(denoise: DenoiseFn, x: Tensor, sigmas: Sequence[float]) -> Tensor:
    r"""DPM-Solver++(2M) in variance-exploding form, :math:`\lambda = -\log \sigma`.

    References:
        Lu et al., "DPM-Solver++", 2022, Algorithm 2. arXiv:2211.01095
    """
    before: Tensor | None = None
    width_before = 0.0
    for sigma, sigma_next in pairwise(sigmas):
        clean = denoise(x, sigma)
        if sigma_next == 0:
            return clean
        width = math.log(sigma / sigma_next)
        ahead = clean if before is None else clean + width / (2 * width_before) * (clean - before)
        x = sigma_next / sigma * x + (1 - sigma_next / sigma) * ahead
        before, width_before = clean, width
    return x


def _dpmpp_3m(denoise: DenoiseFn, x: Tensor, sigmas: Sequence[float]) -> Tensor:
    r"""Third order: the clean image as a parabola in :math:`\lambda` through the last three calls.

    .. math:: x(\lambda + h) = e^{-h} x(\lambda) + \int_0^h e^{u - h} D(\lambda + u) du

    solves the probability flow exactly but for :math:`D`. Best with levels about evenly spaced
    in :math:`\lambda` (a large ``rho``).

    References:
        Lu et al., "DPM-Solver++", 2022, section 5; Zhang & Chen, "Fast Sampling of Diffusion
        Models with Exponential Integrator", ICLR 2023. arXiv:2211.01095, arXiv:2204.13902
    """
    known: list[tuple[float, Tensor]] = []
    for sigma, sigma_next in pairwise(sigmas):
        clean = denoise(x, sigma)
        if sigma_next == 0:
            return clean
        known = [(-math.log(sigma), clean), *known[:2]]
        h = math.log(sigma / sigma_next)
        # Integrals of e^(u - h) times 1, u, u^2.
        once = -math.expm1(-h)
        ramp = h - once
        bend = h * h - 2 * ramp
        x = math.exp(-h) * x + once * clean
        if len(known) > 1:
            (at, _), (before, earlier) = known[:2]
            slope = (clean - earlier) / (at - before)
            x = x + ramp * slope
            if len(known) > 2:
                first, earliest = known[2]
                curve = (slope - (earlier - earliest) / (before - first)) / (at - first)
                x = x + (bend + (at - before) * ramp) * curve
    return x
