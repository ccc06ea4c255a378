"""Without truth: unseen measurements and residuals give wrong samplers away."""

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from tests.diagnostics.worlds import LOG, SHAPE, draw_fast, mixture
from uqrestore.diagnostics.heldout import held_out_battery, hold_out, residual_test
from uqrestore.noise import SampleNoise
from uqrestore.operators import Identity, Inpainting, MaskedFourier, Matrix
from uqrestore.priors import GaussianMixture
from uqrestore.problem import Problem, simulate

NOISE_STD = 0.3


def seen_and_unseen(n: int, draws: int, *, seed: int = 0) -> tuple[Problem, Tensor, Tensor]:
    """Return the held-out problem, draws given the kept one, and the posterior mean."""
    g = torch.Generator().manual_seed(seed)
    mask = torch.ones(SHAPE, dtype=torch.bool)
    mask[0, 1, 3] = False
    truth = draw_fast(mixture(), n, 1, 100 + seed)[:, 0]
    noise = SampleNoise(200 + seed, [0], slices=range(n))
    problem = simulate(Inpainting(mask), truth, noise_std=NOISE_STD, noise=noise)
    kept, held = hold_out(problem, 0.5, g)
    posterior = mixture().posterior(kept)
    assert isinstance(posterior, GaussianMixture)
    return held, draw_fast(posterior, draws, n, 300 + seed), posterior.mean


def streams(n: int, draws: int, seed: int = 5) -> SampleNoise:
    return SampleNoise(seed, range(draws), slices=range(n))


def test_right_draws_predict_what_they_have_not_seen() -> None:
    held, draws, _ = seen_and_unseen(200, 19)
    battery = held_out_battery(held, draws, streams(200, 19))
    assert battery.p_value > 0.01
    assert battery.verdict.startswith("No fault found by 5 tests")


@pytest.mark.parametrize(("factor", "words"), [(0.6, "too narrow"), (1.6, "too wide")])
def test_wrong_spread_is_found_without_any_truth(factor: float, words: str) -> None:
    held, draws, mean = seen_and_unseen(200, 19)
    battery = held_out_battery(held, mean + factor * (draws - mean), streams(200, 19))
    assert battery.p_value < 1e-3
    assert words in battery.verdict


@pytest.mark.slow
def test_the_held_out_test_has_the_right_size() -> None:
    p_values = []
    for seed in range(200):
        held, draws, _ = seen_and_unseen(60, 9, seed=seed)
        battery = held_out_battery(held, draws, streams(60, 9, 1000 + seed), seed=seed)
        p_values += [finding.test.p_value for finding in battery.findings]
    size = np.mean(np.array(p_values) < 0.05)
    LOG.info("held-out test: size %.3f over five statistics of 200 studies", size)
    assert 0.03 <= size <= 0.07


def test_the_parts_of_a_fourier_measurement_are_disjoint_whole_and_blind_to_each_other() -> None:
    g = torch.Generator().manual_seed(0)
    mask = torch.rand(2, 7, 12, generator=g) < 0.6
    x = torch.randn(2, 1, 7, 12, generator=g, dtype=torch.float64)
    problem = simulate(MaskedFourier(mask, channels=1), x)
    kept, held = hold_out(problem, 0.3, g)

    assert isinstance(kept.operator, MaskedFourier)
    assert isinstance(held.operator, MaskedFourier)
    assert not (kept.operator.mask & held.operator.mask).any()
    assert ((kept.operator.mask | held.operator.mask) == mask).all()
    torch.testing.assert_close(kept.y + held.y, problem.y)
    torch.testing.assert_close(held.operator(x), held.y)
    # For real images the opposite frequency says the same: the kept part must not hold it.
    leak = held.operator.forward(kept.operator.pinv(kept.y))
    assert leak.abs().max() < 1e-6 * problem.y.abs().max()


