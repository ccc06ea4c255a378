"""The sets of problems with known posteriors: ideal samplers pass on them, guarantees hold."""

import numpy as np
import pytest
import torch

from tests.benchmarks.calibration_sets import (
    SIZES,
    SLICE_SHAPE,
    CalibrationSet,
    gmm_cal,
    gmm_slice_scenes,
)
from tests.diagnostics.slices import population
from uqrestore.conformal.widths import (
    conformal_risk_control,
    control_risk,
    learn_then_test,
    split_conformal,
)
from uqrestore.diagnostics.battery import run_battery
from uqrestore.noise import SampleNoise

WIDTHS = np.geomspace(0.7, 30, 25)
STUDIES, SCENES, ALPHA, DELTA = 30, 40, 0.2, 0.2


def draws(made: CalibrationSet, model: str, count: int = 19) -> torch.Tensor:
    streams = SampleNoise(9, range(count), slices=range(len(made.truth)))
    return (made.posterior if model == "posterior" else made.prior).draw(streams)


@pytest.mark.parametrize("pixels", [16, 64])
def test_right_draws_pass_and_prior_draws_do_not(pixels: int) -> None:
    made = gmm_cal(pixels, 100)
    assert made.truth.shape[1:] == SIZES[pixels]
    assert run_battery(made.scenes(draws(made, "posterior"))).passed
    wrong = run_battery(made.scenes(draws(made, "prior")))
    assert wrong.p_value < 1e-6
    assert "explain the measurement worse" in wrong.verdict


def test_modes_of_the_set_are_confused_now_and_then() -> None:
    for pixels in (16, 64):
        weights = gmm_cal(pixels, 60).posterior.weights
        assert 0.02 < float((1 - weights.amax(0)).mean()) < 0.6


def test_the_same_seed_gives_the_same_scenes_and_another_size_is_refused() -> None:
    first, second = gmm_cal(16, 9), gmm_cal(16, 12)
    torch.testing.assert_close(first.truth, second.truth[:9])
    with pytest.raises(ValueError, match="16, 64, 256 pixels, not 25"):
        gmm_cal(25)


def test_slices_of_the_set_look_like_the_scan_they_were_fitted_to() -> None:
    made = gmm_slice_scenes(8)
    assert made.truth.shape == (8, *SLICE_SHAPE)
    neighbours = made.truth[..., 1:, :] - made.truth[..., :-1, :]
    assert neighbours.std() < 0.7 * made.truth.std()
    assert made.truth.abs().max() < 4


def test_thirty_calibrations_on_slices_keep_every_guarantee() -> None:
    """The study of 500 is ``pytest -m slow tests/conformal/test_guarantee_rates.py``."""
    people = population(400)
    table, scores = people.predictions.misses(WIDTHS), people.predictions.scores()
    risk, g = table.mean(0), np.random.default_rng(0)
    held, mean, broken = [], [], {"wsr": 0, "hb": 0, "ltt": 0}
    for _ in range(STUDIES):
        chosen = g.integers(0, len(table), SCENES)
        held.append(np.mean(scores <= split_conformal(scores[chosen], ALPHA)))
        mean.append(risk[conformal_risk_control(table[chosen], WIDTHS, ALPHA) == WIDTHS][0])
        for bound in ("wsr", "hb"):
            width = control_risk(table[chosen], WIDTHS, ALPHA, DELTA, bound=bound)
            broken[bound] += bool(risk[width == WIDTHS][0] > ALPHA)
        settings = learn_then_test(table[chosen][:, ::3], ALPHA, DELTA)
        broken["ltt"] += bool((risk[::3][settings] > ALPHA).any())
    slack = 2 * np.sqrt(DELTA * (1 - DELTA) / STUDIES)
    assert np.mean(held) >= 1 - ALPHA - 2 * np.std(held) / np.sqrt(STUDIES)
    assert np.mean(mean) <= ALPHA + 2 * np.std(mean) / np.sqrt(STUDIES)
    assert max(broken.values()) / STUDIES <= DELTA + slack, broken
