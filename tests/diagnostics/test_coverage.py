"""Coverage of right and wrong samplers, and the band in which a right one stays."""

import dataclasses

import numpy as np
import pytest

from tests.diagnostics.worlds import stretched, world
from uqrestore.diagnostics.coverage import (
    coverage_by,
    deciles,
    measure_coverage,
    std_decile,
)
from uqrestore.diagnostics.scenes import Scenes
from uqrestore.posterior.intervals import central_interval


def gaussian(
    scenes: int,
    draws: int,
    *,
    stretch: float = 1.0,
    seed: int = 0,
    shape: tuple[int, ...] = (1, 3, 5),
) -> Scenes:
    """Independent pixels whose posterior is a unit normal."""
    g = np.random.default_rng(seed)
    return Scenes(
        g.standard_normal((scenes, *shape)), stretch * g.standard_normal((draws, scenes, *shape))
    )


@pytest.mark.parametrize("draws", [5, 19, 20, 60])
def test_an_ideal_sampler_covers_what_is_expected_of_its_draws(draws: int) -> None:
    rows = measure_coverage(gaussian(900, draws), (0.5, 0.9))

    for row in rows:
        # 13 500 independent pixels: a standard error of 0.004.
        assert row.coverage.value == pytest.approx(row.level, abs=0.013)


def test_few_draws_cannot_reach_a_high_level_and_say_so() -> None:
    (row,) = measure_coverage(gaussian(5, 19), (0.9, 0.95, 0.99))
    assert row.level == pytest.approx(0.9), "one interval, one row: no level is claimed twice"
    assert measure_coverage(gaussian(5, 199), (0.99,))[0].level == pytest.approx(0.99)


def test_narrow_draws_cover_too_little_and_score_worse() -> None:
    right = measure_coverage(gaussian(400, 59), (0.9,))[0]
    narrow = measure_coverage(gaussian(400, 59, stretch=0.8), (0.9,))[0]

    assert narrow.coverage.value < 0.84
    assert not narrow.consistent
    assert narrow.width == pytest.approx(0.8 * right.width, rel=0.02)
    assert narrow.interval_score > right.interval_score


def test_interval_ends_are_the_order_statistics_of_the_level() -> None:
    scenes = gaussian(4, 19)
    ordered = np.sort(scenes.draws, axis=0)
    low, high = central_interval(19, 0.8).of(scenes.draws)  # ranks 2 and 18: 16 of the 20 gaps
    np.testing.assert_allclose(low, ordered[1])
    np.testing.assert_allclose(high, ordered[17])


def test_the_interval_score_is_width_and_penalty() -> None:
    scenes = gaussian(50, 39)
    low, high = central_interval(39, 0.8).of(scenes.draws)
    x = scenes.truth
    outside = np.maximum(low - x, 0) + np.maximum(x - high, 0)
    row = measure_coverage(scenes, (0.8,))[0]
    assert row.interval_score == pytest.approx(np.mean(high - low + outside / 0.1))


def test_the_band_is_where_studies_of_an_ideal_sampler_fall() -> None:
    inside = [
        measure_coverage(gaussian(60, 29, seed=seed, shape=(1, 2, 2)), (0.8,))[0].consistent
        for seed in range(60)
    ]
    assert np.mean(inside) == pytest.approx(0.95, abs=0.09)


def test_the_mask_says_where_to_look() -> None:
    scenes = gaussian(40, 19)
    mask = np.zeros((1, 3, 5), bool)
    mask[0, 1] = True
    scenes.truth[:, ~mask] = 100.0

    assert measure_coverage(scenes, (0.9,), mask=mask)[0].coverage.value > 0.8
    assert measure_coverage(scenes, (0.9,))[0].coverage.value < 0.4


def test_a_badly_served_group_is_seen() -> None:
    scenes = gaussian(300, 39)
    site = np.repeat(["A", "B", "C"], 100)
    scenes.draws[:, site == "C"] *= 0.5
    rows = coverage_by(scenes, site)

    assert set(rows) == {"A", "B", "C"}
    assert rows["A"].coverage.value == pytest.approx(0.9, abs=0.03)
    assert rows["C"].coverage.high < 0.7
    assert rows["C"].expected == pytest.approx(0.9, abs=0.03)


def test_strata_of_the_draws_own_std_are_judged_by_an_ideal_sampler() -> None:
    # The pixels of smallest std among 9 draws are those whose std came out small by chance.
    rows = coverage_by(gaussian(500, 9), std_decile, level=0.6)

    assert rows["0"].expected < 0.55
    for row in rows.values():
        assert row.coverage.value == pytest.approx(row.expected, abs=0.06)


def test_deciles_hold_a_tenth_each() -> None:
    labels = deciles(np.random.default_rng(0).standard_normal((20, 1, 10, 5)))
    np.testing.assert_array_equal(np.bincount(labels.ravel()), 100)


def test_the_mixture_is_covered_and_its_narrow_draws_are_not() -> None:
    w = world(300)
    draws = w.exact(39)
    right = measure_coverage(w.scenes(draws), (0.9,))[0]
    narrow = measure_coverage(w.scenes(stretched(0.8)(w, draws)), (0.9,))[0]

    assert right.coverage.low < 0.9 < right.coverage.high
    assert not narrow.consistent


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0])
def test_a_nominal_level_is_a_probability(level: float) -> None:
    with pytest.raises(ValueError, match="nominal level of an interval"):
        measure_coverage(gaussian(5, 5), (level,))
    with pytest.raises(ValueError, match="nominal level of an interval"):
        coverage_by(gaussian(5, 5), np.arange(5), level=level)


def test_masks_and_strata_that_fit_nothing_are_refused() -> None:
    scenes = gaussian(5, 5)
    with pytest.raises(ValueError, match=r"mask has shape \(3, 5\)"):
        measure_coverage(scenes, mask=np.ones((3, 5), bool))
    empty = np.ones((5, 1, 3, 5), bool)
    empty[2] = False
    with pytest.raises(ValueError, match=r"no pixel in scenes \[2\]"):
        measure_coverage(scenes, mask=empty)
    with pytest.raises(ValueError, match=r"strata have shape \(4,\)"):
        coverage_by(scenes, np.arange(4))


def test_intervals_of_a_few_people_are_wider() -> None:
    scenes = gaussian(200, 19)
    people = np.repeat(np.arange(10), 20)
    scenes.truth[:] = scenes.truth * np.repeat(np.linspace(0.2, 3, 10), 20)[:, None, None, None]
    apart = measure_coverage(scenes, (0.9,))[0].coverage
    together = measure_coverage(dataclasses.replace(scenes, groups=people), (0.9,))[0].coverage
    assert together.high - together.low > 2 * (apart.high - apart.low)


def test_pixels_where_all_agree_are_neither_covered_nor_missed() -> None:
    scenes = gaussian(50, 12)
    scenes.truth[:, :, 0] = -1
    scenes.draws[:, :, :, 0] = -1
    agreed = np.zeros((1, 3, 5), bool)
    agreed[:, 0] = True
    row = measure_coverage(scenes, (0.8,), mask=agreed)[0]
    assert row.coverage.value == pytest.approx(row.level)
