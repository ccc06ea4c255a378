"""Errors of draws are laid to their causes: each cause moves its own contribution alone."""

from functools import partial

import pytest
import torch
from torch import Tensor

from tests.benchmarks.error_budget import LEVELS, ErrorLevels, error_levels
from uqrestore.benchmarks.exact import exact_draws
from uqrestore.methods import METHODS
from uqrestore.noise import SampleNoise
from uqrestore.operators import Inpainting
from uqrestore.priors import GaussianPrior
from uqrestore.priors.gaussian import gaussian_field
from uqrestore.problem import simulate

SHAPE, PROBLEMS = (1, 3, 5), range(6)
FINE, COARSE = (partial(METHODS["conditional"], steps=steps) for steps in (32, 4))


def split(method: object, sampler: object = FINE, network: object = None) -> ErrorLevels:
    prior = gaussian_field(SHAPE)
    truth = prior.draw(SampleNoise(0, [0], scan=1, slices=PROBLEMS))[0]
    g = torch.Generator().manual_seed(0)
    masks = (torch.rand(len(PROBLEMS), *SHAPE, generator=g) < 0.5).double()
    noise = SampleNoise(0, [0], scan=2, slices=PROBLEMS)
    problem = simulate(Inpainting(masks), truth, noise_std=0.1, noise=noise)
    return error_levels(method, sampler, prior, problem, truth, network=network, draws=100)  # type: ignore[arg-type]


def test_exact_draws_only_miss_by_chance() -> None:
    found = split(exact_draws, exact_draws)
    c = found.contributions
    assert (c.discretisation, c.guidance, c.learning) == (0.0, 0.0, None)
    assert c.chance < 0.2 * c.monte_carlo
    assert c.ceiling > 3 * c.monte_carlo
    assert set(found.levels) == set(LEVELS[:3])


def test_few_steps_are_discretisation() -> None:
    c = split(COARSE, COARSE).contributions
    assert c.discretisation > 0.3 * c.monte_carlo
    assert c.guidance == 0.0
    assert split(FINE, FINE).contributions.discretisation < 0.3 * c.discretisation


def test_a_rule_that_is_not_exact_is_guidance() -> None:
    c = split(partial(METHODS["dps"], steps=10)).contributions
    assert c.guidance > 3 * c.chance
    assert c.guidance > c.monte_carlo


def test_a_network_of_another_distribution_is_learning() -> None:
    other: GaussianPrior = gaussian_field(SHAPE, std=0.25)
    found = split(FINE, FINE, other)
    c = found.contributions
    assert c.learning is not None
    assert c.learning > 0.5 * c.monte_carlo > abs(c.discretisation)
    total = c.monte_carlo + c.discretisation + c.guidance + c.learning
    assert total == pytest.approx(found.levels[LEVELS[3]].sliced)


def test_levels_go_into_json() -> None:
    data = split(exact_draws, exact_draws).to_data()
    assert data["contributions"]["learning"] is None
    assert isinstance(data["levels"][LEVELS[0]]["sliced"], float)
    assert not any(isinstance(value, Tensor) for value in data["contributions"].values())
