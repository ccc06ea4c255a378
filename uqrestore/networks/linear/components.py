"""Principal components of what a linear law leaves open, which a network refines."""

import torch
from jaxtyping import Float
from torch import Tensor

from uqrestore.networks.linear.build import Guess
from uqrestore.problem import Problem

SMOOTH = 2
"""How often the law is applied to the noise that the search starts from."""


@torch.no_grad()
def linear_components(
    law: Guess, problem: Problem, count: int, rounds: int
) -> Float[Tensor, "*batch component channel row column"]:
    """Find the widest directions of a linear law after a measurement, by a block Krylov method.

    The space of ``count`` smooth random images is sent through the posterior covariance ``rounds``
    times; the principal components of the covariance inside of all of it are returned. On fields
    with a spectrum that falls as that of images does, two rounds hold 92 to 97 % of the variance
    that the exact components hold, and three 98 to 99 %.

    Args:
        law: What is known of the images before.
        problem: A problem or a batch of problems.
        count: How many components.
        rounds: How often the covariance is applied to a block.

    Returns:
        Directions times their standard deviation under the law, widest first; next to nothing
        beyond what the measurement leaves open.

    References:
        Golub & Underwood, "The block Lanczos method for computing eigenvalues", 1977.
    """
    y, batch, shape = problem.y, problem.problem_shape, law.image_shape
    first = torch.randn(count, *shape, generator=torch.Generator().manual_seed(0))
    block = first.to(device=y.device, dtype=y.dtype.to_real())
    with torch.autocast(y.device.type, enabled=False):
        for _ in range(SMOOTH):
            block = law.covariance(block)
        block = block.reshape(count, *[1] * len(batch), *shape).expand(count, *batch, *shape)
        columns = _columns(problem.project_null(block))
        basis = columns[..., :0]
        sent = []
        for _ in range(rounds):
            for _ in range(2):  # once more takes off what rounding left
                columns = columns - basis @ (basis.mT @ columns)
                columns = torch.linalg.qr(columns).Q
            basis = torch.cat([basis, columns], -1)
            fresh = columns.movedim(-1, 0).unflatten(-1, shape)
            columns = _columns(law.posterior_covariance(problem, fresh))
            sent.append(columns)
        inside = basis.mT @ torch.cat(sent, -1)
        variances, turn = torch.linalg.eigh((inside + inside.mT) / 2)
        widest = (basis @ turn[..., -count:]) * variances[..., None, -count:].clamp(min=0).sqrt()
    return widest.flip(-1).mT.unflatten(-1, shape)


def _columns(block: Tensor) -> Tensor:
    """Lay images ``(component, *batch, *shape)`` out as columns ``(*batch, pixel, component)``."""
    return block.flatten(-3).movedim(0, -1)
