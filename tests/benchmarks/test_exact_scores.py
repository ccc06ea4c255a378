"""Scores against the exact posterior: exact draws are at their floors, prior draws at ceilings."""

import pytest
import torch

from tests.benchmarks.calibration_sets import gmm_cal
from uqrestore.benchmarks.exact import gaussian_field
from uqrestore.benchmarks.exact_scores import EXACT_SCORES, score_exactly
from uqrestore.noise import SampleNoise
from uqrestore.operators import Inpainting
from uqrestore.priors import ClosedForm
from uqrestore.problem import Problem, simulate

SHAPE, PROBLEMS, DRAWS = (1, 3, 5), 30, 60


@pytest.fixture(scope="module")
def field() -> tuple[ClosedForm, Problem]:
    prior, rows = gaussian_field(SHAPE), range(PROBLEMS)
    truth = prior.draw(SampleNoise(0, [0], scan=1, slices=rows))[0]
    seen = torch.rand(SHAPE, generator=torch.Generator().manual_seed(0)) < 0.5
    noise = SampleNoise(0, [0], scan=2, slices=rows)
    return prior, simulate(Inpainting(seen.double()), truth, noise_std=0.2, noise=noise)


def draws_of(law: ClosedForm, seed: int = 5) -> torch.Tensor:
    return law.draw(SampleNoise(seed, range(DRAWS), slices=range(PROBLEMS)))


def test_exact_draws_are_at_the_floor_and_prior_draws_have_no_skill(
    field: tuple[ClosedForm, Problem],
) -> None:
    prior, problem = field
    exact = score_exactly(prior, problem, draws_of(prior.posterior(problem)))
    assert [score.name for score in exact] == list(EXACT_SCORES)
    for score in exact[:-1]:
        assert score.skill > 0.9, score
    for score in score_exactly(prior, problem, draws_of(prior))[:-1]:
        assert score.skill < 0.2, score


def test_floors_are_those_of_the_formulas(field: tuple[ClosedForm, Problem]) -> None:
    prior, problem = field
    found = {s.name: s for s in score_exactly(prior, problem, draws_of(prior.posterior(problem)))}
    law = prior.posterior(problem)
    eye = torch.eye(15).double().reshape(15, 1, *SHAPE).expand(15, PROBLEMS, *SHAPE)
    c = law.covariance_product(eye).flatten(2)[:, 0]
    rank = float(c.trace() ** 2 / c.square().sum())
    assert found["mean"].floor == pytest.approx(1 / DRAWS, rel=0.3)
    assert found["covariance"].floor == pytest.approx((1 + rank) / (DRAWS - 1), rel=0.3)
    values = torch.linalg.eigvalsh(c)
    pairs = values[:, None] * values / (values[:, None] + values)
    bures = float((c.trace() + (pairs.sum() + pairs.diagonal().sum()) / 2) / DRAWS)
    assert found["Bures-Wasserstein"].floor == pytest.approx(bures, rel=0.3)
    assert abs(found["kernel discrepancy"].floor) < 0.02 * found["kernel discrepancy"].ceiling


def test_a_dropped_mode_shows_in_the_weights() -> None:
    made = gmm_cal(16, PROBLEMS)
    found = {s.name: s for s in score_exactly(made.prior, made.problem, draws_of(made.posterior))}
    assert found["mode weights"].skill > 0.9
    modes = made.posterior.modes
    chosen = made.posterior.weights.argmax(0)
    one = torch.stack([draws_of(mode) for mode in modes])
    dropped = one[chosen, :, torch.arange(PROBLEMS)].movedim(1, 0)
    lost = {s.name: s for s in score_exactly(made.prior, made.problem, dropped)}
    assert lost["mode weights"].value.low > 2 * found["mode weights"].value.value


def test_too_little_to_score_is_named(field: tuple[ClosedForm, Problem]) -> None:
    prior, problem = field
    with pytest.raises(ValueError, match="at least 2 draws of 2 problems, got 1 of 30"):
        score_exactly(prior, problem, draws_of(prior)[:1])
