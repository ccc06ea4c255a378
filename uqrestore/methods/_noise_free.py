"""Noise with which measurements without noise are weighed."""

import torch
from torch import Tensor

from uqrestore.operators import LinearOperator
from uqrestore.operators._cg import expand_to
from uqrestore.problem import Problem

NOISE_FREE = 1e-2
"""Noise level, in network intensity, with which noise-free measurements are weighed; times the root
mean square of the rows of ``A``, which sums hundreds of pixels in tomography."""
PROBES = 4


def weighed_std(problem: Problem) -> Tensor:
    """Return the noise of a measurement, small where there is none.

    It broadcasts against the measurement. Draws then do not depend on the unit of the measurement.
    """
    std, dims = problem.noise_std_like(problem.y), len(problem.operator.out_shape)
    if (std > 0).all():
        return std
    small = NOISE_FREE * expand_to(row_size(problem.operator, problem.y), dims)
    return torch.where(std > 0, std, small)


def row_size(operator: LinearOperator, like: Tensor) -> Tensor:
    """Estimate the root mean square norm of the measured rows of ``A``, ``(*problem,)``."""
    probes = torch.randn(PROBES, *operator.in_shape, generator=torch.Generator().manual_seed(0))
    lone = [1] * len(operator.problem_shape)
    probes = probes.to(like.device, like.dtype.to_real()).reshape(PROBES, *lone, *operator.in_shape)
    seen = operator(probes.expand(PROBES, *operator.problem_shape, *operator.in_shape))
    square = seen.abs().square().flatten(1 + len(operator.problem_shape)).sum(-1).mean(0)
    return (square / operator.measured_rows().to(square).clamp(min=1)).sqrt()
