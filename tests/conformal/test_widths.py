"""Widths are the smallest that each method allows; too few scenes are refused."""

import numpy as np
import pytest
from scipy import stats

from uqrestore.conformal.bounds import BOUNDS, BoundName, smallest_count
from uqrestore.conformal.widths import (
    WIDTHS,
    conformal_risk_control,
    control_risk,
    coverage_distribution,
    coverage_range,
    learn_then_test,
    split_conformal,
)


def losses(scenes: int, seed: int = 0, *, pixels: int = 400) -> np.ndarray:
    """Share of pixels with a Gaussian error beyond each width, in scenes of unequal difficulty."""
    g = np.random.default_rng(seed)
    error = np.abs(g.standard_normal((scenes, pixels))) * np.exp(
        0.3 * g.standard_normal((scenes, 1))
    )
    return np.stack([(error > width).mean(1) for width in WIDTHS], axis=1)


@pytest.mark.parametrize(
    ("scenes", "alpha", "rank"), [(9, 0.1, 9), (19, 0.1, 18), (20, 0.1, 19), (99, 0.05, 95)]
)
def test_split_conformal_takes_the_right_order_statistic(
    scenes: int, alpha: float, rank: int
) -> None:
    scores = np.random.default_rng(0).permutation(np.arange(1.0, scenes + 1))
    assert split_conformal(scores, alpha) == rank


def test_split_conformal_reproduces_the_beta_distribution() -> None:
    g = np.random.default_rng(0)
    # Uniform scores: the coverage of a threshold is the threshold.
    found = [split_conformal(g.random(50), 0.1) for _ in range(2000)]
    assert stats.kstest(found, "beta", coverage_distribution(50, 0.1)).pvalue > 0.01


@pytest.mark.parametrize(
    ("scenes", "low", "high"),
    [
        (20, 0.784, 0.982),
        (50, 0.826, 0.960),
        (100, 0.848, 0.945),
        (200, 0.864, 0.933),
        (500, 0.877, 0.921),
        (1000, 0.884, 0.915),
    ],
)
def test_the_printed_range_is_that_of_the_beta_distribution(
    scenes: int, low: float, high: float
) -> None:
    assert coverage_range(scenes, 0.1) == pytest.approx((low, high), abs=6e-4)


def test_risk_control_takes_the_smallest_width_that_pays_for_the_new_scene() -> None:
    table = losses(60)
    width = conformal_risk_control(table, WIDTHS, 0.1)
    at = int(np.flatnonzero(width == WIDTHS)[0])

    assert (table[:, at].sum() + 1) / 61 <= 0.1 < (table[:, at - 1].sum() + 1) / 61


@pytest.mark.parametrize("bound", BOUNDS)
def test_rcps_takes_the_smallest_width_whose_bound_holds(bound: BoundName) -> None:
    table = losses(60)
    width = control_risk(table, WIDTHS, 0.1, 0.1, bound=bound)
    at = int(np.flatnonzero(width == WIDTHS)[0])

    assert all(BOUNDS[bound](table[:, k], 0.1) < 0.1 for k in range(at, at + 40))
    assert BOUNDS[bound](table[:, at - 1], 0.1) >= 0.1
    assert width > conformal_risk_control(table, WIDTHS, 0.1), "confidence costs width"


def test_settings_need_no_order_to_be_tested_together() -> None:
    g = np.random.default_rng(0)
    risk = np.array([0.3, 0.01, 0.2, 0.02, 0.12])
    table = (g.random((300, 5)) < risk).astype(float)

    assert sorted(learn_then_test(table, 0.1, 0.1)) == [1, 3]
    assert learn_then_test(table, 0.1, 0.1, order=[3, 1, 4, 0, 2]) == [3, 1]
    assert learn_then_test(table, 0.1, 0.1, order=[0, 1, 3]) == []


def test_holm_certifies_more_than_bonferroni_would() -> None:
    # Nineteen safe settings make room for the one that needs the whole delta.
    table = np.zeros((60, 20))
    table[:2, 19] = 1
    assert len(learn_then_test(table, 0.15, 0.1)) == 20


def test_one_lucky_setting_of_many_is_not_certified() -> None:
    table = np.ones((60, 10))
    table[:, 3] = np.arange(60) < 2
    assert learn_then_test(table[:, 3:4], 0.15, 0.1) == [0]
    assert learn_then_test(table, 0.15, 0.1) == []


def test_too_few_scenes_are_refused_with_the_number_it_takes() -> None:
    with pytest.raises(ValueError, match=r"8 calibration units .*90 %: it takes at least 9\."):
        split_conformal(np.arange(8.0), 0.1)
    assert split_conformal(np.arange(9.0), 0.1) == 8
    with pytest.raises(ValueError, match="it takes at least 9 without any loss"):
        conformal_risk_control(np.zeros((8, 1000)), WIDTHS, 0.1)
    assert conformal_risk_control(np.zeros((9, 1000)), WIDTHS, 0.1) == WIDTHS[0]
    for bound in BOUNDS:
        needed = smallest_count(0.1, 0.1, bound)
        with pytest.raises(ValueError, match=f"takes at least {needed}"):
            control_risk(np.zeros((needed - 1, 1000)), WIDTHS, 0.1, 0.1, bound=bound)
        assert control_risk(np.zeros((needed, 1000)), WIDTHS, 0.1, 0.1, bound=bound) == WIDTHS[0]
    with pytest.raises(ValueError, match=f"at least {smallest_count(0.1, 0.01, 'hb')}"):
        learn_then_test(np.zeros((30, 10)), 0.1, 0.1)


def test_a_loss_that_no_width_cures_is_not_certified() -> None:
    table = np.full((60, 1000), 0.5)
    for choose in (conformal_risk_control, lambda t, w, alpha: control_risk(t, w, alpha, 0.1)):
        with pytest.raises(ValueError, match="even at width 1000 the mean loss"):
            choose(table, WIDTHS, 0.1)


def test_a_loss_that_grows_with_the_width_is_sent_elsewhere() -> None:
    table = np.zeros((60, 1000))
    table[3, 700] = 0.2
    with pytest.raises(ValueError, match="use learn_then_test"):
        conformal_risk_control(table, WIDTHS, 0.1)


@pytest.mark.parametrize("level", [0.0, 1.0, 10.0])
def test_levels_are_probabilities(level: float) -> None:
    table = np.zeros((60, 1000))
    with pytest.raises(ValueError, match="alpha is a probability"):
        split_conformal(np.arange(9.0), level)
    with pytest.raises(ValueError, match="alpha is a probability"):
        conformal_risk_control(table, WIDTHS, level)
    with pytest.raises(ValueError, match="delta is a probability"):
        control_risk(table, WIDTHS, 0.1, level)
    with pytest.raises(ValueError, match="delta is a probability"):
        learn_then_test(table, 0.1, level)
    with pytest.raises(ValueError, match="increasing widths"):
        conformal_risk_control(table, WIDTHS[::-1].copy(), 0.1)
