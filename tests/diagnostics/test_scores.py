"""Scores equal those of scoringrules, ignore the number of draws, prefer the truth."""

import dataclasses

import numpy as np
import pytest

from tests.diagnostics.worlds import marginals_only, stretched, world
from uqrestore.diagnostics.scores import (
    fair_crps,
    fair_energy,
    patch_energy,
    score_table,
    variogram,
)


def pair(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    g = np.random.default_rng(seed)
    return g.standard_normal((4, 1, 3, 5)), g.standard_normal((7, 4, 1, 3, 5))


def test_crps_is_that_of_scoringrules() -> None:
    import scoringrules

    x, draws = pair()
    wanted = np.asarray(scoringrules.crps_ensemble(x, draws, m_axis=0, estimator="fair"))
    np.testing.assert_allclose(fair_crps(x, draws), wanted)


def test_threshold_weighted_crps_is_that_of_scoringrules() -> None:
    import scoringrules

    x, draws = pair()
    options = {"a": -0.4, "b": 0.9, "m_axis": 0, "estimator": "fair"}
    wanted = np.asarray(scoringrules.twcrps_ensemble(x, draws, **options))
    np.testing.assert_allclose(fair_crps(x, draws, above=-0.4, below=0.9), wanted)


def test_the_energy_score_is_that_of_scoringrules() -> None:
    import scoringrules

    x, draws = pair()
    rows = draws.reshape(7, 4, 15).swapaxes(0, 1)
    wanted = np.asarray(scoringrules.es_ensemble(x.reshape(4, 15), rows, estimator="fair"))
    np.testing.assert_allclose(fair_energy(x, draws), wanted)


@pytest.mark.parametrize("p", [0.5, 1.0])
def test_the_variogram_score_is_that_of_scoringrules(p: float) -> None:
    import scoringrules

    x, draws = pair()
    rows = draws.reshape(7, 4, 15).swapaxes(0, 1)
    wanted = np.asarray(scoringrules.vs_ensemble(x.reshape(4, 15), rows, p=p, estimator="nrg"))
    np.testing.assert_allclose(variogram(x, draws, p=p), wanted)


def test_the_interval_score_of_coverage_is_that_of_scoringrules() -> None:
    import scoringrules

    from uqrestore.diagnostics.coverage import measure_coverage
    from uqrestore.diagnostics.scenes import Scenes
    from uqrestore.posterior.intervals import central_interval

    x, draws = pair()
    scenes = Scenes(x, draws)
    interval = central_interval(len(draws), 0.7)
    low, high = interval.of(draws)
    wanted = np.asarray(scoringrules.interval_score(x, low, high, 1 - interval.level))
    got = measure_coverage(scenes, (0.7,))[0].interval_score
    assert got == pytest.approx(wanted.mean())


def test_near_pairs_are_those_of_the_whole_variogram() -> None:
    x, draws = pair()
    whole = variogram(x, draws)
    np.testing.assert_allclose(variogram(x, draws, reach=4), whole)

    # Reach 1 on one row: the four neighbours of five pixels, both ways.
    line, rows = x[:, :, :1], draws[:, :, :, :1]
    steps = np.abs(np.diff(line)) ** 0.5 - (np.abs(np.diff(rows)) ** 0.5).mean(0)
    np.testing.assert_allclose(variogram(line, rows, reach=1), 2 * np.square(steps).sum((1, 2, 3)))


@pytest.mark.parametrize("draws", [2, 4, 16])
def test_fair_scores_do_not_depend_on_the_number_of_draws(draws: int) -> None:
    g = np.random.default_rng(draws)
    x, cloud = g.standard_normal((60000, 1)), g.standard_normal((draws, 60000, 1))

    exact = 1 / np.sqrt(np.pi)  # of a standard normal, E|X - X'| / 2
    assert fair_crps(x, cloud).mean() == pytest.approx(exact, abs=0.006)
    assert fair_energy(x, cloud).mean() == pytest.approx(exact, abs=0.006)


def test_patches_tile_the_image() -> None:
    g = np.random.default_rng(0)
    x, draws = g.standard_normal((2, 1, 5, 7)), g.standard_normal((4, 2, 1, 5, 7))
    corners = [(0, 0), (0, 2), (0, 4), (2, 0), (2, 2), (2, 4)]
    wanted = [
        fair_energy(x[..., r : r + 2, c : c + 2], draws[..., r : r + 2, c : c + 2])
        for r, c in corners
    ]
    np.testing.assert_allclose(patch_energy(2)(x, draws), np.mean(wanted, axis=0))


def test_an_ideal_sampler_reaches_the_floor_and_beats_what_is_trivial() -> None:
    w = world(500)
    draws = w.exact(30)
    right = {row.name: row for row in score_table(w.scenes(draws))}
    narrow = {row.name: row for row in score_table(w.scenes(stretched(0.6)(w, draws)))}

    assert set(right) == {"crps", "energy", "variogram", "energy of 3 x 3 patches"}
    for name, row in right.items():
        assert row.value.low < row.floor < row.value.high
        assert row.value.value < min(row.constant, row.independent)
        assert narrow[name].value.value > row.value.value


def test_only_scores_of_many_pixels_see_lost_correlation() -> None:
    w = world(400)
    draws = w.exact(30)
    right = {row.name: row.value.value for row in score_table(w.scenes(draws))}
    wrong = {row.name: row.value.value for row in score_table(w.scenes(marginals_only(w, draws)))}

    assert wrong["crps"] == pytest.approx(right["crps"])
    assert wrong["variogram"] > 1.02 * right["variogram"]


def test_what_cannot_be_scored_is_refused() -> None:
    x, draws = pair()
    with pytest.raises(ValueError, match="patches of 4 pixels"):
        patch_energy(4)(x, draws)
    w = world(5)
    scenes = w.scenes(w.exact(3))
    few = dataclasses.replace(scenes, draws=scenes.draws[:2])
    with pytest.raises(ValueError, match="at least 3 draws"):
        score_table(few)
