"""Where a conditional draw starts decides what its mean loses."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from uqrestore.methods import METHODS
from uqrestore.noise import SampleNoise
from uqrestore.operators import Zero
from uqrestore.problem import Problem

SHAPE = (1, 3, 5)
MEAN, VARIANCE, SIGMA = 2.0, 1.0, 3.0


class Isotropic:
    """The exact denoiser of a Gaussian of one mean and one variance."""

    in_shape = SHAPE

    def __call__(
        self,
        x: Tensor,
        sigma: Tensor,
        problem: object = None,  # noqa: ARG002
        label: object = None,  # noqa: ARG002
    ) -> Tensor:
        return MEAN + VARIANCE / (VARIANCE + sigma**2) * (x - MEAN)


class Silence(SampleNoise):
    """No noise at all: a draw is linear in its noise, so this draw is the mean of all draws."""

    def normal(self, rest: Sequence[int], like: Tensor) -> Tensor:
        return torch.zeros(*self.shape, *rest, dtype=like.dtype)


@pytest.mark.parametrize(("start", "power"), [("noise", 0.5), ("mean", 1.5)])
def test_a_start_about_the_mean_loses_the_cube_of_what_noise_alone_loses(
    start: str, power: float
) -> None:
    zero = Zero(SHAPE)
    problem = Problem(zero, torch.zeros(zero.out_shape, dtype=torch.float64))
    drawn = METHODS["conditional"](
        problem,
        Isotropic(),
        Silence(0, [0]),
        steps=300,
        sigma_max=SIGMA,
        sigma_min=1e-4,
        start=start,
        project=False,
    )
    lost = (VARIANCE / (VARIANCE + SIGMA**2)) ** power
    torch.testing.assert_close(drawn, torch.full_like(drawn, MEAN * (1 - lost)), rtol=2e-4, atol=0)
