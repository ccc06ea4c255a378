"""Image and unknown parameters drawn together by ``fitted_gaussian``."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from torch import Tensor

from uqrestore.methods import IN_DETAIL, fitted_gaussian
from uqrestore.noise import Gaussian, Poisson, SampleNoise
from uqrestore.operators import Matrix
from uqrestore.operators.nonlinear import BeerLambert, UncertainOperator
from uqrestore.priors.gaussian import gaussian_field
from uqrestore.problem import GeneralProblem, Problem

SHAPE, STD, DRAWS = (1, 6, 5), 0.2, 400
DRAW = IN_DETAIL["fitted_gaussian"]


@dataclass(frozen=True, eq=False)
class Offset(UncertainOperator):
    """Every second pixel, and an unknown multiple of a ramp: linear in both."""

    name: ClassVar[str] = "offset"
    parameters: ClassVar[tuple[str, ...]] = ("offset",)
    units: ClassVar[tuple[str, ...]] = ("",)

    ramp: Tensor

    @property
    def in_shape(self) -> tuple[int, ...]:
        return SHAPE

    @property
    def out_shape(self) -> tuple[int, ...]:
        return (15,)

    @property
    def problem_shape(self) -> tuple[int, ...]:
        return ()

    def forward_at(self, x: Tensor, theta: Tensor) -> Tensor:
        return x.flatten(-3)[..., ::2] + theta * self.ramp

    def values(self, theta: Tensor) -> Mapping[str, Tensor]:
        return {"offset": theta[..., 0]}


def exact(operator: Offset, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and variance of image and offset, by dense algebra."""
    prior = gaussian_field(SHAPE)
    basis = torch.eye(30, dtype=torch.float64).reshape(30, *SHAPE)
    field = torch.stack([prior.draw(SampleNoise(0, [i]))[0] for i in range(4000)]).flatten(1)
    covariance = torch.block_diag(field.mT @ field / len(field), torch.eye(1, dtype=torch.float64))
    rows = operator.forward_at(basis, torch.zeros(30, 1, dtype=torch.float64)).mT
    rows = torch.cat([rows, operator.ramp[:, None]], 1)
    gain = covariance @ rows.mT
    gain = gain @ torch.linalg.inv(rows @ gain + STD**2 * torch.eye(15, dtype=torch.float64))
    return gain @ y, (covariance - gain @ rows @ covariance).diagonal()


def test_a_jointly_linear_measurement_has_the_exact_posterior() -> None:
    operator = Offset(torch.linspace(-1, 2, 15, dtype=torch.float64))
    prior = gaussian_field(SHAPE)
    x = prior.draw(SampleNoise(3, [0]))[0]
    y = operator.forward_at(x, torch.tensor([1.5], dtype=torch.float64))
    mean, variance = exact(operator, y)
    problem = GeneralProblem(operator, y, Gaussian(STD))
    images, found = DRAW(problem, prior, SampleNoise(0, range(DRAWS)), levels=24)
    assert found["offset"].shape == (DRAWS,)
    drawn = torch.cat([images.flatten(1), found["theta"]], 1)
    away = (drawn.mean(0) - mean).square().mean().sqrt()
    assert float(away) < 0.25 * float(variance.mean().sqrt())
    ratio = drawn.var(0) / variance
    assert 0.8 < float(ratio[:-1].mean()) < 1.25
    assert 0.7 < float(ratio[-1]) < 1.4


def test_a_linear_problem_is_drawn_as_before_and_other_noise_is_refused() -> None:
    prior = gaussian_field(SHAPE)
    problem = Problem(Matrix(matrix_of_half(), SHAPE), torch.zeros(15, dtype=torch.float64), STD)
    images, found = DRAW(problem, prior, SampleNoise(0, [0]), levels=3)
    assert found == {}
    assert torch.equal(images, fitted_gaussian(problem, prior, SampleNoise(0, [0]), levels=3))
    counts = BeerLambert(SHAPE, 9.0)
    general = GeneralProblem(counts, torch.ones(SHAPE, dtype=torch.float64), Poisson())
    with pytest.raises(ValueError, match="but this is beer_lambert with poisson noise; choose"):
        DRAW(general, prior, SampleNoise(0, [0]))


def matrix_of_half() -> Tensor:
    return torch.eye(30, dtype=torch.float64)[::2]
