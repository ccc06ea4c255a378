"""Draws of a conditional denoiser that is only nearly right are brought to the measurement."""

from collections.abc import Callable

import torch
from torch import Tensor

from uqrestore.methods import METHODS
from uqrestore.noise import SampleNoise
from uqrestore.operators import Inpainting, Zero
from uqrestore.priors import GaussianPrior
from uqrestore.problem import Problem, simulate

SHAPE, PIXELS, BATCH = (1, 5, 7), 35, 2


def randn(*shape: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


class Rough:
    """A conditional denoiser with an error of its own."""

    in_shape = SHAPE

    def __init__(self, prior: GaussianPrior) -> None:
        self.prior = prior

    def __call__(
        self,
        x_t: Tensor,
        sigma: Tensor,
        problem: Problem | None = None,
        label: Tensor | None = None,  # noqa: ARG002
    ) -> Tensor:
        clean = self.prior(x_t, sigma, problem)
        return clean + 0.1 * randn(*SHAPE, seed=9)


def setting() -> tuple[GaussianPrior, Problem]:
    root = 0.2 * randn(PIXELS, PIXELS, seed=1)
    prior = GaussianPrior.from_covariance(randn(*SHAPE, seed=2), root @ root.mT)
    operator = Inpainting((randn(BATCH, *SHAPE, seed=3) > 0).double())
    truth, noise = (
        prior.draw(SampleNoise(4, range(BATCH))),
        SampleNoise(5, [0], slices=range(BATCH)),
    )
    noise_std = torch.tensor([0.0, 0.1], dtype=torch.float64)
    return prior, simulate(operator, truth, noise_std=noise_std, noise=noise)


def draw(denoiser: Callable[..., Tensor], problem: Problem, *, project: bool) -> Tensor:
    noise = SampleNoise(0, range(3), slices=range(BATCH))
    return METHODS["conditional"](problem, denoiser, noise, steps=24, project=project)


def test_draws_explain_a_measurement_without_noise() -> None:
    prior, problem = setting()
    rough, free = (draw(Rough(prior), problem, project=p) for p in (True, False))
    assert (problem.operator(rough) - problem.y)[:, 0].abs().max() < 1e-12
    assert (problem.operator(free) - problem.y)[:, 0].abs().max() > 1e-2


def test_the_right_denoiser_is_left_as_it_is() -> None:
    prior, problem = setting()
    with_it, without = (draw(prior, problem, project=p) for p in (True, False))
    torch.testing.assert_close(with_it, without, rtol=1e-7, atol=1e-9)


def test_leaving_noise_behind_widens_draws_as_the_closed_form_says() -> None:
    root = 0.2 * randn(PIXELS, PIXELS, seed=1)
    prior = GaussianPrior.from_covariance(torch.zeros(SHAPE, dtype=torch.float64), root @ root.mT)
    problem = Problem(Zero(SHAPE), torch.zeros(SHAPE, dtype=torch.float64))
    scale, start = 1.02, 20.0
    options = {"sigma_max": start, "sigma_min": 1e-4, "steps": 400, "project": False}
    plain, wide = (
        METHODS["conditional"](
            problem, prior, SampleNoise(0, range(2)), epsilon_scale=s, **options
        ).flatten(1)
        for s in (1.0, scale)
    )
    variances, directions = torch.linalg.eigh(root @ root.mT)
    widest = slice(PIXELS // 2, None)  # far above the lowest noise level
    variances, directions = variances[widest], directions[:, widest]
    wider = ((variances + start**2) / variances) ** ((1 - 1 / scale) / 2)
    torch.testing.assert_close(wide @ directions, wider * (plain @ directions), rtol=1e-3, atol=0)
