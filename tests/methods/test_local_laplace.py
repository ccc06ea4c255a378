"""Local Laplace sampling against posteriors on grids, in closed form, and its refusals."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import uqrestore as uq
from uqrestore.methods import METHODS, draw_jointly, local_laplace
from uqrestore.noise import (
    Gaussian,
    NoiseModel,
    Poisson,
    Quantised,
    Rician,
    SampleNoise,
    StudentT,
    UncertainGaussian,
)
from uqrestore.operators import Inpainting, Matrix, Radon, Scaled, stack_operators
from uqrestore.operators.nonlinear import (
    Affine,
    BeerLambert,
    NonlinearOperator,
    Saturation,
    UncertainBlur,
    UncertainGain,
    UncertainOperator,
    phase_retrieval,
)
from uqrestore.posterior import validate
from uqrestore.priors import GaussianPrior
from uqrestore.priors.gaussian import gaussian_field
from uqrestore.problem import GeneralProblem, Problem, simulate

SHAPE = (1, 1, 3)
PIXELS = torch.tensor([[1.0, 0.6, 0.2], [0.6, 1.0, 0.6], [0.2, 0.6, 1.0]], dtype=torch.float64)
PRIOR = GaussianPrior.from_covariance(
    torch.tensor([[[0.1, -0.2, 0.3]]], dtype=torch.float64), 0.25 * PIXELS
)
ROWS = torch.tensor([[1.0, 0.5, 0.0], [0.0, 0.5, 1.0], [0.7, 0.7, 0.7]], dtype=torch.float64)
DRAWS = 1000
OPTIONS: dict[str, Any] = {"levels": 8, "sigma_max": 10.0, "leaps": 4}


def images(values: list[float]) -> Tensor:
    return torch.tensor([[values]], dtype=torch.float64)


CASES: dict[str, tuple[NonlinearOperator | Matrix, Tensor, NoiseModel]] = {
    "counts": (
        BeerLambert((3,), 8.0) @ Matrix(ROWS, SHAPE) @ Affine(SHAPE, 0.0, 1.5),
        torch.tensor([2.0, 7.0, 1.0], dtype=torch.float64),
        Poisson(background=0.5),
    ),
    "saturation": (Saturation(SHAPE, -0.3, 0.4), images([0.5, -0.1, -0.4]), Gaussian(0.2)),
    "rician": (Affine(SHAPE, 0.0, 1.0), images([0.9, 0.2, 0.6]), Rician(0.3)),
    "rounded": (
        Matrix(ROWS, SHAPE),
        torch.tensor([0.5, 0.0, -0.5], dtype=torch.float64),
        Quantised(0.5, 0.1),
    ),
    "outliers": (
        Matrix(ROWS, SHAPE),
        torch.tensor([3.0, 0.1, -0.2], dtype=torch.float64),
        StudentT(0.15, 2.0),
    ),
}


def grid() -> tuple[Tensor, Tensor]:
    """Return images on a grid over five standard deviations, and their prior log density."""
    axes = [m + 0.5 * torch.linspace(-5, 5, 61).double() for m in PRIOR.mean.flatten()]
    x = torch.cartesian_prod(*axes).reshape(-1, *SHAPE)
    return x, PRIOR.log_prob(x)


def moments(x: Tensor, log_density: Tensor) -> tuple[Tensor, Tensor]:
    weights = log_density.softmax(0)
    flat = x.flatten(1)
    mean = weights @ flat
    return mean, torch.einsum("n,ni,nj->ij", weights, flat - mean, flat - mean)


def assert_moments(draws: Tensor, mean: Tensor, covariance: Tensor) -> None:
    """Fail beyond four standard errors of the mean, and 15 % of the largest covariance."""
    flat = draws.flatten(1)
    limit = 4 * (covariance.diagonal() / len(flat)).sqrt()
    assert ((flat.mean(0) - mean).abs() < limit).all()
    assert (flat.T.cov() - covariance).abs().max() < 0.15 * covariance.diagonal().max()


@pytest.mark.parametrize("name", sorted(CASES))
def test_moments_are_those_of_the_posterior_on_a_grid(name: str) -> None:
    problem = GeneralProblem(*CASES[name])
    x, prior = grid()
    mean, covariance = moments(x, prior + problem.log_likelihood(x))
    draws = local_laplace(problem, PRIOR, SampleNoise(0, range(DRAWS)), **OPTIONS)
    assert_moments(draws, mean, covariance)


@pytest.mark.parametrize("name", ["counts", "saturation", "outliers"])
def test_trajectories_about_the_local_prior_have_the_same_moments(name: str) -> None:
    problem = GeneralProblem(*CASES[name])
    x, prior = grid()
    mean, covariance = moments(x, prior + problem.log_likelihood(x))
    options = {**OPTIONS, "levels": 24, "leaps": 12, "about": "prior"}
    draws = local_laplace(problem, PRIOR, SampleNoise(0, range(DRAWS)), **options)
    assert_moments(draws, mean, covariance)


def test_clipped_fields_have_the_moments_of_gibbs_sampling() -> None:
    """Of 4 x 5 pixels, where many may be clipped or not: exact conditionals, pixel by pixel."""
    prior = gaussian_field((1, 4, 5))
    operator, std = Saturation((1, 4, 5), -0.2, 0.4), 0.1
    problem = GeneralProblem.simulate(operator, prior.draw(SampleNoise(3, [0]))[0], Gaussian(std))
    mean, variance = gibbs(prior, problem.y.flatten(), std)
    sigmas = [*(20 * 0.05 ** (i / 27) for i in range(28)), 0.3, 0.1, 0.0]
    options: dict[str, Any] = {"sigmas": sigmas, "leaps": 32, "about": "prior"}
    draws = local_laplace(problem, prior, SampleNoise(1, range(600)), **options).flatten(1)
    floor = (variance.mean() / 600).sqrt()
    assert (draws.mean(0) - mean).square().mean().sqrt() < 1.3 * floor
    assert 0.93 < draws.var(0).mean() / variance.mean() < 1.07


def gibbs(prior: GaussianPrior, y: Tensor, std: float) -> tuple[Tensor, Tensor]:
    """Return the moments of pixels clipped at -0.2 and 0.4, by exact draws of one at a time."""
    generator = torch.Generator().manual_seed(0)
    precision, centre = prior.covariance.inverse(), prior.mean.flatten()
    values = torch.linspace(-2.4, 2.4, 481).double()
    fit = -((y[:, None] - values.clamp(-0.2, 0.4)) ** 2) / (2 * std**2)
    x, kept = y.expand(100, -1).clone(), []
    for sweep in range(250):
        for i in range(len(y)):
            own = precision[i, i]
            pull = (x - centre) @ precision[i] - own * (x[:, i] - centre[i])
            at = centre[i] - pull / own
            log = fit[i] - 0.5 * own * (values - at[:, None]) ** 2
            weights = (log - log.amax(1, keepdim=True)).exp()
            x[:, i] = values[torch.multinomial(weights, 1, generator=generator)[:, 0]]
        if sweep >= 50:
            kept.append(x.clone())
    drawn = torch.cat(kept)
    return drawn.mean(0), drawn.var(0)


def test_linear_gaussian_draws_are_exact_with_one_level() -> None:
    problem = Problem(Matrix(ROWS[:2], SHAPE), torch.tensor([0.8, -0.3]).double(), 0.1)
    exact = PRIOR.posterior(problem)
    assert isinstance(exact, GaussianPrior)
    draws = local_laplace(problem, PRIOR, SampleNoise(0, range(DRAWS)), sigmas=[50.0, 0.0], leaps=1)
    assert_moments(draws, exact.mean.flatten(), exact.covariance)


def joint(
    operator: UncertainOperator, y: Tensor, noise_std: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return mean and covariance of the image, mean and deviation of the parameter, by a grid."""
    theta = torch.linspace(-4, 4, 81).double()
    eye = torch.eye(3).double().reshape(3, *SHAPE)
    log, means, covariances = [], [], []
    for t in theta:
        columns = operator.forward_at(eye, t.reshape(1, 1).expand(3, 1)).flatten(1)
        problem = Problem(Matrix(columns.mT, SHAPE), y.flatten(), noise_std)
        posterior = PRIOR.condition(problem)
        log.append(PRIOR.log_evidence(problem) - 0.5 * t**2)
        means.append(posterior.mean.flatten())
        covariances.append(posterior.covariance)
    return mixed(
        torch.stack(log),
        torch.stack(means),
        torch.stack(covariances),
        next(iter(operator.values(theta[:, None]).values())),
    )


