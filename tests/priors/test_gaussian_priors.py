"""Closed-form priors against their own algebra, finite differences and one another."""

import pytest
import torch
from torch import Tensor

from uqrestore.noise import SampleNoise
from uqrestore.operators import Inpainting, MaskedFourier, Matrix
from uqrestore.operators.base import LinearOperator
from uqrestore.priors.closed_form import ClosedForm
from uqrestore.priors.gaussian import GaussianPrior
from uqrestore.priors.low_rank import LowRankGaussian, fit_low_rank
from uqrestore.priors.mixture import GaussianMixture
from uqrestore.problem import Problem, simulate

SHAPE = (1, 4, 3)
D = 12


def randn(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def dense(seed: int = 0, shift: float = 0.0) -> GaussianPrior:
    root = randn(D, D, seed=seed) / D**0.5
    return GaussianPrior.from_covariance(randn(*SHAPE, seed=seed + 1) + shift, root @ root.T)


def low_rank(seed: int = 0) -> LowRankGaussian:
    return LowRankGaussian(randn(*SHAPE, seed=seed), 0.5 * randn(4, *SHAPE, seed=seed + 1), 0.05)


def mixture(seed: int = 0) -> GaussianMixture:
    weights = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    return GaussianMixture(weights, [dense(seed + 10 * k, 0.5 * k) for k in range(3)])


PRIORS = {"dense": dense, "low_rank": low_rank, "mixture": mixture}


@pytest.fixture(params=sorted(PRIORS))
def prior(request: pytest.FixtureRequest) -> ClosedForm:
    return PRIORS[request.param]()


def operators() -> dict[str, LinearOperator]:
    return {
        "inpainting": Inpainting((randn(*SHAPE, seed=5) > 0).double()),
        "masked_fourier": MaskedFourier(randn(4, 3, seed=6) > 0, channels=1),
        "matrix": Matrix(randn(5, D, seed=7), SHAPE),
    }


@pytest.fixture(params=sorted(operators()))
def operator(request: pytest.FixtureRequest) -> LinearOperator:
    return operators()[request.param]


def noisy(operator: LinearOperator, seed: int = 8, std: float = 0.3) -> Problem:
    noise = SampleNoise(seed, [0])
    return simulate(operator, randn(*SHAPE, seed=seed), noise_std=std, noise=noise)


@pytest.mark.parametrize("sigma", [0.1, 0.7, 5.0])
def test_the_score_is_the_gradient_of_the_log_density(prior: ClosedForm, sigma: float) -> None:
    x = randn(3, *SHAPE, seed=2).requires_grad_()
    (gradient,) = torch.autograd.grad(prior.log_prob(x, sigma).sum(), x)
    torch.testing.assert_close(prior.score(x.detach(), sigma), gradient)


@pytest.mark.parametrize("sigma", [0.1, 0.7, 5.0])
def test_the_jacobian_product_is_that_of_the_denoiser(prior: ClosedForm, sigma: float) -> None:
    x, v = randn(3, *SHAPE, seed=2), randn(3, *SHAPE, seed=3)
    _, by_autograd = torch.autograd.functional.jvp(lambda t: prior.denoise(t, sigma), x, v)
    torch.testing.assert_close(prior.jacobian_product(x, sigma, v), by_autograd)


def test_without_noise_the_image_is_known_and_in_pure_noise_it_is_the_mean(
    prior: ClosedForm,
) -> None:
    """At small noise the denoised image lies in the affine space that supports the distribution."""
    x = prior.draw(SampleNoise(0, range(2)))
    torch.testing.assert_close(prior(x, torch.tensor(1e-6)), x, atol=1e-6, rtol=1e-5)
    pure_noise = prior(1e6 * randn(2, *SHAPE, seed=1), torch.tensor(1e9))
    torch.testing.assert_close(pure_noise, prior.mean.expand_as(pure_noise), atol=1e-5, rtol=1e-5)


def test_the_posterior_is_bayes_rule(prior: ClosedForm, operator: LinearOperator) -> None:
    """Log p(x | y) = log p(x) + log p(y | x) - log p(y) at any x."""
    problem = noisy(operator)
    x = randn(4, *SHAPE, seed=9)
    if isinstance(prior, LowRankGaussian | GaussianPrior | GaussianMixture):
        residual = (operator(x) - problem.y).flatten(1)
        mask = operator.row_mask
        rows = torch.ones(operator.out_shape) if mask is None else mask.expand(operator.out_shape)
        std = torch.tensor(0.3, dtype=torch.float64)
        misfit = (residual / std).square().sum(1) / 2
        likelihood = -misfit - rows.sum() * torch.log((2 * torch.pi) ** 0.5 * std)
        bayes = prior.log_prob(x) + likelihood - prior.log_evidence(problem)
        torch.testing.assert_close(prior.posterior(problem).log_prob(x), bayes)


def test_the_conditional_denoiser_is_the_posteriors_own(
    prior: ClosedForm, operator: LinearOperator
) -> None:
    """E[x0 | x_t, y] is the mean of the posterior of the stacked observation [y; x_t]."""
    problem, sigma = noisy(operator), 0.6
    x_t = randn(*SHAPE, seed=4)
    pixels = torch.eye(D, dtype=torch.float64)
    rows = operator.forward(pixels.reshape(D, *SHAPE)).flatten(1).T / 0.3
    stacked = Matrix(torch.cat([rows, pixels / sigma]), SHAPE)
    y = torch.cat([problem.y.flatten() / 0.3, x_t.flatten() / sigma])
    whole = prior.posterior(Problem(stacked, y, 1.0)).mean
    torch.testing.assert_close(prior(x_t, torch.tensor(sigma), problem), whole)


def test_a_noise_free_posterior_explains_the_measurement(
    prior: ClosedForm, operator: LinearOperator
) -> None:
    truth = prior.draw(SampleNoise(3, [0]))[0]
    posterior = prior.posterior(simulate(operator, truth))
    draws = posterior.draw(SampleNoise(4, range(5)))
    want = operator(truth)
    torch.testing.assert_close(operator(draws), want.expand(5, *want.shape), atol=1e-6, rtol=1e-6)
    mean = posterior.mean
    torch.testing.assert_close(operator(mean), want, atol=1e-6, rtol=1e-6)


def test_draws_have_the_moments_they_should(prior: ClosedForm, operator: LinearOperator) -> None:
    posterior = prior.posterior(noisy(operator))
    draws = posterior.draw(SampleNoise(1, range(6000)))
    error = (draws.mean(0) - posterior.mean).abs() / (posterior.std / 6000**0.5 + 1e-9)
    assert error.max() < 5, "standard errors"
    torch.testing.assert_close(draws.std(0), posterior.std, rtol=0.06, atol=1e-3)


def test_components_are_the_leading_eigenvectors(
    prior: ClosedForm, operator: LinearOperator
) -> None:
    posterior = prior.posterior(noisy(operator))
    pixels = torch.eye(D, dtype=torch.float64).reshape(D, *SHAPE)
    covariance = posterior.covariance_product(pixels).flatten(1)
    torch.testing.assert_close(covariance, covariance.T, atol=1e-9, rtol=1e-7)
    torch.testing.assert_close(covariance.diagonal().sqrt(), posterior.std.flatten())
    directions, std = posterior.components(3)
    exact = torch.linalg.eigvalsh(covariance).flip(0)[:3].clamp(min=0).sqrt()
    torch.testing.assert_close(std, exact, rtol=1e-5, atol=1e-7)
    flat = directions.flatten(1)
    torch.testing.assert_close(flat @ flat.T, torch.eye(3, dtype=flat.dtype), atol=1e-6, rtol=0)
    along = (flat @ covariance * flat).sum(1)
    torch.testing.assert_close(along, std.square(), rtol=1e-4, atol=1e-9)


def test_low_rank_and_dense_agree(operator: LinearOperator) -> None:
    thin = low_rank()
    factors = thin.factors.flatten(1).double()
    full = GaussianPrior.from_covariance(
        thin.mean.double(), factors.T @ factors + 0.05 * torch.eye(D, dtype=torch.float64)
    )
    for problem in (noisy(operator), simulate(operator, randn(*SHAPE, seed=8))):
        ours, exact = thin.posterior(problem), full.posterior(problem)
        torch.testing.assert_close(ours.mean, exact.mean, atol=1e-6, rtol=1e-6)
        torch.testing.assert_close(ours.std, exact.std, atol=1e-6, rtol=1e-6)


def test_a_batch_of_problems_is_each_problem(prior: ClosedForm) -> None:
    masks = (randn(3, *SHAPE, seed=5) > 0).double()
    problem = simulate(Inpainting(masks), randn(3, *SHAPE, seed=6))
    together = prior.posterior(problem)
    for i in range(3):
        alone = prior.posterior(Problem(Inpainting(masks[i]), problem.y[i]))
        torch.testing.assert_close(together.mean[i], alone.mean)
        torch.testing.assert_close(together.std[i], alone.std, atol=1e-7, rtol=1e-6)


def test_fitting_finds_the_distribution_of_the_images() -> None:
    prior = low_rank()
    images = prior.draw(SampleNoise(0, range(20_000))).float()
    found = fit_low_rank(images, rank=4)
    torch.testing.assert_close(found.std.double(), prior.std.double(), rtol=0.05, atol=0.02)
    assert float(found.tau) == pytest.approx(0.05, rel=0.1)


def test_a_prior_of_other_images_is_named(prior: ClosedForm) -> None:
    other = Inpainting(torch.ones(1, 5, 5).double())
    with pytest.raises(ValueError, match=r"prior of images of shape \(1, 4, 3\)"):
        prior.posterior(Problem(other, torch.zeros(1, 5, 5).double()))


def test_a_covariance_that_is_none_is_named() -> None:
    with pytest.raises(ValueError, match="none below 0"):
        GaussianPrior.from_covariance(torch.zeros(1, 1, 2), torch.tensor([[1.0, 2.0], [2.0, 1.0]]))
