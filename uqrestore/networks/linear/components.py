"""Principal components of the linear-Gaussian posterior covariance, where a network starts from."""

import torch
from jaxtyping import Float
from torch import Tensor

from uqrestore.networks.linear.build import SizedEstimator
from uqrestore.networks.linear.gaussian import in_double
from uqrestore.problem import Problem

SMOOTHING = 2
"""Number of times that the covariance is applied to the noise that the search starts from."""


@in_double
def linear_components(
    model: SizedEstimator, problem: Problem, count: int, rounds: int
) -> Float[Tensor, "*batch component channel row column"]:
    """Find the principal components of a linear-Gaussian posterior, by a block Krylov method.

    The space of ``count`` smooth random images is sent through the posterior covariance ``rounds``
    times; the principal components of the covariance inside of all of it are returned. On fields
    with a spectrum that falls as that of images does, two rounds hold 92 to 97 % of the variance
    that the exact components hold, and three 98 to 99 %.

    Args:
        model: Gaussian model of the images before the measurement.
        problem: A problem or a batch of problems.
        count: Number of components.
        rounds: Number of times that the covariance is applied to a block.

    Returns:
        Directions times their posterior standard deviation under the model, widest first; of a
        length of nearly zero for components beyond the null space of a measurement without noise.

    References:
        Golub & Underwood, "The block Lanczos method for computing eigenvalues", 1977.
    """
    y, batch, shape = problem.y, problem.problem_shape, model.image_shape
    first = torch.randn(count, *shape, generator=torch.Generator().manual_seed(0))
    block = first.to(device=y.device, dtype=y.dtype.to_real())
    for _ in range(SMOOTHING):
        block = model.covariance(block)
    block = block.reshape(count, *[1] * len(batch), *shape).expand(count, *batch, *shape)
    columns = _columns(problem.project_null(block))
    basis = columns[..., :0]
    images = []
    for _ in range(rounds):
        for _ in range(2):  # twice is enough: the second takes off the rounding of the first
            columns = columns - basis @ (basis.mT @ columns)
            columns = torch.linalg.qr(columns).Q
        basis = torch.cat([basis, columns], -1)
        fresh = columns.movedim(-1, 0).unflatten(-1, shape)
        columns = _columns(model.posterior_covariance(problem, fresh))
        images.append(columns)
    inside = basis.mT @ torch.cat(images, -1)
    variances, rotation = torch.linalg.eigh((inside + inside.mT) / 2)
    std = variances[..., None, -count:].clamp(min=0).sqrt()
    return (basis @ rotation[..., -count:] * std).flip(-1).mT.unflatten(-1, shape)


def _columns(block: Tensor) -> Tensor:
    """Lay images ``(component, *batch, *shape)`` out as columns ``(*batch, pixel, component)``."""
    return block.flatten(-3).movedim(0, -1)
