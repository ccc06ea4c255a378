"""Fitted Gaussian steps: one step against the closed form, and what is asked of the prior."""

from importlib import import_module

import pytest
import torch

from tests.methods.tapes import Zeros, moments
from uqrestore.diffusion._spectra import radial_frequency, spectrum_of
from uqrestore.diffusion.error_model import ErrorCovariance
from uqrestore.diffusion.wrapped import Counting
from uqrestore.methods import fitted_gaussian
from uqrestore.methods.fitted_gaussian import _draw, fourier_diagonal
from uqrestore.noise import SampleNoise
from uqrestore.operators import CoilFourier, MaskedFourier, Radon, Scaled
from uqrestore.priors.gaussian import gaussian_field
from uqrestore.problem import Problem, simulate


def small_problem(noise_std: float = 0.1) -> Problem:
    """Two coils, complex image of 5 x 4, columns left out."""
    g = torch.Generator().manual_seed(3)
    mask = torch.tensor([True, False, True, True]).expand(5, 4)
    maps = torch.randn(2, 5, 4, dtype=torch.complex128, generator=g)
    y = torch.randn(2, 2, 5, 4, dtype=torch.float64, generator=g)
    return Problem(CoilFourier(mask=mask, maps=maps), y * mask, noise_std)


def small_covariance() -> ErrorCovariance:
    g = torch.Generator().manual_seed(4)
    std = 0.2 + torch.rand(1, 1, 5, 4, dtype=torch.float64, generator=g)
    radius = radial_frequency(5, 4).square()
    mixing = torch.tensor([[1.0, 0.0], [0.3, 0.9]], dtype=torch.float64)
    return ErrorCovariance(std, 1 / (0.2 + radius), mixing)


def test_a_step_draws_from_the_gaussian_posterior_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mean and covariance of the step, read from its noise, against matrices."""
    module = import_module("uqrestore.methods.fitted_gaussian")
    monkeypatch.setattr(module, "TOLERANCE", 1e-13)
    problem, c = small_problem(), small_covariance()
    eye = torch.eye(40, dtype=torch.float64).reshape(40, 2, 5, 4)
    root = c.root(spectrum_of(eye)).reshape(40, 40).mT
    prior = root @ root.mT
    a = problem.operator(eye).reshape(40, -1).mT
    y, mean = problem.y.flatten(), torch.linspace(-1, 1, 40, dtype=torch.float64)
    weights = fourier_diagonal(problem)

    def step(noise: SampleNoise) -> torch.Tensor:
        start = mean.reshape(1, 2, 5, 4).expand(*noise.shape, 2, 5, 4)
        std = problem.noise_std_as(start)
        return _draw(problem, start, c, noise, std, weights, 200)[0]

    found_mean, found = moments(step)
    gain = prior @ a.mT @ torch.linalg.inv(a @ prior @ a.mT + 0.01 * torch.eye(len(a)).double())
    torch.testing.assert_close(found_mean, mean + gain @ (y - a @ mean), rtol=0, atol=1e-9)
    torch.testing.assert_close(found, prior - gain @ a @ prior, rtol=0, atol=1e-9)


def test_the_diagonal_is_that_of_the_normal_operator() -> None:
    """Of one coil it is the mask, whatever the probes."""
    mask = torch.rand(6, 5, generator=torch.Generator().manual_seed(0)) < 0.5
    operator = MaskedFourier(mask, channels=2)
    diagonal = fourier_diagonal(Problem(operator, torch.zeros(operator.out_shape), 0.1))
    torch.testing.assert_close(diagonal[0], torch.fft.ifftshift(mask).float(), rtol=0, atol=1e-5)


def test_a_step_costs_one_call_and_no_product() -> None:
    problem = simulate(
        MaskedFourier(torch.ones(6, 5).bool(), channels=1),
        torch.zeros(1, 6, 5).double(),
        noise_std=0.1,
        seed=0,
    )
    counting = Counting(gaussian_field((1, 6, 5)))
    fitted_gaussian(problem, counting, SampleNoise(0, range(3)), levels=9)
    assert (counting.counts.network, counting.counts.products) == (9, 0)


def test_a_prior_without_an_error_model_is_refused_with_what_to_do() -> None:
    problem = small_problem()

    def plain(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        return x / (1 + sigma)

    with pytest.raises(ValueError, match=r"no error model .*'local_gaussian'"):
        fitted_gaussian(problem, plain, Zeros())


def test_noise_free_draws_do_not_depend_on_the_unit_of_the_measurement() -> None:
    prior, rays = gaussian_field((1, 12, 10)), Radon.sparse_view((1, 12, 10), views=6)
    x = prior.draw(SampleNoise(0, [0], slices=[0]))[0]
    problem = simulate(rays, x, seed=0)
    scaled = Problem(Scaled((rays,), 100.0), 100 * problem.y, 0.0)
    draws = [
        fitted_gaussian(one, prior, SampleNoise(0, range(3), slices=[0]))
        for one in (problem, scaled)
    ]
    torch.testing.assert_close(draws[0], draws[1], rtol=0, atol=1e-4)


def test_projections_without_noise_lead_to_the_posterior_mean() -> None:
    """A sum over many pixels measures them far better than a pixel does: solves must go on."""
    shape = (1, 33, 31)
    prior, rays = gaussian_field(shape), Radon.sparse_view(shape, views=20)
    problem = simulate(rays, prior.draw(SampleNoise(0, [0], slices=[0]))[0], seed=0)
    draws = fitted_gaussian(problem, prior, SampleNoise(0, range(16), slices=[0]))
    exact = prior.posterior(problem).mean
    assert float((draws.mean(0) - exact).square().mean().sqrt()) < 0.023
    with pytest.warns(UserWarning, match="ended after 3 iterations, so draws may be far off"):
        fitted_gaussian(problem, prior, SampleNoise(0, [0], slices=[0]), iterations=3)
