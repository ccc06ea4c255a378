"""SENSE by conjugate gradients, with a quadratic penalty."""

from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from uqrestore.baselines.weights import Weight, chosen_weight
from uqrestore.problem import Problem


def cg_sense(
    problem: Problem,
    *,
    weight: Weight = None,
    iterations: Annotated[int, Field(ge=1)] = 100,
) -> Float[Tensor, "*problem channel row column"]:
    r"""Reconstruct k-space by regularised least squares.

    .. math:: \min_x \tfrac{1}{2} \|A x - y\|_2^2 + \tfrac{\lambda}{2} \|x\|_2^2

    The objective of ``sigpy.mri.app.SenseRecon``, by the conjugate gradients of the operator.

    Args:
        problem: k-space of one or several coils.
        weight: :math:`\lambda`, beside the eigenvalues of :math:`A^T A`; None takes
            :func:`~uqrestore.baselines.weights.default_weight`.
        iterations: Largest number of iterations; they stop at a relative residual of 1e-6.

    Raises:
        ValueError: If the measurement is no k-space.

    References:
        Pruessmann et al., "Advances in Sensitivity Encoding with Arbitrary k-Space
        Trajectories", Magn. Reson. Med. 46:638-651, 2001.
    """
    operator = problem.operator
    if operator.axes[:1] != ("ri",):
        raise ValueError(
            f"cg_sense reconstructs k-space but {operator.name} does not measure it; use "
            "total_variation or l1_wavelet."
        )
    if problem.problem_shape:
        each = [problem.select(i) for i in range(problem.problem_shape[0])]
        return torch.stack([cg_sense(one, weight=weight, iterations=iterations) for one in each])
    chosen = chosen_weight("cg_sense", problem, weight)
    noise_std = chosen**0.5 if chosen else None
    return operator.solve(problem.y, noise_std=noise_std, max_iter=iterations)[0]
