"""The rank test is exact: at any number of scenes and draws, with ties, in the tails."""

import itertools

import numpy as np
import pytest

from tests.diagnostics.worlds import LOG
from uqrestore.diagnostics.ranks import (
    RankTest,
    holm,
    rank_test,
    uniformity_band,
    uniformity_p_value,
)

LEVEL = 0.05


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def size(scenes: int, draws: int, runs: int) -> float:
    """Share of right samplers that are rejected."""
    g = rng(draws)
    p_values = []
    for _ in range(runs):
        values = g.standard_normal((draws + 1, scenes))
        p_values.append(rank_test(values, g).p_value)
    return float(np.mean(np.array(p_values) < LEVEL))


@pytest.mark.parametrize(("scenes", "draws"), [(5, 3), (3, 6)])
def test_p_values_are_those_of_every_possible_outcome(scenes: int, draws: int) -> None:
    outcomes = np.array(list(itertools.product(range(draws + 1), repeat=scenes)))
    p_values = np.array([uniformity_p_value(ranks, draws) for ranks in outcomes])

    # P(p <= t) == t at every value that p takes.
    for p in np.unique(p_values.round(12)):
        assert np.mean(p_values <= p + 1e-9) == pytest.approx(p, abs=1e-9)


def test_the_smallest_p_value_is_the_chance_of_the_most_extreme_ranks() -> None:
    # All of 40 truths below 99 draws, or all above.
    p_value = uniformity_p_value(np.zeros(40, int), 99)
    assert p_value == pytest.approx(2 * 100.0**-40, rel=1e-9)


@pytest.mark.parametrize("draws", [9, 19])
def test_an_ideal_sampler_is_rejected_as_often_as_stated(draws: int) -> None:
    assert size(60, draws, runs=400) == pytest.approx(LEVEL, abs=0.033)  # 3 standard errors


@pytest.mark.slow
@pytest.mark.parametrize("draws", [9, 19, 99])
@pytest.mark.parametrize("scenes", [20, 100, 400])
def test_the_size_is_right_over_a_thousand_null_runs(scenes: int, draws: int) -> None:
    found = size(scenes, draws, runs=1000)
    LOG.info("size with %d scenes of %d draws: %.3f", scenes, draws, found)
    assert 0.03 <= found <= 0.07


@pytest.mark.parametrize(("scenes", "draws"), [(20, 9), (57, 19)])
def test_the_band_is_the_widest_that_holds_its_level(scenes: int, draws: int) -> None:
    low, high = uniformity_band(scenes, draws, level=0.9)
    g = rng(1)
    inside = 0
    for _ in range(300):
        ranks = g.integers(0, draws + 1, scenes)
        share = np.bincount(ranks, minlength=draws + 1)[:-1].cumsum() / scenes
        held = bool(((low <= share) & (share <= high)).all())
        inside += held
        assert held == (uniformity_p_value(ranks, draws) > 0.1)
    assert 0.85 <= inside / 300 <= 0.97  # discrete, so not exactly its level


def test_ties_are_broken_at_random() -> None:
    test = rank_test(np.zeros((20, 4000)), rng(0))

    assert test.p_value > 0.01
    assert test.histogram().min() > 0


def test_narrow_wide_and_shifted_ranks_are_distinguished() -> None:
    g = rng(3)
    truth = g.standard_normal((1, 300))

    def lean(draws: np.ndarray) -> RankTest:
        return rank_test(np.concatenate([truth, draws]), g)

    draws = g.standard_normal((49, 300))
    narrow, wide, low, high = (lean(draws * 0.5), lean(draws * 2), lean(draws + 1), lean(draws - 1))

    assert narrow.opening > 5 > abs(narrow.shift)
    assert wide.opening < -5 < abs(wide.shift) - 5
    assert low.shift < -5
    assert high.shift > 5
    assert max(test.p_value for test in (narrow, wide, low, high)) < 1e-6
    everywhere_below = lean(draws + 100)
    assert abs(everywhere_below.shift) > abs(everywhere_below.opening)


def test_holm_corrects_the_smallest_most_and_never_reorders() -> None:
    corrected = holm(np.array([0.04, 0.001, 0.03, 0.9]))

    np.testing.assert_allclose(corrected, [0.09, 0.004, 0.09, 0.9])
    np.testing.assert_allclose(holm(np.array([0.6, 0.7])), [1.0, 1.0])


@pytest.mark.parametrize(("ranks", "draws"), [([3], 9), ([0, 1], 1)])
def test_too_few_scenes_or_draws_are_refused(ranks: list[int], draws: int) -> None:
    with pytest.raises(ValueError, match="at least 2 scenes and 2 draws"):
        uniformity_p_value(np.array(ranks), draws)


def test_impossible_ranks_and_levels_are_refused() -> None:
    with pytest.raises(ValueError, match="from 0 to 9 but these go from 3 to 10"):
        uniformity_p_value(np.array([3, 10]), 9)
    with pytest.raises(ValueError, match="between 0 and 1"):
        uniformity_band(20, 9, level=1.0)
    with pytest.raises(ValueError, match="1 values of the statistic are NaN"):
        rank_test(np.array([[0.0, 1.0], [np.nan, 2.0], [1.0, 2.0]]), rng(0))
