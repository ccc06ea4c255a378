"""The Jacobian of the ideal conditional denoiser holds the components of the posterior."""

import pytest
import torch
from torch import Tensor

from uqrestore.diffusion.jacobian import jacobian_components
from uqrestore.noise import SampleNoise
from uqrestore.operators import Inpainting, Matrix
from uqrestore.operators.base import LinearOperator
from uqrestore.priors import GaussianMixture, GaussianPrior
from uqrestore.problem import Problem, simulate

SHAPE, PIXELS = (1, 4, 5), 20
NOISE = SampleNoise(0, [0])


def randn(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def prior(seed: int = 1) -> GaussianPrior:
    basis = torch.linalg.qr(randn(PIXELS, PIXELS, seed=seed)).Q
    power = torch.arange(1, PIXELS + 1, dtype=torch.float64) ** -1.5
    return GaussianPrior.from_covariance(randn(*SHAPE, seed=2), basis * power @ basis.mT)


def problem(operator: LinearOperator, noise_std: float) -> Problem:
    return simulate(operator, randn(*SHAPE, seed=3), noise_std=noise_std, noise=SampleNoise(4, [0]))


OPERATORS = {
    "matrix": Matrix(randn(6, PIXELS, seed=5), SHAPE),
    "inpainting": Inpainting((randn(*SHAPE, seed=6) > 0).double()),
}


@pytest.mark.parametrize("noise_std", [0.0, 0.2])
@pytest.mark.parametrize("name", sorted(OPERATORS))
def test_components_of_a_gaussian_posterior_are_exact(name: str, noise_std: float) -> None:
    known, gaussian = problem(OPERATORS[name], noise_std), prior()
    exact, std = gaussian.posterior(known).components(3)
    for sigma in (0.3, 2.0):
        found = jacobian_components(gaussian, known, NOISE, 3, sigma=sigma, tol=1e-12, max_iter=400)
        torch.testing.assert_close(found.std, std, rtol=1e-4, atol=1e-6)
        agreement = (found.directions.flatten(1) @ exact.flatten(1).mT).diagonal().abs()
        torch.testing.assert_close(agreement, torch.ones(3).double(), rtol=0, atol=1e-4)


def test_a_batch_of_problems_is_each_problem() -> None:
    masks = (randn(2, *SHAPE, seed=7) > 0).double()
    truth = randn(2, *SHAPE, seed=8)
    both = Problem(Inpainting(masks), masks * truth)
    streams = SampleNoise(0, [0], slices=range(2))
    options = {"sigma": 0.5, "tol": 1e-12, "max_iter": 400}
    together = jacobian_components(prior(), both, streams, 2, **options)  # type: ignore[arg-type]
    assert together.directions.shape == (2, 2, *SHAPE)
    for i in range(2):
        std = prior().posterior(Problem(Inpainting(masks[i]), both.y[i])).components(2)[1]
        torch.testing.assert_close(together.std[i], std, rtol=1e-4, atol=1e-6)


def test_of_two_modes_the_widest_direction_joins_them() -> None:
    away = randn(*SHAPE, seed=9)
    away = away / away.norm()
    modes_of = [prior(), prior()]
    modes = [GaussianPrior(m.mean + s * away, m.directions, 0.01 * m.variances, SHAPE)
             for m, s in zip(modes_of, (-1.0, 1.0), strict=True)]  # fmt: skip
    gaussian = GaussianMixture(torch.tensor([0.5, 0.5]), modes)
    known = Problem(Matrix(randn(2, PIXELS, seed=10) * 1e-3, SHAPE), torch.zeros(2).double(), 1.0)
    found = jacobian_components(gaussian, known, NOISE, 1, sigma=2.0, at=modes_of[0].mean)
    assert abs(float((found.directions[0] * away).sum())) > 0.99
    assert float(found.std[0]) > 0.5, "as wide as the modes are apart, about"


def test_what_was_measured_without_noise_has_no_component() -> None:
    known = problem(OPERATORS["matrix"], 0.0)
    found = jacobian_components(prior(), known, NOISE, 4, sigma=0.5)
    assert known.operator.forward(found.directions).abs().max() < 1e-8
    torch.testing.assert_close(known.operator.forward(found.mean), known.y)


@pytest.mark.parametrize(("count", "sigma", "message"), [
    (21, 1.0, "images of 20 entries have no 21 components"),
    (0, 1.0, "have no 0 components"),
    (2, 0.0, "above 0, got 0.0"),
])  # fmt: skip
def test_impossible_wishes_are_named(count: int, sigma: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        jacobian_components(prior(), problem(OPERATORS["matrix"], 0.1), NOISE, count, sigma=sigma)
