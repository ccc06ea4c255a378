"""Principal components of a posterior from the Jacobian of its denoiser: no head, no draws."""

import torch
from torch import Tensor

from uqrestore.diffusion.denoiser import Denoiser
from uqrestore.diffusion.posterior_mean import PosteriorMoments
from uqrestore.noise import SampleNoise
from uqrestore.operators.base import Shape
from uqrestore.priors.dense import top_eigenpairs
from uqrestore.problem import Problem

SPARE = 3
"""Directions carried beside the wanted ones: the last of a block converge slowest."""


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
    r"""Find the widest directions of a posterior by subspace iteration on a denoiser's Jacobian.

    By Tweedie's formula :math:`\sigma^2 \partial D / \partial x_t = \mathrm{Cov}[x_0 \mid x_t, y]`.
    Seen through noise, a Gaussian posterior of variance :math:`\lambda` along a direction keeps
    :math:`\lambda \sigma^2 / (\lambda + \sigma^2)` of it and the direction itself, so the standard
    deviations are brought back exactly; for another law they are those of the Gaussian that
    looks the same from ``x_t``. Where the measurement has no noise, directions are kept among
    those that it leaves open. Every product is one backward pass through the denoiser, for the
    ``count + 3`` directions of a block together.

    Args:
        denoiser: Conditional, and differentiable: a network, or a closed-form prior.
        problem: A problem or a batch of problems.
        noise: Stream of one sample; of several, the first is used.
        count: Number of components.
        sigma: Noise level, in network intensity: near the largest standard deviation of the
            posterior. Far above it the Jacobian of a network is mostly its own error.
        at: Image about which to look, ``(*problem, *in_shape)``; the posterior mean in one call
            from ``30 sigma`` if left out.
        tol: Movement of the variances, as a share of the largest, at which to stop.
        max_iter: Most products.

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
            f"{count} components were asked for of images of {pixels} entries; ask for 1 to "
            f"{pixels}."
        )
    if not sigma > 0:
        raise ValueError(f"sigma is the noise level of the look, above 0, got {sigma}.")
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
    # No direction can show more than the noise through which it is seen.
    variance = seen / (1 - seen / sigma**2).clamp(min=1e-3)
    directions = rows.unflatten(-1, problem.in_shape)
    return PosteriorMoments(
        problem.project(clean[0].detach()), directions.detach(), variance.sqrt()
    )


def _flat(images: Tensor, shape: Shape) -> Tensor:
    return images.flatten(images.ndim - len(shape))
