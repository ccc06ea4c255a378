"""What a conditional network says in one call: posterior mean and principal components."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from uqrestore.diffusion.denoiser import Denoiser, NetworkDenoiser
from uqrestore.diffusion.nppc import gram_schmidt, unmeasured
from uqrestore.noise import SampleNoise
from uqrestore.problem import Problem

PURE_NOISE_SIGMA = 100.0
"""Noise level, in network intensity, where nothing of an image is left to see."""

ROUNDING = 1e-4
"""Share of a raw component that projections may leave where nothing should be left."""


@dataclass(frozen=True, eq=False)
class PosteriorMoments:
    """A posterior as its mean and its widest directions.

    Attributes:
        mean: Shape ``(*problem, *in_shape)``.
        directions: Orthonormal, ``(*problem, component, *in_shape)``; no component at all where
            the denoiser puts out none, and zeros, of no length, for those beyond what a
            measurement without noise leaves open.
        std: Posterior standard deviation along each, ``(*problem, component)``.
    """

    mean: Float[Tensor, " *problem_and_image"]
    directions: Float[Tensor, " *problem_component_and_image"]
    std: Float[Tensor, " *problem_and_component"]


@torch.no_grad()
def posterior_moments(
    denoiser: Denoiser,
    problem: Problem,
    noise: SampleNoise,
    *,
    sigma: float = PURE_NOISE_SIGMA,
    base: Denoiser | None = None,
) -> PosteriorMoments:
    r"""Ask a conditional denoiser for the posterior mean, from pure noise.

    ``D(sigma eps; sigma, A, y)`` exceeds the least possible mean square error by about
    :math:`\sum_i \lambda_i^2 / \sigma^2` over the posterior variances :math:`\lambda_i`, so
    ``sigma`` wants to be ten times the largest standard deviation of the posterior. Where the
    measurement has no noise, the mean is projected onto it and the components off it, which can
    only bring them closer.

    Args:
        denoiser: Conditional; a network must have been trained at ``sigma``.
        problem: A problem or a batch of problems.
        noise: Stream of one sample; of several, the first is used.
        sigma: Noise level of the call, in network intensity.
        base: What puts out the mean, in a second call, where the components of ``denoiser`` were
            trained to describe the error of a frozen one.

    References:
        Elata et al., "InvFussion", 2025, arXiv:2504.01689, section 4, for the mean;
        Nehme et al., NeurIPS 2023, arXiv:2309.15533, for the components.
    """
    pure = noise.normal(problem.in_shape, problem.y)[0]
    level = torch.tensor(sigma, dtype=pure.dtype, device=pure.device)
    if isinstance(denoiser, NetworkDenoiser):
        mean, raw = denoiser.with_components(sigma * pure, level, problem)
    else:
        mean = denoiser(sigma * pure, level, problem)
        raw = mean.new_zeros(*mean.shape[: len(problem.problem_shape)], 0, *problem.in_shape)
    if base is not None:
        mean = base(sigma * pure, level, problem)
    mean = problem.project(mean)
    if raw.shape[-4] == 0:
        return PosteriorMoments(mean, raw, raw.new_zeros(raw.shape[:-3]))
    directions, std = gram_schmidt(unmeasured(raw, problem))
    open_ = std > ROUNDING * raw.flatten(-3).norm(dim=-1)
    return PosteriorMoments(mean, directions * open_[..., None, None, None], std * open_)
