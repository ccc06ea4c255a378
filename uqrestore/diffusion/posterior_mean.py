"""Posterior mean and principal components from one call of a conditional network."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from uqrestore.diffusion.denoiser import Denoiser, NetworkDenoiser
from uqrestore.diffusion.nppc import gram_schmidt, null_space_components
from uqrestore.noise import SampleNoise
from uqrestore.problem import Problem

PURE_NOISE_SIGMA = 100.0
"""Noise level, in network intensity, at which an image is pure noise."""

ROUNDING = 1e-4
"""Relative length of a raw component below which a projection left only rounding."""


@dataclass(frozen=True, eq=False)
class PosteriorMoments:
    """Mean and principal components of a posterior.

    Attributes:
        mean: Shape ``(*problem, *in_shape)``.
        directions: Orthonormal, ``(*problem, component, *in_shape)``; none where the denoiser
            predicts none, and zero vectors for components beyond the dimension of the null space
            of A (noise-free case).
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
    r"""Return posterior mean and components from one call of a conditional denoiser.

    ``D(sigma eps; sigma, A, y)`` exceeds the least possible mean square error by about
    :math:`\sum_i \lambda_i^2 / \sigma^2` over the posterior variances :math:`\lambda_i`, so
    ``sigma`` should be ten times the largest standard deviation of the posterior. Where the
    measurement has no noise, the mean is projected onto it and the components onto the null space
    of A, which can only reduce their errors.

    Args:
        denoiser: Conditional; a network must have been trained at ``sigma``.
        problem: A problem or a batch of problems.
        noise: Random stream of one sample; of several, the first is used.
        sigma: Noise level of the call, in network intensity.
        base: Denoiser of the mean, in a second call, where the components of ``denoiser`` were
            trained on the error of a frozen one.

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
    directions, std = gram_schmidt(null_space_components(raw, problem))
    has_width = std > ROUNDING * raw.flatten(-3).norm(dim=-1)
    return PosteriorMoments(mean, directions * has_width[..., None, None, None], std * has_width)
