"""Linear problems with Gaussian noise in place of any other, about an estimate of the image."""

from collections.abc import Callable

import torch
from torch import Tensor

from uqrestore.methods.plain_image import white_mode
from uqrestore.noise import REFINEMENT_STREAM
from uqrestore.problem import GeneralProblem, Problem
from uqrestore.problem.counts import logarithm

DRAWS = range(REFINEMENT_STREAM, REFINEMENT_STREAM + 2)
"""Samples of a round; they find the point of the next."""


def linearised(
    problem: GeneralProblem, rounds: int, draw: Callable[[Problem, range, int], Tensor]
) -> Problem:
    """Return the linear problem that a batch nearly is.

    The first round is the logarithm of counts, or linear about a plain image; each further one is
    linear about the mean of two draws of the round before. One problem at a time, so that nothing
    depends on the batch.

    Args:
        problem: A batch.
        rounds: At least 1.
        draw: Called with a linear batch of one, samples, and the place of the problem in the
            batch; returns draws ``(sample, 1, *image)``.
    """
    if rounds == 1:
        return _first(problem)
    points = []
    for row in range(len(problem.y)):
        one = problem.select([row])
        point = draw(_first(one), DRAWS, row).mean(0)
        for _ in range(rounds - 2):
            point = draw(one.linearise(point), DRAWS, row).mean(0)
        points.append(point)
    return problem.linearise(torch.cat(points))


def _first(problem: GeneralProblem) -> Problem:
    counts = logarithm(problem)
    return problem.linearise(white_mode(problem)) if counts is None else counts
