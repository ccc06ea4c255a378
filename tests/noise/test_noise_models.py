"""Noise models against scipy, finite differences and their own draws; problems that carry them."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch
from torch import Tensor

from uqrestore.noise import (
    NOISE_MODELS,
    Gaussian,
    NoiseModel,
    NoncentralChi,
    Poisson,
    Quantised,
    Rician,
    SampleNoise,
    StudentT,
    UncertainGaussian,
)
from uqrestore.operators import Inpainting
from uqrestore.operators.nonlinear import Saturation
from uqrestore.problem import GeneralProblem, Problem, simulate

Density = Callable[[np.ndarray, np.ndarray], np.ndarray]
CASES: dict[str, tuple[NoiseModel, Density]] = {
    "gaussian": (Gaussian(0.7), lambda y, s: scipy.stats.norm.logpdf(y, s, 0.7)),
    "poisson": (
        Poisson(gain=0.5, background=1.0),
        lambda y, s: scipy.stats.poisson.logpmf(np.round(y / 0.5), (s + 1) / 0.5),
    ),
    "noncentral_chi": (
        NoncentralChi(0.7, 8),
        lambda y, s: (
            scipy.stats.ncx2.logpdf((y / 0.7) ** 2, 16, (s / 0.7) ** 2) + np.log(2 * y / 0.49)
        ),
    ),
    "rician": (Rician(0.7), lambda y, s: scipy.stats.rice.logpdf(y, s / 0.7, scale=0.7)),
    "uncertain_gaussian": (
        UncertainGaussian(0.7, 4.0),
        lambda y, s: scipy.stats.norm.logpdf(y, s, 0.7),
    ),
    "quantised": (
        Quantised(step=0.5, std=0.3),
        lambda y, s: np.log(
            np.where(
                y > s,
                scipy.stats.norm.sf(y - 0.25, s, 0.3) - scipy.stats.norm.sf(y + 0.25, s, 0.3),
                scipy.stats.norm.cdf(y + 0.25, s, 0.3) - scipy.stats.norm.cdf(y - 0.25, s, 0.3),
            )
        ),
    ),
    "student_t": (StudentT(0.7, df=5), lambda y, s: scipy.stats.t.logpdf(y, 5, s, 0.7)),
}
SIGNAL = torch.tensor([0.2, 1.0, 3.0, 40.0], dtype=torch.float64)


@pytest.fixture(params=sorted(CASES))
def case(request: pytest.FixtureRequest) -> tuple[NoiseModel, Density]:
    return CASES[request.param]


def draws(model: NoiseModel, count: int = 4000) -> Tensor:
    return model.simulate(SIGNAL.expand(count, -1), SampleNoise(0, range(count)))


def test_every_noise_model_has_a_case_and_its_name() -> None:
    assert set(NOISE_MODELS) == set(CASES)
    assert all(kind.name == name for name, kind in NOISE_MODELS.items())


def test_log_likelihood_is_that_of_scipy(case: tuple[NoiseModel, Density]) -> None:
    model, density = case
    y = draws(model, 20)
    expected = density(y.numpy(), SIGNAL.numpy())
    torch.testing.assert_close(model.log_likelihood(y, SIGNAL), torch.from_numpy(expected))


def test_score_is_the_derivative(case: tuple[NoiseModel, Density]) -> None:
    model, _ = case
    y, signal = draws(model, 20), SIGNAL.clone().requires_grad_(True)
    expected = torch.autograd.grad(model.log_likelihood(y, signal).sum(), signal)[0]
    torch.testing.assert_close(model.score(y, SIGNAL).sum(0), expected)


def test_draws_have_the_mean_the_variance_and_the_information(
    case: tuple[NoiseModel, Density],
) -> None:
    """The score of true draws has mean 0 and the Fisher information as variance."""
    model, _ = case
    y = draws(model)
    model.check(y)
    sixth = 6 / len(y) ** 0.5  # six standard errors
    mean, variance = model.mean(SIGNAL), model.variance(SIGNAL)
    assert ((y.mean(0) - mean).abs() < sixth * variance.sqrt()).all()
    torch.testing.assert_close(y.var(0), variance, rtol=3 * sixth, atol=0)
    score, information = model.score(y, SIGNAL), model.information(SIGNAL)
    assert (score.mean(0).abs() < sixth * information.sqrt()).all()
    approximate = 0.07 if isinstance(model, Rician | NoncentralChi) else 0.0
    torch.testing.assert_close(score.var(0), information, rtol=3 * sixth + approximate, atol=0)


def test_noise_given_its_variances_is_that_of_students_distribution() -> None:
    """A Gibbs step that leaves the joint distribution of noise and variances as it is."""
    model, s = StudentT(0.7, 5.0), torch.zeros(4000, 1, dtype=torch.float64)
    y = model.simulate(s, SampleNoise(0, range(4000)))
    given = model.given(y, s, SampleNoise(1, range(4000)), None)
    again = given.simulate(s, SampleNoise(2, range(4000)))
    assert scipy.stats.kstest(again.flatten() / 0.7, "t", args=(5,)).pvalue > 0.01
    sizes = torch.stack([y, again]).abs().flatten(1).argsort(1).argsort(1).double()
    assert float(sizes.corrcoef()[0, 1]) > 0.06  # outliers stay outliers


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("coils", [1, 2, 8, 32, 128])
def test_magnitudes_of_any_number_of_coils_and_any_signal(coils: int, dtype: torch.dtype) -> None:
    """Also where the Bessel functions overflow, and at no signal, as of one coil in closed form."""
    model = NoncentralChi(0.5, coils)
    signal = torch.tensor([0.0, 1e-3, 0.3, 2.0, 30.0, 1e3, 1e5], dtype=dtype)
    y = model.simulate(signal.expand(50, -1), SampleNoise(0, range(50)))
    rtol = {torch.float32: 2e-5, torch.float64: 1e-11}[dtype]
    order, u = coils - 1, (y * signal / 0.25).double().numpy()
    if coils == 1:
        plain = Rician(0.5)
        torch.testing.assert_close(
            model.log_likelihood(y, signal), plain.log_likelihood(y, signal), rtol=rtol, atol=1e-5
        )
    with np.errstate(invalid="ignore"):  # both are 0 where the order is far above u
        ratio = scipy.special.ive(order + 1, u) / scipy.special.ive(order, u)
    known = np.isfinite(ratio)
    assert known.mean() > 0.4
    expected = (y.double().numpy() * ratio - signal.double().numpy()) / 0.25
    found = model.score(y, signal).double().numpy()
    scale = np.broadcast_to(signal.double().numpy() / 0.25 + 1, found.shape)[known]
    assert np.abs((found[known] - expected[known]) / scale).max() < 20 * rtol
    assert torch.isfinite(model.log_likelihood(y, signal)).all()
    assert (found[:, 0] == 0).all()
    mean, std = y.double().mean(0), y.double().std(0)
    torch.testing.assert_close(model.mean(signal).double(), mean, rtol=0, atol=float(std.max()))
    torch.testing.assert_close(
        model.variance(signal)[-1].double(), torch.tensor(0.25).double(), rtol=0.05, atol=0
    )


@pytest.mark.parametrize("std", [0.02, 0.2, 0.99, 1.01, 4.0])
def test_rounding_adds_the_variance_of_a_step_and_loses_information(std: float) -> None:
    model, s = Quantised(1.0, std), torch.linspace(-1, 1, 401, dtype=torch.float64)
    steps = torch.arange(-40, 41).double()[:, None]
    p = model.log_likelihood(steps, s).exp()
    torch.testing.assert_close(p.sum(0), torch.ones_like(s))
    mean = (p * steps).sum(0)
    torch.testing.assert_close(model.mean(s), mean, rtol=0, atol=1e-8)
    torch.testing.assert_close(
        model.variance(s), (p * (steps - mean).square()).sum(0), rtol=0, atol=2e-7
    )
    exact = (p * torch.nan_to_num(model.score(steps, s)).square()).sum(0)
    torch.testing.assert_close(model.information(s), exact, rtol=6e-3, atol=1e-12)
    assert (exact <= 1 / std**2 + 1e-9).all()
    # Far from what was measured nothing overflows.
    assert torch.isfinite(model.log_likelihood(steps, s)).all()
    far = model.score(torch.tensor(40.0).double(), s)
    torch.testing.assert_close(far, (39.5 - s) / std**2, rtol=0.03, atol=0)
    with pytest.raises(
        ValueError, match=r"1 measurements are no multiples of the step, such as 0\.4"
    ):
        model.check(torch.tensor([1.0, 0.4]))


@pytest.mark.parametrize("step", [1e-3, 1e-5, 1e-7, 1e-9])
def test_steps_far_below_the_noise_are_gaussian_in_single_precision_too(step: float) -> None:
    y, s = torch.tensor([0.15, 0.13, 0.1]), torch.tensor([0.1, 0.13, 0.4])
    fine, plain = Quantised(step, 0.05), Gaussian(0.05)
    torch.testing.assert_close(fine.score(y, s), plain.score(y, s), rtol=2e-3, atol=2e-3)
    expected = plain.log_likelihood(y, s) + np.log(step)
    torch.testing.assert_close(fine.log_likelihood(y, s), expected, rtol=0, atol=2e-3)


def test_noise_level_given_residuals_is_conjugate() -> None:
    model, noise = UncertainGaussian(0.5, 4.0), SampleNoise(0, range(4000))
    y = torch.tensor([0.3, -0.8, 0.1], dtype=torch.float64).expand(4000, 3)
    mask = torch.tensor([True, True, False])
    std = torch.as_tensor(model.given(y, torch.zeros_like(y), noise, mask).std).flatten()
    total = 4 * 0.5**2 + 0.3**2 + 0.8**2
    assert scipy.stats.kstest(total / std**2, "chi2", args=(6,)).pvalue > 0.01


def test_gaussian_problems_are_simulated_bit_for_bit_as_before() -> None:
    x = torch.randn(3, 1, 5, 4, generator=torch.Generator().manual_seed(0))
    operator = Inpainting(x[0] > -1)
    std = torch.tensor([0.0, 0.1, 0.4])
    known = simulate(operator, x, noise_std=std, seed=3)
    model = Problem(operator, known.y, std).noise_model
    assert torch.equal(GeneralProblem.simulate(operator, x, model, seed=3).y, known.y)
    assert torch.equal(known.noise_model.variance(known.y)[:, 0, 0, 0], std.square())


def test_log_likelihood_of_a_problem_sums_measured_entries_alone() -> None:
    g = torch.Generator().manual_seed(0)
    x = torch.randn(3, 1, 5, 4, generator=g, dtype=torch.float64)
    seen = torch.rand(1, 5, 4, generator=g) < 0.6
    operator = Saturation((1, 5, 4), 0, 1) @ Inpainting(seen)
    problem = GeneralProblem.simulate(operator, x, Gaussian(0.1), seed=1)
    away = (problem.y - x.clamp(0, 1))[:, seen]
    expected = scipy.stats.norm.logpdf(away.numpy(), 0, 0.1).sum(-1)
    torch.testing.assert_close(problem.log_likelihood(x), torch.from_numpy(expected))
    some = problem.select([2, 0])
    torch.testing.assert_close(some.log_likelihood(x[[2, 0]]), problem.log_likelihood(x)[[2, 0]])
    one = GeneralProblem.simulate(operator, x, Gaussian(torch.full((3, 1, 1, 1), 0.1).double()))
    assert one.select(1).to(torch.float32).noise_model.std.shape == (1, 1, 1)  # type: ignore


def test_units_of_the_image_are_those_that_are_given() -> None:
    operator = Saturation((1, 2, 2), 0.0, 50.0)
    problem = GeneralProblem.from_units(
        operator, np.full((1, 2, 2), 30.0, np.float32), 0.0, 40.0, Gaussian(1.0)
    )
    torch.testing.assert_close(problem.operator(torch.full((1, 2, 2), 0.5)), problem.y)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Poisson().check(torch.tensor([1.0, -2.0])), "poisson: 1 measurements are negat"),
        (lambda: Poisson(0.5).check(torch.tensor([1.0, 0.7])), "not whole numbers of counts, such"),
        (lambda: Rician(1.0).check(torch.tensor([-1.0])), "rician: 1 measurements are negative"),
        (
            lambda: NoncentralChi(1.0, 2).check(torch.tensor([-1.0])),
            "noncentral_chi: 1 measurements are negative",
        ),
        (lambda: NoncentralChi(1.0, 0), "coils must be a whole number from 1 to 128, got 0"),
        (lambda: Gaussian(-1.0), "gaussian: std must be finite and at least 0"),
        (lambda: Poisson(gain=0.0), "poisson: gain must be finite and above 0"),
        (lambda: Poisson(background=-1.0), "background must be at least 0"),
        (lambda: StudentT(1.0, df=-1), "student_t: df must be finite and above 0"),
        (
            lambda: GeneralProblem(Saturation((1, 2, 2), 0, 1), torch.zeros(1, 3, 2), Gaussian(1)),
            r"measures \(\*problem, 1, 2, 2\)",
        ),
    ],
)
def test_bad_input_is_refused_in_one_line(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        make()
    assert "\n" not in str(error.value)


@pytest.mark.usefixtures("as_users_run_it")
def test_problems_of_the_wrong_kind_are_refused() -> None:
    operator, y = Saturation((1, 2, 2), 0, 1), torch.zeros(1, 2, 2)
    wrong: Any = (operator, 0.1, 2.5)
    with pytest.raises(ValueError, match="saturation is not linear; write GeneralProblem"):
        Problem(wrong[0], y)
    with pytest.raises(ValueError, match="noise_model must be one of"):
        GeneralProblem(operator, y, wrong[1])
    with pytest.raises(ValueError, match="coils must be a whole number from 1 to 128"):
        NoncentralChi(1.0, wrong[2])


@pytest.mark.parametrize("model", [Gaussian(0.1), Rician(0.1), StudentT(0.1, 3.0)])
def test_a_number_is_not_rounded_to_single_precision(
    model: Gaussian | Rician | StudentT,
) -> None:
    """0.1 as a number, and as a float64 tensor, are the same level."""
    y = torch.tensor([0.3, 1.7], dtype=torch.float64)
    signal = torch.tensor([0.2, 1.9], dtype=torch.float64)
    key = "scale" if isinstance(model, StudentT) else "std"
    exact = replace(model, **{key: torch.tensor(0.1, dtype=torch.float64)})
    found = model.log_likelihood(y, signal)
    torch.testing.assert_close(found, exact.log_likelihood(y, signal), rtol=1e-14, atol=0)