def test_the_share_held_out_is_the_one_asked_for() -> None:
    mask = torch.ones(64, 65, dtype=torch.bool)
    problem = Problem(MaskedFourier(mask, channels=2), torch.zeros(2, 64, 65))
    shares = []
    for seed in range(60):
        _, held = hold_out(problem, 0.3, torch.Generator().manual_seed(seed))
        assert isinstance(held.operator, MaskedFourier)
        shares.append(float(held.operator.mask.double().mean()))
    assert np.mean(shares) == pytest.approx(0.3, abs=0.03)


def noisy(n: int, *, seed: int = 0) -> tuple[Problem, GaussianMixture]:
    g = torch.Generator().manual_seed(seed)
    operator = Matrix(torch.randn(6, 16, generator=g, dtype=torch.float64) / 4, SHAPE)
    truth = draw_fast(mixture(), n, 1, 400 + seed)[:, 0]
    noise = SampleNoise(500 + seed, [0], slices=range(n))
    problem = simulate(operator, truth, noise_std=NOISE_STD, noise=noise)
    posterior = mixture().posterior(problem)
    assert isinstance(posterior, GaussianMixture)
    return problem, posterior


def test_residuals_of_right_draws_are_pure_noise() -> None:
    problem, posterior = noisy(800)
    found = residual_test(problem, draw_fast(posterior, 3, 800, 600))
    assert found.ratio == pytest.approx(1, abs=0.06)
    assert found.p_value > 0.01
    assert "are those of the noise" in found.verdict


def test_padding_of_a_measurement_is_no_degree_of_freedom() -> None:
    g = torch.Generator().manual_seed(0)
    mask = torch.rand(400, *SHAPE, generator=g) < 0.4
    mask[:, 0, 0, 0] = True  # every scene has one
    truth = draw_fast(mixture(), 400, 1, 800)[:, 0]
    noise = SampleNoise(801, [0], slices=range(400))
    problem = simulate(Inpainting(mask), truth, noise_std=NOISE_STD, noise=noise)
    found = residual_test(problem, truth[None])
    assert found.ratio == pytest.approx(1, abs=0.1)
    assert found.p_value > 0.01


def test_the_mean_fits_too_well_and_narrow_draws_do_too() -> None:
    problem, posterior = noisy(800)
    draws = draw_fast(posterior, 1, 800, 600)
    for wrong in (posterior.mean[None], posterior.mean + 0.7 * (draws - posterior.mean)):
        found = residual_test(problem, wrong)
        assert found.ratio < 0.8
        assert found.p_value < 1e-6
        assert "fit the noise of the measurements" in found.verdict
    away = residual_test(problem, draws + 1)
    assert away.ratio > 1.5
    assert "contradict the measurements" in away.verdict


def test_the_joint_test_has_the_right_size() -> None:
    p_values = []
    for seed in range(30):
        problem, posterior = noisy(40, seed=seed)
        p_values.append(residual_test(problem, draw_fast(posterior, 2, 40, 700 + seed)).p_value)
    assert stats.kstest(p_values, "uniform").pvalue > 0.01


def test_what_cannot_be_tested_is_refused() -> None:
    g = torch.Generator().manual_seed(0)
    problem, posterior = noisy(5)
    draws = draw_fast(posterior, 3, 5, 1)
    with pytest.raises(ValueError, match="noise_std is 0"):
        residual_test(Problem(problem.operator, problem.y), draws)
    with pytest.raises(ValueError, match="at least 2 scenes"):
        residual_test(Problem(problem.operator, problem.y[0], NOISE_STD), draws[:, 0])
    with pytest.raises(ValueError, match="NaN"):
        residual_test(problem, draws * torch.nan)
    with pytest.raises(ValueError, match="masked_fourier and inpainting but got matrix"):
        hold_out(problem, 0.3, g)
    with pytest.raises(ValueError, match="share is a probability"):
        hold_out(problem, 1.0, g)
    one = torch.zeros(1, 4, 4, dtype=torch.bool)
    one[0, 1, 2] = True
    with pytest.raises(ValueError, match="at least one problem; change share"):
        hold_out(Problem(Inpainting(one), one.double()), 0.5, g)
    assert Identity(SHAPE).out_shape == SHAPE
