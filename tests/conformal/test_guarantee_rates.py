"""Promises are kept: hundreds of calibrations, each judged by the whole population."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from scipy import stats

from tests.diagnostics.slices import population
from tests.diagnostics.worlds import LOG
from uqrestore.conformal.bounds import BoundName
from uqrestore.conformal.component_box import box_widths
from uqrestore.conformal.widths import (
    WIDTHS,
    conformal_risk_control,
    control_risk,
    coverage_distribution,
    learn_then_test,
    split_conformal,
)

STUDIES, SCENES, ALPHA, DELTA = 500, 100, 0.1, 0.1
GRID = WIDTHS[250:800:5]  # 0.6 to 137 predicted standard deviations


def calibrations(size: int, seed: int) -> Iterator[np.ndarray]:
    """Scenes of each calibration, drawn from the population with replacement."""
    g = np.random.default_rng(seed)
    for _ in range(STUDIES):
        yield g.integers(0, size, SCENES)


def allowed(rate: float) -> float:
    return rate + 2 * np.sqrt(rate * (1 - rate) / STUDIES)


def misses() -> np.ndarray:
    return population().predictions.misses(GRID)


@pytest.mark.slow
@pytest.mark.parametrize("share", [1.0, 0.95])
def test_split_conformal_covers_and_follows_the_beta_distribution(share: float) -> None:
    scores = population().predictions.scores(share=share)
    found = np.array(
        [
            np.mean(scores <= split_conformal(scores[chosen], ALPHA))
            for chosen in calibrations(len(scores), 1)
        ]
    )
    error = found.std() / np.sqrt(STUDIES)
    model = stats.kstest(found, "beta", coverage_distribution(SCENES, ALPHA))
    LOG.info(
        "split conformal, share %g: mean coverage %.4f, Beta distribution p = %.2f, 5 to 95 %%: %s",
        share,
        found.mean(),
        model.pvalue,
        np.quantile(found, [0.05, 0.95]),
    )
    assert found.mean() >= 1 - ALPHA - 2 * error
    assert model.pvalue > 0.01


@pytest.mark.slow
def test_conformal_risk_control_keeps_the_expected_loss() -> None:
    table = misses()
    risk = table.mean(0)
    found = np.array(
        [
            risk[conformal_risk_control(table[chosen], GRID, ALPHA) == GRID][0]
            for chosen in calibrations(len(table), 2)
        ]
    )
    error = found.std() / np.sqrt(STUDIES)
    LOG.info("conformal risk control: mean risk %.4f +- %.4f", found.mean(), error)
    assert 0.8 * ALPHA < found.mean() <= ALPHA + 2 * error


@pytest.mark.slow
@pytest.mark.parametrize("bound", ["wsr", "hb"])
@pytest.mark.parametrize("whole", [False, True])
def test_rcps_breaks_its_guarantee_no_more_often_than_delta(bound: BoundName, whole: bool) -> None:
    # The share of missed pixels; or 1 for a scene that misses more than a tenth of them.
    table = misses()
    if whole:
        table = (table > 0.1).astype(float)
    risk = table.mean(0)
    found = np.array(
        [
            risk[control_risk(table[chosen], GRID, ALPHA, DELTA, bound=bound) == GRID][0]
            for chosen in calibrations(len(table), 3)
        ]
    )
    rate = np.mean(found > ALPHA)
    LOG.info(
        "rcps, %s, %s: violations %.3f, mean risk %.4f",
        bound,
        "whole scenes" if whole else "pixels",
        rate,
        found.mean(),
    )
    assert rate <= allowed(DELTA)


@pytest.mark.slow
@pytest.mark.parametrize("ordered", [True, False])
def test_learn_then_test_breaks_its_guarantee_no_more_often_than_delta(ordered: bool) -> None:
    # Settings: widths in disorder, each with a part of the pixels that it never covers.
    table = misses()[:, 12:72:3]
    g = np.random.default_rng(0)
    table = np.minimum(table + 0.03 * g.random(table.shape[1]), 1)
    risk = table.mean(0)
    order = np.argsort(risk).tolist() if ordered else None
    assert 5 <= np.sum(risk > ALPHA) <= 15
    assert not (np.diff(risk) < 0).all()
    broken, count = 0, 0
    for chosen in calibrations(len(table), 4):
        settings = learn_then_test(table[chosen], ALPHA, DELTA, order=order)
        broken += bool((risk[settings] > ALPHA).any())
        count += len(settings)
    LOG.info(
        "learn then test, %s: violations %.3f, %.1f of %d safe settings certified",
        "fixed sequence" if ordered else "Holm",
        broken / STUDIES,
        count / STUDIES,
        np.sum(risk <= ALPHA),
    )
    assert broken / STUDIES <= allowed(DELTA)
    assert count > STUDIES


@pytest.mark.slow
def test_the_component_box_covers_all_components_and_the_residual_at_once() -> None:
    components = population().components
    largest, outside = np.abs(components.z).max(1), components.outside
    found = []
    for chosen in calibrations(len(components), 5):
        along, rest = box_widths(largest[chosen], outside[chosen], ALPHA)
        found.append(np.mean((largest <= along) & (outside <= rest)))
    error = np.std(found) / np.sqrt(STUDIES)
    LOG.info("component box: mean simultaneous coverage %.4f +- %.4f", np.mean(found), error)
    assert np.mean(found) >= 1 - ALPHA - 2 * error


@pytest.mark.slow
def test_without_calibration_the_guarantees_would_be_broken() -> None:
    p = population().predictions
    naive = p.misses(np.array([stats.norm.ppf(1 - ALPHA / 2)])).mean()
    inside = np.mean(p.scores() <= stats.norm.ppf(1 - ALPHA / 2))
    LOG.info("uncalibrated: %.3f of pixels missed, %.3f of scenes covered", naive, inside)
    assert naive > 2 * ALPHA
    assert inside < 0.05


@pytest.mark.parametrize(
    "choose",
    [
        lambda table: control_risk(table, GRID[:70:2], 0.2, 0.2),
        lambda table: control_risk(table, GRID[:70:2], 0.2, 0.2, bound="hb"),
    ],
)
def test_a_few_calibrations_of_gaussian_errors_keep_their_guarantee(
    choose: Callable[[np.ndarray], float],
) -> None:
    g = np.random.default_rng(0)
    error = np.abs(g.standard_normal((1500, 60))) * np.exp(0.5 * g.standard_normal((1500, 1)))
    table = np.stack([(error > width).mean(1) for width in GRID[:70:2]], axis=1)
    risk = table.mean(0)
    found = [risk[choose(table[g.integers(0, 1500, 40)]) == GRID[:70:2]][0] for _ in range(60)]
    assert np.mean(np.array(found) > 0.2) <= 0.2 + 2 * np.sqrt(0.16 / 60)
