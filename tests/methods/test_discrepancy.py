"""Draws of a network that misses a noisy measurement come as near to it as the truth."""

import pytest
import torch
from torch import Tensor

from uqrestore.methods import METHODS
from uqrestore.methods._discrepancy import meet_discrepancy
from uqrestore.noise import SampleNoise
from uqrestore.operators.mixed import mix
from uqrestore.operators.random.mixture import DISTRIBUTIONS
from uqrestore.priors import GaussianPrior
from uqrestore.priors.gaussian import gaussian_field
from uqrestore.problem import Problem, simulate

SHAPE, PROBLEMS, DRAWS = (1, 12, 10), 8, 40
KINDS = {
    "patch_inpainting": {"visible": (0.3, 0.5)},
    "cartesian_kspace": {"accelerations": (2,)},
    "random_matrix": {"rows": (30, 40)},
    "strided_motion_blur": {"strides": (2,)},
}


@pytest.fixture(scope="module")
def prior() -> GaussianPrior:
    return gaussian_field(SHAPE)


def measured(prior: GaussianPrior, kind: str, noise_std: float) -> tuple[Problem, Tensor]:
    """Measure draws of the prior, each by an operator of its own."""
    truth = prior.draw(SampleNoise(0, range(PROBLEMS)))
    generator = torch.Generator().manual_seed(1)
    operator = DISTRIBUTIONS[kind](SHAPE, **KINDS[kind]).draw(generator, PROBLEMS).to(torch.float64)  # type: ignore[arg-type]
    noise = SampleNoise(2, [0], slices=range(PROBLEMS))
    return simulate(operator, truth, noise_std=noise_std, noise=noise), truth


def exact(prior: GaussianPrior, problem: Problem) -> Tensor:
    """Draw from the exact posterior of every problem."""
    return prior.posterior(problem).draw(streams())


def streams(seed: int = 3) -> SampleNoise:
    return SampleNoise(seed, range(DRAWS), slices=range(PROBLEMS))


def misfit(x: Tensor, problem: Problem) -> float:
    """Return the mean square of coefficients of the misfit, over the variance of the noise."""
    spectrum = problem.operator.spectral()
    assert spectrum is not None
    missed = spectrum.ut(problem.y) - spectrum.s * spectrum.vt(x)
    seen = (spectrum.s > 0).expand_as(missed)
    return float(missed[seen].square().mean() / problem.noise_std**2)


@pytest.mark.parametrize("kind", KINDS)
def test_draws_with_an_error_come_as_near_to_the_measurement_as_the_truth(
    prior: GaussianPrior, kind: str
) -> None:
    problem, truth = measured(prior, kind, 0.05)
    wrong = 0.3 * torch.randn(SHAPE, generator=torch.Generator().manual_seed(4)).double()
    ideal = exact(prior, problem)
    draws = ideal + wrong
    mended = meet_discrepancy(draws, problem, streams(seed=7))
    assert misfit(draws, problem) > 1.7
    # Bands of the blur whose misfit is not significant are left: its ratio is above 1.
    most = 1.35 if kind == "strided_motion_blur" else 1.03
    assert 0.97 < misfit(mended, problem) / misfit(ideal, problem) < most
    assert (mended - truth).square().mean() < (draws - truth).square().mean()


@pytest.mark.parametrize("kind", KINDS)
def test_draws_of_the_posterior_keep_their_distribution(prior: GaussianPrior, kind: str) -> None:
    problem, _ = measured(prior, kind, 0.1)
    draws = exact(prior, problem)
    after = meet_discrepancy(draws, problem, streams(seed=7))
    moved = (after - draws).square().mean(0).sum()
    assert moved < 0.005 * prior.posterior(problem).std.square().sum()
    assert float(after.var(0).sum()) == pytest.approx(float(draws.var(0).sum()), rel=0.005)


def test_a_draw_depends_on_no_other_draw_or_problem(prior: GaussianPrior) -> None:
    parts = [
        measured(prior, kind, 0.05)[0].select(0) for kind in ("random_matrix", "patch_inpainting")
    ]
    wrong = torch.ones(SHAPE, dtype=torch.float64)
    alone = meet_discrepancy(
        wrong.expand(1, 1, *SHAPE), one(parts[1]), SampleNoise(3, [5], slices=[1])
    )
    both = Problem(
        mix([part.operator for part in parts]),
        torch.nn.utils.rnn.pad_sequence([p.y.flatten() for p in parts], batch_first=True),
        0.05,
    )
    together = meet_discrepancy(
        wrong.expand(3, 2, *SHAPE), both, SampleNoise(3, [4, 5, 6], slices=[0, 1])
    )
    torch.testing.assert_close(together[1, 1], alone[0, 0])


def one(problem: Problem) -> Problem:
    """Return a batch of one problem."""
    return Problem(mix([problem.operator]), problem.y.flatten()[None], problem.noise_std)


def test_measurements_without_noise_are_left_to_the_projection(prior: GaussianPrior) -> None:
    problem, _ = measured(prior, "patch_inpainting", 0.0)
    draws = torch.zeros(DRAWS, PROBLEMS, *SHAPE, dtype=torch.float64)
    assert meet_discrepancy(draws, problem, streams()) is draws


def test_conditional_meets_the_discrepancy_unless_project_is_off(prior: GaussianPrior) -> None:
    problem, _ = measured(prior, "cartesian_kspace", 0.02)

    def off(x: Tensor, sigma: Tensor, problem: Problem | None = None) -> Tensor:
        return prior(x, sigma, problem) + 0.2 * x.new_ones(SHAPE)

    off.in_shape = SHAPE  # type: ignore[attr-defined]
    run = METHODS["conditional"]
    found = {
        project: misfit(run(problem, off, streams(), steps=8, project=project), problem)
        for project in (False, True)
    }
    assert found[False] > 10
    assert found[True] == pytest.approx(1, abs=0.1)
