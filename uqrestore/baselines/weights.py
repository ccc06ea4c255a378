r"""Weights of penalties that follow from the noise of a measurement.

The noise :math:`n` of a measurement enters the gradient of its data term as :math:`A^T n`. The
standard deviation of that in a pixel,

.. math:: s = \sigma \|A\|_F / \sqrt{N},

is known without any image: the weight of a penalty on magnitudes is a multiple of it, and the
weight of a quadratic penalty a multiple of the noise-to-signal ratio :math:`\sigma^2 \|A\|_F^2 /
\|y\|^2`.

The multiples were found once, on 24 simulated scans: whole heads of three sources with 64, 128
and 256 pixels a side, eight coils, one k-space line in four and in eight, noise of 0.5, 1, 2 and
5 % of the brightest pixel. Against a weight tuned on the reference of each scan they cost 0.1 dB on
average and 0.4 at most (``cg_sense``: 0.2 and 0.7). When a scan is reconstructed, no reference is
looked at.
"""

import math
from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field

from uqrestore.problem import Problem

Weight = Annotated[float, Field(gt=0, allow_inf_nan=False)] | None
"""Weight of a penalty; None lets it follow from the noise."""

MULTIPLES: Mapping[str, float] = {"cg_sense": 5.0, "l1_wavelet": 0.4, "total_variation": 0.4}
NOISE_FREE = 3e-4
"""Least weight of a penalty on magnitudes, of the largest value of ``A^T y``."""


def default_weight(name: str, problem: Problem) -> float:
    """Return the weight of a baseline that follows from the noise of one problem.

    Args:
        name: ``cg_sense``, ``l1_wavelet`` or ``total_variation``.
        problem: One problem, not a batch.
    """
    operator, y = problem.operator, problem.y.detach().float().cpu()
    noise_std = float(torch.as_tensor(problem.noise_std))
    n = torch.randn(operator.out_shape, generator=torch.Generator().manual_seed(0))
    if operator.row_mask is not None:
        n = n * operator.row_mask
    power = float(operator.adjoint(n).square().sum())  # ||A||_F^2, to a percent
    if name == "cg_sense":
        signal = float(y.square().sum())
        return MULTIPLES[name] * noise_std**2 * power / signal if signal else 0.0
    least = NOISE_FREE * float(operator.adjoint(y).abs().max())
    return max(MULTIPLES[name] * noise_std * math.sqrt(power / math.prod(operator.in_shape)), least)


def chosen_weight(name: str, problem: Problem, weight: Weight) -> float:
    """Return a weight that was given, or the default of one problem."""
    return default_weight(name, problem) if weight is None else weight
