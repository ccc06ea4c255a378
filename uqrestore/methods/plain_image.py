"""A plain image of a measurement that is not linear, without a network."""

import torch
from torch import Tensor

from uqrestore.methods._laplace import LocalPosterior
from uqrestore.operators.nonlinear.uncertain import Joint
from uqrestore.problem import GeneralProblem

SHADES = (-1.0, 0.0, 1.0)
"""Dark, middle and bright: uniform images, the most probable of which is the mean of the prior."""


def white_mode(problem: GeneralProblem, *, std: float = 0.5, steps: int = 6) -> Tensor:
    r"""Return the most probable images under a prior :math:`N(c, s^2 I)`.

    Parameters of an ``UncertainOperator`` are fitted with the image.

    Args:
        problem: One problem, or a batch.
        std: Standard deviation of the prior, in network intensity.
        steps: Gauss-Newton steps.
    """
    joint = Joint(problem.operator)
    flat = GeneralProblem(joint, problem.y, problem.noise_model)
    zero = problem.y.new_zeros(*problem.problem_shape, *joint.in_shape)
    inside = torch.arange(zero.shape[-1] - joint.count, device=zero.device)
    shades = torch.stack([zero.index_fill(-1, inside, shade) for shade in SHADES])
    best = flat.log_likelihood(shades).argmax(0)[None, ..., None].expand(1, *zero.shape)
    mean = shades.gather(0, best)[0]
    variance = torch.ones_like(zero).index_fill(-1, inside, std**2)
    posterior = LocalPosterior(flat, mean, lambda v: variance * v, lambda: zero, products=60)
    return joint.split(posterior.mode(steps)[0])[0]
