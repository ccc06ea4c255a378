"""Weights of training problems that differ in how much they leave open."""

import torch
from jaxtyping import Float
from torch import Tensor

from uqrestore.networks.linear.build import LinearEstimator
from uqrestore.networks.linear.stationary import StationaryEstimator
from uqrestore.operators._cg import expand_to
from uqrestore.problem import Problem
from uqrestore.training.batch import Batch

MOST = 8.0
"""Largest weight, and the inverse of the smallest."""
DENOISED = 0.03
"""Variance that denoising leaves of images behind noise, over the standard deviations of both."""
BRIGHTER = 4.0
"""Most that another image is scaled by; windows of air hold nothing to be estimated."""


@torch.no_grad()
def difficulty_weights(
    estimate: LinearEstimator, batch: Batch, sigma_data: float, generator: torch.Generator
) -> Float[Tensor, " image"]:
    r"""Return a weight for the loss of each image: large where its measurement leaves little open.

    Squared errors of problems that leave much open are a hundred times those of the others, so that
    their mean tells next to nothing of the others. The error :math:`e` of each operator and its
    noise is that of the linear estimate of *another* image, measured in the same way. So the weight
    does not depend on the image that it multiplies, and the minimiser of the weighted loss is the
    posterior mean as before. Denoising without a measurement leaves a variance of about
    :math:`v = .03 \sigma \sigma_d`, both leave :math:`1 / (1 / v + 1 / e)`, and the weight is the
    inverse of that, relative to a tenth of the variance of the data in place of :math:`e`.

    Args:
        estimate: Linear estimate of the network.
        batch: Images and their measurements.
        sigma_data: Standard deviation of the images.
        generator: Random stream of the noise.
    """
    problem = batch.problem
    if problem is None:
        return torch.ones_like(batch.sigma)
    others = batch.truth.roll(1, 0)
    size = others.square().mean((1, 2, 3), keepdim=True).sqrt()
    others = others * (sigma_data / size.clamp(min=sigma_data / BRIGHTER))
    y = problem.operator(others)
    noise = torch.randn(y.shape, generator=generator).to(y)
    if problem.operator.row_mask is not None:
        noise = noise * problem.operator.row_mask
    y = y + expand_to(problem.noise_std_as(y), y.ndim - 1) * noise
    first = estimate.linear if isinstance(estimate, StationaryEstimator) else estimate
    found = first(Problem(problem.operator, y, problem.noise_std))
    error = (found - others).square().mean((1, 2, 3)).to(batch.sigma)
    typical = torch.full_like(error, 0.1 * sigma_data**2)
    denoised = DENOISED * batch.sigma * sigma_data
    precision = [1 / denoised + 1 / e.clamp(min=1e-8) for e in (error, typical)]
    return (precision[0] / precision[1]).clamp(1 / MOST, MOST)
