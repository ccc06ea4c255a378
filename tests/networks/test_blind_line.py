"""The closed form of the line that no blind linear estimate passes, against a simulation."""

import math

import torch
from torch import Tensor

from tests.benchmarks.phantoms import blind_line

PIXELS = 24


def decibels(error: float) -> float:
    return 10 * math.log10(4 / error)


def gaussian(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return a mean that is not zero, and a covariance of falling variances."""
    basis = torch.linalg.qr(torch.randn(PIXELS, PIXELS, generator=generator).double())[0]
    variances = 1 / (1 + torch.arange(PIXELS).double()) ** 2
    mean = torch.randn(PIXELS, generator=generator).double() / 4
    return mean, basis * variances @ basis.T


def test_it_is_the_error_of_the_best_linear_estimate_from_the_pseudo_inverse() -> None:
    """Over many random projectors ``P``, the moments of ``P x`` give the best linear estimate."""
    generator = torch.Generator().manual_seed(0)
    mean, covariance = gaussian(generator)
    power = covariance + torch.outer(mean, mean)
    for rows in (3, 9):
        a = torch.randn(20_000, PIXELS, rows, generator=generator).double()
        q = torch.linalg.qr(a)[0]
        projector = q @ q.mT
        seen_mean = (projector @ mean).mean(0)
        seen = (projector @ power @ projector).mean(0) - torch.outer(seen_mean, seen_mean)
        cross = covariance @ projector.mean(0)
        left = covariance - cross @ torch.linalg.solve(seen, cross.T)
        found = decibels(float(left.trace()) / PIXELS)
        closed = decibels(blind_line(mean, covariance, range(rows, rows + 1)))
        assert abs(found - closed) < 0.1
        assert closed > decibels(float(covariance.trace()) / PIXELS), "better than the mean"
