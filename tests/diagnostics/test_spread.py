"""Spread against error: right samplers give 1, 3 dB, and reach their ceilings."""

import dataclasses

import numpy as np
import pytest

from tests.diagnostics.worlds import stretched, world
from uqrestore.diagnostics.scenes import Scenes
from uqrestore.diagnostics.spread import (
    ThreeDecibels,
    error_uncertainty,
    spread_skill,
    three_decibels,
)


def varied(
    scenes: int, draws: int, *, log_std: float, stretch: float = 1.0, seed: int = 0
) -> Scenes:
    """Independent Gaussian pixels of different known std."""
    g = np.random.default_rng(seed)
    std = np.exp(log_std * g.standard_normal((scenes, 1, 5, 6)))
    truth = std * g.standard_normal(std.shape)
    return Scenes(truth, stretch * std * g.standard_normal((draws, *std.shape)))


@pytest.mark.parametrize("draws", [2, 5, 50])
def test_the_fair_ratio_is_one_at_any_number_of_draws(draws: int) -> None:
    scenes = varied(900, draws, log_std=0.3)
    ratio = spread_skill(scenes).ratio

    assert ratio.value == pytest.approx(1, abs=0.03)
    assert ratio.high - ratio.low < 0.06


def test_the_ratio_is_the_stretch() -> None:
    assert spread_skill(varied(600, 30, log_std=0.3, stretch=0.7)).ratio.value == pytest.approx(
        0.7, abs=0.03
    )


def test_bins_of_right_draws_lie_on_the_diagonal_as_far_as_few_draws_allow() -> None:
    many = spread_skill(varied(600, 150, log_std=0.5))
    assert many.reliability.slope == pytest.approx(1, abs=0.06)
    assert many.reliability.error < 0.06

    few = spread_skill(varied(600, 10, log_std=0.5))
    assert few.perfect is not None
    assert few.reliability.slope < 0.9
    assert few.reliability.slope == pytest.approx(few.perfect.slope, abs=0.06)
    assert few.reliability.error == pytest.approx(few.perfect.error, abs=0.05)


def test_bins_see_what_the_ratio_does_not() -> None:
    scenes = varied(600, 100, log_std=0.5)
    # Too wide where the std is large and too narrow where it is small: right on average.
    std = np.sqrt(scenes.variance)
    power = np.where(std > np.quantile(std, 0.9), 1.15, 1.0) * std**0.5
    wrong = scenes.draws / std * power * (std.mean() / power.mean())
    wrong *= np.sqrt(scenes.variance.mean() / wrong.var(0).mean())
    skill = spread_skill(dataclasses.replace(scenes, draws=wrong))

    assert skill.ratio.value == pytest.approx(1, abs=0.03)
    assert skill.reliability.error > 0.15
    assert skill.perfect is not None
    assert skill.reliability.error > 3 * skill.perfect.error


@pytest.mark.parametrize(("log_std", "ceiling"), [(0.3, 0.302), (0.6, 0.515), (1.0, 0.694)])
def test_the_exact_posterior_has_a_ceiling_below_one(log_std: float, ceiling: float) -> None:
    g = np.random.default_rng(0)
    std = np.exp(log_std * g.standard_normal((20, 1, 40, 40)))
    truth = std * g.standard_normal(std.shape)
    found = error_uncertainty(Scenes(truth, std * g.standard_normal((150, *std.shape))))

    assert found.spearman.ceiling == pytest.approx(ceiling, abs=0.02)
    assert found.spearman.share == pytest.approx(1, abs=0.05)
    assert found.ause.share == pytest.approx(1, abs=0.05)
    assert found.aurg.share == pytest.approx(1, abs=0.07)
    assert found.ause.value > 0.1


def test_a_std_map_of_the_wrong_place_falls_short_of_its_ceiling() -> None:
    scenes = varied(60, 60, log_std=0.8)
    wrong = dataclasses.replace(scenes, draws=scenes.draws[..., ::-1])
    found = error_uncertainty(wrong)
    assert found.spearman.share < 0.3
    assert found.aurg.share < 0.3
    assert found.ause.share > 1.3


def standard_errors(found: ThreeDecibels, count: int) -> float:
    return count * (found.gap.high - found.gap.low) / 3.92


@pytest.mark.parametrize("draws", [2, 10])
def test_a_draw_is_three_decibels_worse_than_the_mean(draws: int) -> None:
    w = world(1500, seed=1)
    scenes = w.scenes(w.exact(draws, seed=3))
    mean = w.posterior.mean.numpy()

    against_mmse = three_decibels(scenes, mmse=mean)
    assert against_mmse.expected == pytest.approx(3.0103, abs=1e-4)
    assert against_mmse.gap.value == pytest.approx(3.0103, abs=standard_errors(against_mmse, 3))
    own = three_decibels(scenes)
    assert own.expected == pytest.approx(10 * np.log10(2 / (1 + 1 / draws)))
    assert own.gap.value == pytest.approx(own.expected, abs=standard_errors(own, 3))
    assert own.spread_over_error == pytest.approx(1, abs=0.15)


def test_the_gap_tells_how_much_too_narrow_the_draws_are() -> None:
    w = world(1500, seed=1)
    draws = stretched(0.8)(w, w.exact(20))
    scenes = w.scenes(draws)

    for found in (three_decibels(scenes), three_decibels(scenes, mmse=w.posterior.mean.numpy())):
        assert found.gap.high < found.expected
        assert found.spread_over_error == pytest.approx(0.64, abs=0.08)


def test_what_cannot_be_compared_is_refused() -> None:
    scenes = varied(5, 2, log_std=0.1)
    with pytest.raises(ValueError, match="at least 3 draws"):
        error_uncertainty(scenes)
    with pytest.raises(ValueError, match="one image per scene"):
        three_decibels(scenes, mmse=scenes.truth[:3])
    assert spread_skill(scenes).perfect is None
