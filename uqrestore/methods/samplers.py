"""Samplers for any method that is a conditional denoiser, started from a given state."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from uqrestore.diffusion.samplers import sample_heun
from uqrestore.methods.step import DenoiseFn, effective_eta, move
from uqrestore.noise import SampleNoise

Sampler: TypeAlias = Literal["heun", "dpmpp_2m", "euler"]


def sample(
    denoise: DenoiseFn,
    x: Tensor,
    sigmas: Sequence[float],
    noise: SampleNoise,
    *,
    sampler: Sampler,
    eta: float = 0.0,
) -> Tensor:
    r"""Follow a denoiser down a grid.

    Args:
        denoise: :math:`E[x_0 \mid x_t]`, or :math:`E[x_0 \mid x_t, y]` to draw from a posterior.
        x: State at ``sigmas[0]``.
        sigmas: Falling levels.
        noise: Streams of fresh noise; only ``euler`` with ``eta > 0`` reads them.
        sampler: ``heun`` (second order, two calls a step), ``dpmpp_2m`` (second order, one call)
            or ``euler`` (first order, stochastic).
        eta: Share of fresh noise of ``euler``: 0 deterministic, 1 ancestral.

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
    raise ValueError(f"there is no sampler {sampler!r}; it can be heun, dpmpp_2m, euler.")


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
