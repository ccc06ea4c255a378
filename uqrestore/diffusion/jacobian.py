"""Principal components of a posterior from the Jacobian of its denoiser, without draws."""

import torch
from torch import Tensor

from uqrestore.diffusion.denoiser import Denoiser
from uqrestore.diffusion.posterior_mean import PosteriorMoments
from uqrestore.noise import SampleNoise
from uqrestore.operators.base import Shape
from uqrestore.priors.dense import top_eigenpairs
from uqrestore.problem import Problem

SPARE = 3
"""Extra directions of a block, whose last ones converge slowest."""


def jacobian_components(
    denoiser: Denoiser,
    problem: Problem,
    noise: SampleNoise,
    count: int,
    *,
    sigma: float,
    at: Tensor | None = None,
    tol: float = 1e-3,
    max_iter: int = 20,
) -> PosteriorMoments:
    r"""Compute principal components of a posterior by subspace iteration on a Jacobian.

    By Tweedie's formula :math:`\sigma^2 \partial D / \partial x_t = \mathrm{Cov}[x_0 \mid x_t, y]`.
    Given ``x_t``, a Gaussian posterior of variance :math:`\lambda` along a direction has the
    variance :math:`\lambda \sigma^2 / (\lambda + \sigma^2)` along the same direction, so the
    standard deviations are recovered exactly; for other distributions they are those of the
    Gaussian with the same covariance given ``x_t``. Where the measurement has no noise, directions
    are restricted to the null space of A. Every product is one backward pass through the denoiser,
    for the ``count + 3`` directions of a block together.

    Args:
        denoiser: Conditional, and differentiable: a network, or a closed-form prior.
        problem: A problem or a batch of problems.
        noise: Random stream of one sample; of several, the first is used.
        count: Number of components.
        sigma: Noise level, in network intensity: near the largest standard deviation of the
            posterior. Far above it the Jacobian of a network is mostly its own error.
        at: Image at which the Jacobian is evaluated, ``(*problem, *in_shape)``; by default the
            posterior mean in one call from ``30 sigma``.
        tol: Change of the variances, relative to the largest, at which to stop.
        max_iter: Maximum number of products.

    Returns:
        The denoised image, unit directions in the order of their variance, and standard
        deviations.

    Raises:
        ValueError: If more components are wanted than the image has entries, or ``sigma`` is 0.

    References:
        Manor & Michaeli, "On the Posterior Distribution in Denoising: Application to Uncertainty
        Quantification", ICLR 2024, theorem 1 and algorithm 1. arXiv:2309.13598
    """
    pixels = torch.Size(problem.in_shape).numel()
    if not 0 < count <= pixels:
        raise ValueError(
            f"images of {pixels} entries have no {count} components; ask for 1 to {pixels}."
        )
    if not sigma > 0:
        raise ValueError(f"sigma is the noise level of the Jacobian, above 0, got {sigma}.")
    white = noise.normal(problem.in_shape, problem.y)[0]
    level = torch.tensor(sigma, dtype=white.dtype, device=white.device)
    if at is None:
        with torch.no_grad():
            at = problem.project(denoiser(30 * sigma * white, 30 * level, problem))
    lead, width = problem.problem_shape, min(count + SPARE, pixels)
    x_t = (at + sigma * white).expand(width, *lead, *problem.in_shape).clone().requires_grad_()
    with torch.enable_grad():
        clean = denoiser(x_t, level.expand(width, *lead), problem)

    def product(block: Tensor) -> Tensor:
        images = block.unflatten(-1, problem.in_shape).to(clean.dtype)
        sent = torch.autograd.grad(clean, x_t, problem.project_null(images), retain_graph=True)[0]
        return sigma**2 * _flat(problem.project_null(sent), problem.in_shape)

    start = noise.normal((width, *problem.in_shape), problem.y)[0]
    start = _flat(start.movedim(len(lead), 0), problem.in_shape)
    rows, seen = top_eigenpairs(product, start, count, tol=tol, max_iter=max_iter)
    # No variance given x_t exceeds that of the noise.
    variance = seen / (1 - seen / sigma**2).clamp(min=1e-3)
    directions = rows.unflatten(-1, problem.in_shape)
    return PosteriorMoments(
        problem.project(clean[0].detach()), directions.detach(), variance.sqrt()
    )


def _flat(images: Tensor, shape: Shape) -> Tensor:
    return images.flatten(images.ndim - len(shape))