def mixed(
    log: Tensor, means: Tensor, covariances: Tensor, values: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    weights = log.softmax(0)
    mean = weights @ means
    away = means - mean
    covariance = torch.einsum("k,kij->ij", weights, covariances) + torch.einsum(
        "k,ki,kj->ij", weights, away, away
    )
    centre = weights @ values
    return mean, covariance, centre, (weights @ (values - centre).square()).sqrt()


@pytest.mark.parametrize(
    ("operator", "noise_std"),
    [
        (UncertainGain(Matrix(ROWS, SHAPE), 1.2, 0.3), 0.1),
        (UncertainBlur(SHAPE, 0.8, 0.5), 0.1),
        # A thin curved sheet of images and gains, on which trajectories alone hardly move.
        (UncertainGain(Matrix(ROWS, SHAPE), 1.0, 0.6), 0.02),
    ],
    ids=["gain", "blur", "thin"],
)
def test_parameters_and_image_are_drawn_from_their_joint_posterior(
    operator: UncertainOperator, noise_std: float
) -> None:
    truth = images([0.6, 0.7, 0.2])
    y = operator.forward_at(truth, torch.full((1,), 0.8).double())
    mean, covariance, centre, deviation = joint(operator, y, noise_std)
    problem = GeneralProblem(operator, y, Gaussian(noise_std))
    noise = SampleNoise(0, range(DRAWS))
    draws, parameters = draw_jointly(problem, PRIOR, noise, **{**OPTIONS, "levels": 12})
    assert_moments(draws, mean, covariance)
    (values,) = parameters.values()
    assert values.shape == (DRAWS,)
    assert abs(values.mean() - centre) < 5 * deviation / DRAWS**0.5
    torch.testing.assert_close(values.std(), deviation, rtol=0.1, atol=0)


def test_the_noise_level_is_drawn_from_its_posterior() -> None:
    operator, y = Inpainting(torch.ones(SHAPE)), images([0.5, -0.9, 0.4])
    std = 0.2 * torch.exp(torch.linspace(-2.5, 3, 111).double())
    parts = [Problem(operator, y, float(s)) for s in std]
    prior = -6.0 * std.log() - 6.0 * 0.2**2 / (2 * std.square())
    log = torch.stack([PRIOR.log_evidence(part) for part in parts]) + prior
    posteriors = [PRIOR.condition(part) for part in parts]
    mean, covariance, centre, deviation = mixed(
        log,
        torch.stack([p.mean.flatten() for p in posteriors]),
        torch.stack([p.covariance for p in posteriors]),
        std,
    )
    problem = GeneralProblem(operator, y, UncertainGaussian(0.2, 6.0))
    noise = SampleNoise(0, range(DRAWS))
    draws, parameters = draw_jointly(problem, PRIOR, noise, levels=12, sigma_max=10.0, leaps=1)
    assert_moments(draws, mean, covariance)
    assert abs(parameters["noise_std"].mean() - centre) < 5 * deviation / DRAWS**0.5
    torch.testing.assert_close(parameters["noise_std"].std(), deviation, rtol=0.15, atol=0)


def test_chains_from_many_starts_do_not_end_in_modes_of_little_weight() -> None:
    """Of phase retrieval, where a single start finds such modes."""
    phases = 6.3 * torch.rand(2, 6, 5, generator=torch.Generator().manual_seed(0)).double()
    operator = phase_retrieval(torch.polar(torch.ones_like(phases), phases))
    prior = gaussian_field((1, 6, 5))
    x = prior.draw(SampleNoise(3, [0]))[0]
    problem = GeneralProblem.simulate(operator, x, Gaussian(0.05), seed=1)
    best = problem.log_likelihood(x)

    def lost(starts: int) -> float:
        noise, options = SampleNoise(0, range(30)), {"levels": 5, "newton": 8, "leaps": 4}
        draws = local_laplace(problem, prior, noise, starts=starts, **options)
        return float((problem.log_likelihood(draws) < best - 40).double().mean())

    assert lost(1) > 0.2
    assert lost(8) < 0.1


def test_a_draw_depends_on_its_own_stream_alone() -> None:
    operator, y, noise = CASES["counts"]
    problem = GeneralProblem(operator, torch.stack([y, y + 1]), noise)
    whole = local_laplace(problem, PRIOR, SampleNoise(0, range(3), slices=range(2)), levels=3)
    part = local_laplace(problem.select([1]), PRIOR, SampleNoise(0, [2], slices=[1]), levels=3)
    torch.testing.assert_close(part[0, 0], whole[2, 1], rtol=1e-4, atol=1e-4)


def test_solves_that_stop_early_and_trajectories_that_fail_are_reported() -> None:
    problem = GeneralProblem(*CASES["counts"])
    noise = SampleNoise(0, range(20))
    with pytest.warns(UserWarning, match="give more data_products"):
        local_laplace(problem, PRIOR, noise, levels=2, data_products=1)
    sharp = GeneralProblem(
        UncertainGain(Matrix(ROWS, SHAPE), 1.0, 2.0), CASES["outliers"][1], Gaussian(1e-3)
    )
    with pytest.warns(UserWarning, match=r"0\.0% of the trajectories .* give more leaps"):
        local_laplace(sharp, PRIOR, noise, sigmas=[50.0, 40.0, 0.0], leaps=1)


@pytest.mark.parametrize("name", sorted(n for n, m in METHODS.items() if not m.general))
def test_other_methods_refuse_a_problem_that_is_not_linear_or_not_gaussian(name: str) -> None:
    with pytest.raises(ValueError, match=rf"^{name} restores linear .* with poisson noise; choose"):
        METHODS[name](GeneralProblem(*CASES["counts"]), PRIOR, SampleNoise(0, [0]))


def test_problems_that_cannot_be_drawn_are_refused() -> None:
    operator, y, noise = CASES["counts"]
    with pytest.raises(ValueError, match="has no unknown parameters; use local_laplace"):
        draw_jointly(GeneralProblem(operator, y, noise), PRIOR, SampleNoise(0, [0]))
    with pytest.raises(ValueError, match="the standard deviation is 0; give GeneralProblem"):
        local_laplace(GeneralProblem(operator, y, Gaussian(0.0)), PRIOR, SampleNoise(0, [0]))
    with pytest.raises(ValueError, match="uncertain_gain: relative_std must be finite and above"):
        UncertainGain(Matrix(ROWS, SHAPE), 1.0, 0.0)


def test_sample_draws_from_a_general_problem(tmp_path: Path) -> None:
    problem = GeneralProblem(*CASES["saturation"])
    draws = uq.sample(problem.operator, problem, PRIOR, "local_laplace", samples=3, levels=3)
    one = local_laplace(problem, PRIOR, SampleNoise(0, range(3)), levels=3)
    torch.testing.assert_close(draws, one, rtol=1e-6, atol=1e-6)
    out = tmp_path / "x.h5"
    again = uq.sample(
        problem.operator, problem, PRIOR, "local_laplace", samples=3, levels=3, out=out
    )
    torch.testing.assert_close(again, one, rtol=1e-6, atol=1e-6)
    assert validate(out) == []


def test_noise_free_draws_do_not_depend_on_the_unit_of_the_measurement() -> None:
    prior, rays = gaussian_field((1, 7, 6)), Radon.sparse_view((1, 7, 6), views=3)
    truth = prior.draw(SampleNoise(0, [0], slices=range(2)))[0]
    problem = simulate(stack_operators([rays.to(torch.float64)] * 2), truth, noise_std=0.0, seed=0)
    # The second of two is noisy: only the first is weighed by a small noise.
    std = torch.tensor([0.0, 0.1], dtype=torch.float64)
    scaled = Problem(Scaled((problem.operator,), 100.0), 100 * problem.y, 100 * std)
    draws = [
        local_laplace(one, prior, SampleNoise(0, range(3), slices=range(2)))
        for one in (Problem(problem.operator, problem.y, std), scaled)
    ]
    torch.testing.assert_close(draws[0], draws[1], rtol=0, atol=1e-3)
