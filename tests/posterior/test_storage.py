"""What a file keeps of its draws: fewer bits, fewer draws, the same summaries."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from tests.front import read
from tests.posterior.runs import images, plan, two_channels, write_rest
from uqrestore.posterior import (
    PosteriorError,
    PosteriorPlan,
    PosteriorWriter,
    Storage,
    inspect,
    validate,
)
from uqrestore.posterior.components import components_from_gram
from uqrestore.posterior.storage import bit_round


def finished(folder: Path, of: PosteriorPlan, storage: Storage) -> Path:
    path = folder / f"{storage.keep}-{storage.keepbits}-{of.channels}.h5"
    with PosteriorWriter(path, of) as writer:
        write_rest(writer)
        return writer.finish(writer.summarise(components=2), storage=storage)


@given(st.floats(width=32, min_value=-(2.0**99), max_value=2.0**99), st.integers(3, 23))
def test_rounding_is_to_the_nearest_number_of_so_many_bits(value: float, bits: int) -> None:
    rounded = float(bit_round(np.asarray([value], np.float32), bits)[0])

    assert abs(rounded - value) <= abs(value) * 2.0 ** -(bits + 1) + 1e-37
    again = bit_round(np.asarray([rounded], np.float32), bits)
    assert float(again[0]) == rounded


def test_ties_go_to_the_even_neighbour() -> None:
    values = np.asarray([1 + 2**-4, 1 + 3 * 2**-4], np.float32)  # halves of the last of three bits

    np.testing.assert_array_equal(bit_round(values, 3), [1, 1.25])


@pytest.mark.parametrize("channels", [1, 2])
def test_rounded_draws_are_near_and_summaries_exact(channels: int, tmp_path: Path) -> None:
    of = plan(channels=channels) if channels == 1 else two_channels()
    whole, rounded = (finished(tmp_path, of, Storage(keepbits=bits)) for bits in (None, 7))

    assert validate(rounded) == []
    draws, near = read(whole, "posterior/image"), read(rounded, "posterior/image")
    assert 0 < np.abs(near / draws - 1).max() <= 2.0**-8
    with h5py.File(whole) as one, h5py.File(rounded) as other:
        attrs = other["posterior/image"].attrs
        assert attrs["quantization"] == "BitRound"
        assert attrs["_QuantizeBitRoundNumberOfSignificantBits"] == 7
        assert "quantization" not in one["posterior/image"].attrs
    for name in ("mmse", "std", "pc", "pc_std"):
        same = read(whole, f"estimate/{name}"), read(rounded, f"estimate/{name}")
        np.testing.assert_array_equal(*same)


@pytest.mark.parametrize(("keep", "left"), [("thin", 8), ("none", 0)])
def test_summaries_are_of_all_draws_however_few_are_kept(
    keep: str, left: int, tmp_path: Path
) -> None:
    of = plan(draws=12, stats=("residual",))
    whole = finished(tmp_path, of, Storage())
    thin = finished(tmp_path, of, Storage(keep=keep))

    assert validate(thin) == []
    assert inspect(thin).faults == ()
    kept = read(thin, "posterior/draw")
    images_kept = read(thin, "posterior/image")
    assert len(kept) == left == images_kept.shape[1]
    np.testing.assert_array_equal(read(whole, "posterior/image")[:, kept], images_kept)
    for name in ("mmse", "std", "quantile", "pc", "pc_std", "explained"):
        same = read(whole, f"estimate/{name}"), read(thin, f"estimate/{name}")
        np.testing.assert_array_equal(*same)
    draws = images(of, list(range(12)), list(of.slices))[:, :, 0].astype(np.float64)
    np.testing.assert_allclose(read(thin, "moments/mean"), draws.mean(0), rtol=1e-12)
    squares = ((draws - draws.mean(0)) ** 2).sum(0)
    np.testing.assert_allclose(read(thin, "moments/squares"), squares, rtol=1e-9)
    found = components_from_gram(read(thin, "moments/gram")[0], 2)
    spread = read(whole, "estimate/pc_std")[:, 0]
    np.testing.assert_allclose(np.sqrt(found.variance), spread, rtol=1e-4)
    with xr.open_datatree(thin) as tree:
        assert tree["posterior/image"].sizes["draw"] == left


def test_what_cannot_be_kept_is_one_line() -> None:
    with pytest.raises(PosteriorError, match="it can be all, thin or none"):
        Storage(keep="some")
    with pytest.raises(PosteriorError, match="it can be 3 to 23"):
        Storage(keepbits=1)
