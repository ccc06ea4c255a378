"""The bundled prior of brains with ``fitted_gaussian``: little noise, and motion between shots."""

import functools
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from uqrestore.methods import IN_DETAIL, fitted_gaussian
from uqrestore.noise import Gaussian, SampleNoise
from uqrestore.operators import Identity, LinearOperator, MaskedFourier
from uqrestore.operators.masks import cartesian
from uqrestore.operators.nonlinear import UncertainMotion
from uqrestore.pipeline import RestorePipeline, load_pipeline
from uqrestore.pipeline.build import build_operator, with_unknown
from uqrestore.problem import GeneralProblem, Problem, simulate
from uqrestore.scans import demo_scan_path, fit_to_model, read_scan
from uqrestore.zoo import load_prior

SHAPE, DRAWS = (1, 64, 64), 3


@functools.cache
def brain() -> Tensor:
    """Return a slice of the bundled T1 scan."""
    scan = read_scan(demo_scan_path())
    return torch.as_tensor(scan.intensity.to_network(fit_to_model(scan).images[18])).float()


@functools.cache
def drawn() -> tuple[Tensor, Tensor, Mapping[str, Tensor], Tensor]:
    """Return an image, the coordinates of its motion, draws of both, and draws without motion."""
    pipeline = load_pipeline("mr-motion", RestorePipeline)
    assert pipeline.operator is not None
    assert pipeline.noise_std is not None
    still = build_operator(pipeline.operator, SHAPE, [0])
    moving = with_unknown(pipeline.unknown, still)
    assert isinstance(still, LinearOperator)
    assert isinstance(moving, UncertainMotion)
    x, generator = brain(), torch.Generator().manual_seed(2)
    theta = torch.randn(moving.count, generator=generator)
    signal = moving.forward_at(x, theta)
    assert moving.row_mask is not None
    std = float(pipeline.noise_std)
    y = signal + std * torch.randn(signal.shape, generator=generator) * moving.row_mask
    prior, noise = load_prior("brain64-prior"), SampleNoise(0, range(DRAWS))
    few = {"levels": 8, "iterations": 100}
    problem = GeneralProblem(moving, y, Gaussian(std))
    images, found = IN_DETAIL["fitted_gaussian"](problem, prior, noise, **few)
    noise = SampleNoise(0, range(DRAWS))
    ignored = fitted_gaussian(Problem(still, y, std), prior, noise, **few)
    return x, theta, {"image": images, **found}, ignored


def error(images: Tensor, x: Tensor) -> float:
    return float((images.mean(0) - x)[x > -0.96].square().mean().sqrt())


def test_a_brain_that_moved_is_drawn_far_better_with_its_motion() -> None:
    x, _, found, ignored = drawn()
    assert error(found["image"], x) < 0.5 * error(ignored, x)


def test_the_motion_is_found() -> None:
    _, theta, found, _ = drawn()
    away = found["theta"].mean(0) - theta
    assert float(away.square().mean().sqrt()) < 0.25
    assert found["shift"].shape == (DRAWS, 3, 2)
    torch.testing.assert_close(found["turn"], 2.0 * found["theta"].unflatten(-1, (3, 3))[..., 2])


def test_draws_of_a_linear_problem_spread_as_they_err() -> None:
    """Of the fully sampled slice with strong noise: the error model of the card is about right."""
    x, *_ = drawn()
    prior, std = load_prior("brain64-prior"), 0.3
    operator = Identity(SHAPE)
    y = x + std * torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    draws = fitted_gaussian(Problem(operator, y, std), prior, SampleNoise(0, range(6)), levels=10)
    inside = x > -0.96
    spread = float((draws.var(0)[inside].mean() * (1 + 1 / 6)).sqrt())
    assert spread / error(draws, x) == pytest.approx(1, abs=0.3)
    assert error(draws, x) < 0.7 * std


def test_less_noise_never_restores_worse() -> None:
    """Solves that end early did at low noise: at 0.005 the mean lost 7 dB on that at 0.05."""
    x, prior = brain(), load_prior("brain64-prior")
    operator = MaskedFourier(cartesian(SHAPE[1:], 4, 5, 0), channels=1)
    found = []
    for noise_std in (0.05, 0.005, 0.0):
        problem = simulate(operator, x, noise_std=noise_std, seed=0)
        draws = fitted_gaussian(problem, prior, SampleNoise(0, range(4)), levels=20)
        found.append(error(draws, x))
    assert found[1] < 0.9 * found[0]
    assert found[2] < 1.02 * found[1]
