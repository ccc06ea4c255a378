"""Intervals come from resampling scenes, or people, never pixels."""

import numpy as np
import pytest

from uqrestore.diagnostics.bootstrap import mean_over_scenes, ratio_over_scenes, scene_bootstrap


def test_the_interval_of_a_mean_is_that_of_the_central_limit() -> None:
    values = np.random.default_rng(0).exponential(size=400)
    estimate = mean_over_scenes(values)

    error = 1.96 * values.std() / 20
    assert estimate.value == pytest.approx(values.mean())
    assert estimate.high - estimate.value == pytest.approx(error, rel=0.1)
    assert estimate.value - estimate.low == pytest.approx(error, rel=0.1)


def test_scenes_of_one_person_are_resampled_together() -> None:
    g = np.random.default_rng(0)
    people = np.repeat(np.arange(20), 10)
    values = g.standard_normal(20)[people] + 0.01 * g.standard_normal(200)

    apart, together = mean_over_scenes(values), mean_over_scenes(values, groups=people)
    widening = (together.high - together.low) / (apart.high - apart.low)
    assert widening == pytest.approx(np.sqrt(10), rel=0.15)


def test_intervals_cover_as_often_as_stated() -> None:
    g = np.random.default_rng(1)
    held = 0
    for _ in range(120):
        estimate = ratio_over_scenes(g.exponential(2.0, 60), g.exponential(1.0, 60), level=0.9)
        held += estimate.low <= 2 <= estimate.high
    assert held / 120 == pytest.approx(0.9, abs=0.08)


def test_a_level_beyond_one_is_refused() -> None:
    with pytest.raises(ValueError, match="bootstrap interval is a probability"):
        scene_bootstrap(lambda w: w[:, 0], 5, level=95.0)
