"""Summaries against numpy, and the same whatever the size of the bands."""

import numpy as np
import pytest

from uqrestore.posterior import principal_components, summaries
from uqrestore.posterior.summaries import Predicted, summarise

SHAPE = (9, 3, 2, 7, 5)
DRAWS = np.random.default_rng(0).normal(40, 6, SHAPE).astype(np.float32)


def read(position: int, rows: slice) -> np.ndarray:
    return DRAWS[:, position, :, rows]


def test_summaries_are_numpys() -> None:
    result = summarise(read, SHAPE, components=2, levels=(0.1, 0.5, 0.72))
    np.testing.assert_allclose(result.mmse, DRAWS.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(result.std, DRAWS.std(axis=0, ddof=1), rtol=1e-5)
    # 9 draws have levels 0.1 to 0.9: order statistics, at which a truth falls below exactly.
    np.testing.assert_allclose(result.levels, (0.1, 0.5, 0.7))
    np.testing.assert_array_equal(result.quantiles, np.sort(DRAWS, axis=0)[[0, 4, 6]])
    assert result.mmse_source == "mean of draws"
    for k in range(3):
        wanted = principal_components(DRAWS[:, k].astype(np.float64), 2)
        np.testing.assert_allclose(result.pc_std[:, k], wanted.std, rtol=1e-5)
        inner = (result.pc[:, k] * wanted.directions).sum(axis=(1, 2, 3))
        np.testing.assert_allclose(np.abs(inner), 1, rtol=1e-5)


def test_bands_of_rows_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = summarise(read, SHAPE, components=2, levels=(0.5,))
    monkeypatch.setattr(summaries, "BAND_BYTES", 9 * 2 * 5 * 8 * 2)
    banded = summarise(read, SHAPE, components=2, levels=(0.5,))
    for name in ("mmse", "std", "quantiles", "pc", "pc_std", "explained"):
        np.testing.assert_allclose(getattr(banded, name), getattr(whole, name), atol=1e-5)


def test_the_explained_shares_are_of_all_slices() -> None:
    result = summarise(read, SHAPE, components=2, levels=())
    variance = DRAWS.var(axis=0, ddof=1).sum()
    np.testing.assert_allclose(
        result.explained, (result.pc_std**2).sum(axis=1) / variance, rtol=1e-5
    )


def predicted(components: int) -> Predicted:
    rng = np.random.default_rng(1)
    pc = rng.normal(size=(components, *SHAPE[1:])).astype(np.float32)
    pc /= np.sqrt((pc**2).sum(axis=(2, 3, 4), keepdims=True))
    std = rng.uniform(1, 2, (components, SHAPE[1])).astype(np.float32)
    return Predicted(np.full(SHAPE[1:], 38, np.float32), pc, std)


def test_a_mean_from_the_network_is_kept_and_named_and_the_draws_say_how_far_off_it_is() -> None:
    result = summarise(read, SHAPE, components=2, levels=(), predicted=predicted(0))
    assert (result.mmse_source, result.pc_source) == ("network", "draws-crossfit")
    np.testing.assert_array_equal(result.mmse, 38)
    assert result.mean_gap is not None
    np.testing.assert_allclose(result.mean_gap, DRAWS.mean(axis=0) - 38, atol=1e-4)
    np.testing.assert_allclose(result.mean, DRAWS.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(result.std, DRAWS.std(axis=0, ddof=1), rtol=1e-5)
    assert len(result.pc) == 2


def test_components_from_the_network_are_weighed_by_the_draws(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given_moments = predicted(2)
    monkeypatch.setattr(summaries, "BAND_BYTES", 9 * 2 * 5 * 8 * 2)
    result = summarise(read, SHAPE, components=5, levels=(), predicted=given_moments)
    assert result.pc_source == "nppc"
    np.testing.assert_array_equal(result.pc_std, given_moments.pc_std)
    np.testing.assert_allclose(np.abs((result.pc * given_moments.pc).sum((2, 3, 4))), 1, rtol=1e-5)
    scores = np.einsum("dscij,kscij->dks", DRAWS - DRAWS.mean(axis=0), given_moments.pc)
    share = scores.var(axis=0, ddof=1).sum(1) / DRAWS.var(axis=0, ddof=1).sum()
    np.testing.assert_allclose(result.explained, share, rtol=1e-4)


@pytest.mark.parametrize(("draws", "components"), [(1, 0), (2, 0), (3, 1), (9, 3)])
def test_few_draws_give_fewer_components(draws: int, components: int) -> None:
    result = summarise(
        lambda k, rows: DRAWS[:draws, k, :, rows], (draws, *SHAPE[1:]), components=3, levels=()
    )
    assert len(result.pc) == components
    assert np.isnan(result.std).all() == (draws == 1)


def test_volume_components_are_those_of_the_whole_volume_cut_into_slices() -> None:
    rng = np.random.default_rng(3)
    wave = rng.normal(size=SHAPE[1:])  # one motion of all slices, against each other in places
    draws = DRAWS + (20 * rng.normal(size=SHAPE[0]))[:, None, None, None, None] * wave

    def coherent(position: int, rows: slice) -> np.ndarray:
        return draws[:, position, :, rows]

    result = summarise(coherent, SHAPE, components=2, levels=(), scope="volume")

    wanted = principal_components(draws.astype(np.float64), 2)
    parts = result.pc * result.pc_std[:, :, None, None, None]
    np.testing.assert_allclose(np.sqrt((parts**2).sum((1, 2, 3, 4))), wanted.std, rtol=1e-4)
    inner = (parts * wanted.directions).sum((1, 2, 3, 4)) / wanted.std
    np.testing.assert_allclose(np.abs(inner), 1, rtol=1e-4)
    np.testing.assert_allclose(result.explained, wanted.explained, rtol=1e-4)
    np.testing.assert_allclose((result.pc**2).sum((2, 3, 4)), 1, rtol=1e-4)
    assert result.pc_scope == "volume"
    # What moves one slice up moves another down where the wave says so: signs are kept.
    together = [np.sign((result.pc[0, k] * wave[k]).sum()) for k in range(3)]
    assert len(set(together)) == 1
