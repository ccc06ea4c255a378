"""DPS, DAPS and SSD for nonlinear operators and other noise: the linear case, and their bias."""

from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from tests.methods.test_local_laplace import CASES, PRIOR, ROWS, SHAPE, grid, moments
from tests.operators.cases import coils, mask
from uqrestore.methods import METHODS
from uqrestore.noise import Gaussian, Poisson, SampleNoise
from uqrestore.operators import CoilFourier, LinearOperator, Matrix
from uqrestore.operators.nonlinear import Affine, BeerLambert, NonlinearOperator, UncertainGain
from uqrestore.operators.nonlinear.uncertain import OfPart
from uqrestore.priors.gaussian import gaussian_field
from uqrestore.problem import GeneralProblem, simulate

FIELD = gaussian_field((2, 5, 3))


@dataclass(frozen=True, eq=False)
class Disguised(OfPart, NonlinearOperator):
    """A linear operator that is known by its map alone."""

    name: ClassVar[str] = "disguised"
    part: LinearOperator  # type: ignore[assignment] - of fewer kinds

    @property
    def in_shape(self) -> tuple[int, ...]:
        return self.part.in_shape

    def forward(self, x: Tensor) -> Tensor:
        return self.part.forward(x)

    def to(self, target: torch.device | torch.dtype | str) -> "Disguised":
        return Disguised(self.part.to(target))


LINEAR: dict[str, tuple[str, float, dict[str, Any]]] = {
    "dps": ("dps", 0.1, {"steps": 12}),
    "dps, reference": ("dps", 0.1, {"steps": 6, "reference_measurements": 30, "clip": True}),
    "daps": ("daps", 0.1, {"levels": 5, "langevin_steps": 12}),
    "daps, published": ("daps", 0.1, {"preset": "published", "levels": 3, "step_size": 1e-6}),
    "daps, noise-free": ("daps", 0.0, {"levels": 3, "langevin_steps": 3}),
    "ssd": ("ssd", 0.0, {"inversion_points": 4, "steps": 6}),
    "ssd_plus": (
        "ssd_plus",
        0.1,
        {"inversion_points": 4, "steps": 6, "weight": "stop", "t_stop": 300},
    ),
}


@pytest.mark.parametrize("case", sorted(LINEAR))
def test_a_linear_gaussian_problem_has_the_draws_of_the_linear_path(case: str) -> None:
    name, noise_std, options = LINEAR[case]
    g = torch.Generator().manual_seed(0)
    operator = CoilFourier(mask(g, 5, 3, fraction=0.4), coils(g, 2, 5, 3), tol=1e-13)
    x = FIELD.draw(SampleNoise(0, [0], slices=range(2)))[0]
    linear = simulate(operator, x, noise_std=noise_std, seed=0)
    general = GeneralProblem(Disguised(operator), linear.y, Gaussian(noise_std))
    draws = [
        METHODS[name](p, FIELD, SampleNoise(1, range(3), slices=range(2)), **options)
        for p in (linear, general)
    ]
    torch.testing.assert_close(draws[1], draws[0], rtol=1e-6, atol=1e-6)


def bias(name: str, problem: GeneralProblem, **options: Any) -> tuple[float, float]:  # noqa: ANN401
    """Return error of the mean in posterior deviations, and variance over that of a grid."""
    x, prior = grid()
    mean, covariance = moments(x, prior + problem.log_likelihood(x))
    draws = METHODS[name](problem, PRIOR, SampleNoise(0, range(500)), **options).flatten(1)
    variance = covariance.diagonal()
    away = (draws.mean(0) - mean).square().mean() / variance.mean()
    return float(away.sqrt()), float(draws.var(0).mean() / variance.mean())


def counts() -> GeneralProblem:
    """Return photon counts in units of eight, so that they are of the scale of the image."""
    operator, y, _ = CASES["counts"]
    scaled = Matrix(torch.eye(3).double() / 8, (3,)) @ operator
    return GeneralProblem(scaled, y / 8, Poisson(1 / 8, 0.5 / 8))


BIAS: dict[str, tuple[str, GeneralProblem, dict[str, Any], float, float]] = {
    "dps, counts": ("dps", counts(), {}, 1.30, 0.47),
    "dps, saturation": ("dps", GeneralProblem(*CASES["saturation"]), {}, 0.62, 0.88),
    "daps, counts": ("daps", counts(), {"levels": 50}, 0.09, 1.17),
    "daps, saturation": ("daps", GeneralProblem(*CASES["saturation"]), {"levels": 50}, 0.06, 1.21),
    "ssd_plus, saturation": (
        "ssd_plus",
        GeneralProblem(*CASES["saturation"]),
        {"preset": "100", "weight": "stop"},
        1.00,
        1.88,
    ),
}


@pytest.mark.parametrize("case", sorted(BIAS))
def test_the_bias_is_the_one_in_the_docstring(case: str) -> None:
    name, problem, options, away, ratio = BIAS[case]
    found = bias(name, problem, **options)
    assert found[0] == pytest.approx(away, abs=0.12)
    assert found[1] == pytest.approx(ratio, rel=0.15)


def test_shortcut_draws_explain_a_nonlinear_measurement_without_noise() -> None:
    truth = torch.tensor([[[0.9, -0.1, -0.6]]], dtype=torch.float64)
    operator = BeerLambert((2,), 8.0) @ Matrix(ROWS[:2], SHAPE) @ Affine(SHAPE, 0.0, 1.5)
    problem = GeneralProblem(operator, operator(truth), Gaussian(0.0))
    draws = METHODS["ssd"](problem, PRIOR, SampleNoise(0, range(20)), preset="30")
    torch.testing.assert_close(operator(draws), problem.y.expand(20, 2), rtol=1e-3, atol=0)
    assert (draws.std(0) > 0.05).all()


def test_shortcut_estimates_a_gain_in_every_step() -> None:
    truth = torch.tensor([[[0.6, 0.7, 0.2]]], dtype=torch.float64)
    operator = UncertainGain(Matrix(ROWS, SHAPE), 1.0, 0.3)
    y = operator.forward_at(truth, torch.full((1,), 1.5).double())
    problem = GeneralProblem(operator, y, Gaussian(0.0))
    draws = METHODS["ssd"](problem, PRIOR, SampleNoise(0, range(20)), preset="30")
    gain = y / operator.part.forward(draws)
    torch.testing.assert_close(gain, gain[:, :1].expand_as(gain), rtol=1e-3, atol=1e-3)
    assert (gain - 1).abs().mean() > 0.05


def test_noise_that_a_method_cannot_take_is_refused() -> None:
    problem, noise = counts(), SampleNoise(0, [0])
    with pytest.raises(
        ValueError, match=r"^ssd restores noise-free measurements but this has pois"
    ):
        METHODS["ssd"](problem, PRIOR, noise)
    with pytest.raises(ValueError, match=r"^ssd_plus weighs singular .* give weight='stop'"):
        METHODS["ssd_plus"](problem, PRIOR, noise)
    with pytest.raises(ValueError, match=r"^daps: tau is a level of Gaussian noise but .* poisson"):
        METHODS["daps"](problem, PRIOR, noise, tau=0.1)
    unknown = GeneralProblem(
        UncertainGain(Matrix(ROWS, SHAPE), 1.0, 0.3), 0 * ROWS[0], Gaussian(0.1)
    )
    for name in ("dps", "daps"):
        with pytest.raises(ValueError, match=f"^{name} draws no parameters but uncertain_gain has"):
            METHODS[name](unknown, PRIOR, noise)
