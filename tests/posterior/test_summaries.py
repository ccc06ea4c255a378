"""Summaries against numpy, and the same whatever the size of the bands."""

import numpy as np
import pytest

from uqrestore.posterior import principal_components, summaries
from uqrestore.posterior.summaries import summarise

SHAPE = (9, 3, 2, 7, 5)
DRAWS = np.random.default_rng(0).normal(40, 6, SHAPE).astype(np.float32)


def read(position: int, rows: slice) -> np.ndarray:
    return DRAWS[:, position, :, rows]


def test_summaries_are_numpys() -> None:
    result = summarise(read, SHAPE, components=2, levels=(0.1, 0.5))
    np.testing.assert_allclose(result.mmse, DRAWS.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(result.std, DRAWS.std(axis=0, ddof=1), rtol=1e-5)
    np.testing.assert_allclose(result.quantiles, np.quantile(DRAWS, (0.1, 0.5), axis=0), rtol=1e-5)
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


def test_a_mean_from_the_network_is_kept_and_named() -> None:
    mmse = np.zeros(SHAPE[1:], np.float32)
    result = summarise(read, SHAPE, components=0, levels=(), mmse=mmse)
    assert result.mmse_source == "network"
    np.testing.assert_array_equal(result.mmse, mmse)
    np.testing.assert_allclose(result.std, DRAWS.std(axis=0, ddof=1), rtol=1e-5)


@pytest.mark.parametrize(("draws", "components"), [(1, 0), (2, 0), (3, 1), (9, 3)])
def test_few_draws_give_fewer_components(draws: int, components: int) -> None:
    result = summarise(
        lambda k, rows: DRAWS[:draws, k, :, rows], (draws, *SHAPE[1:]), components=3, levels=()
    )
    assert len(result.pc) == components
    assert np.isnan(result.std).all() == (draws == 1)
