"""The writer: whatever the order, the blocks and the interruptions, the same file."""

import dataclasses
import tempfile
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.posterior.runs import (
    assert_same,
    conclude,
    finished,
    images,
    load,
    numbers,
    plan,
    write_rest,
)
from uqrestore.posterior import (
    Interval,
    PosteriorBusyError,
    PosteriorError,
    PosteriorWriter,
    Predicted,
    open_posterior,
    validate,
)

SETTINGS = {"max_examples": 6, "deadline": None, "derandomize": True}


@settings(**SETTINGS)
@given(data=st.data(), channels=st.sampled_from([1, 2]))
def test_any_order_and_any_interruption_give_the_same_file(
    data: st.DataObject, channels: int
) -> None:
    of = plan(
        channels=channels,
        y=(("z", "kx"), np.ones((3, 4), np.float32)),
        stats=("residual", "data_fit"),
    )
    slabs = [(draw, index) for draw in range(of.draws) for index in of.slices]
    order = data.draw(st.permutations(slabs))
    stops = set(data.draw(st.lists(st.integers(0, len(slabs) - 1), max_size=3)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "b.h5"
        writer = PosteriorWriter(path, of)
        for count, (draw, index) in enumerate(order):
            block = images(of, [draw], [index])
            writer.write([draw], [index], block, nfe=7, stats=numbers(of, [draw], [index]))
            if count in stops:
                writer.close()
                writer = PosteriorWriter(path, of)
                assert writer.resumed == count + 1
        conclude(writer)
        assert validate(path) == []
        assert_same(path, finished(Path(folder) / "a.h5", of))
        assert {item.name for item in Path(folder).iterdir()} == {"a.h5", "b.h5"}


def test_a_slab_is_written_once_and_missing_says_which_are_left(tmp_path: Path) -> None:
    of = plan()
    with PosteriorWriter(tmp_path / "a.h5", of) as writer:
        assert writer.missing(of.slices) == [0, 1, 2, 3, 4]
        writer.write([1, 3], [0, 2], images(of, [1, 3], [0, 2]))
        assert writer.missing([0, 2]) == [0, 2, 4]
        assert writer.missing([3]) == [0, 1, 2, 3, 4]
        writer.write([1], [0], np.zeros((1, 1, 1, of.rows, of.columns), np.float32))
        write_rest(writer)
        path = writer.finish(writer.summarise())
    stored = np.asarray(load(path)["posterior/image"])
    np.testing.assert_array_equal(stored[0, 1, 0], images(of, [1], [0])[0, 0, 0])


def test_a_partial_file_opens_with_nan_where_nothing_is_written(tmp_path: Path) -> None:
    of = plan()
    with PosteriorWriter(tmp_path / "a.h5", of) as writer:
        writer.write([1], [2], images(of, [1], [2]))
        part = tmp_path / "a.h5.part"
        assert validate(part) == [], "also while it is being written"
        with open_posterior(part) as tree:
            image = np.asarray(tree["posterior/image"])
        assert np.isfinite(image).all(axis=(3, 4)).sum() == 1
        np.testing.assert_array_equal(image[0, 1, 1], images(of, [1], [2])[0, 0, 0])
    with xr.open_datatree(part) as tree:
        assert tree.attrs["status"] == "partial"


def test_a_file_that_exists_is_refused_and_kept(tmp_path: Path) -> None:
    of = plan()
    path = finished(tmp_path / "a.h5", of)
    before = path.read_bytes()
    with pytest.raises(PosteriorError, match="exists already; pass --overwrite"):
        PosteriorWriter(path, of)
    with PosteriorWriter(path, plan(seed=1), overwrite=True) as writer:
        write_rest(writer)
        assert path.read_bytes() == before, "the old file stays until the new one is whole"
        writer.finish(writer.summarise())
    assert path.read_bytes() != before


def test_what_a_kill_at_the_very_end_left_behind_is_removed(tmp_path: Path) -> None:
    of = plan()
    path, part = tmp_path / "a.h5", tmp_path / "a.h5.part"
    with PosteriorWriter(path, of) as writer:
        write_rest(writer)
        kept = part.read_bytes()
        writer.finish(writer.summarise())
    part.write_bytes(kept)
    with pytest.raises(PosteriorError, match="exists already"):
        PosteriorWriter(path, plan(fingerprint="other"))
    assert part.exists(), "another run's draws are not ours to remove"
    with pytest.raises(PosteriorError, match="exists already"):
        PosteriorWriter(path, of)
    assert not part.exists()


def test_a_partial_file_of_another_run_is_refused_and_kept(tmp_path: Path) -> None:
    of = plan()
    with PosteriorWriter(tmp_path / "a.h5", of) as writer:
        writer.write([1], [2], images(of, [1], [2]))
    with pytest.raises(PosteriorError, match="holds draws of another run \\(fingerprint exam"):
        PosteriorWriter(tmp_path / "a.h5", plan(fingerprint="other"))
    with pytest.raises(PosteriorError, match="other slices, draws or measurements"):
        PosteriorWriter(tmp_path / "a.h5", plan(y=(of.y[0], of.y[1] * 1.1)))
    with PosteriorWriter(tmp_path / "a.h5", of) as writer:
        assert writer.resumed == 1
    with PosteriorWriter(tmp_path / "a.h5", plan(fingerprint="other"), overwrite=True) as writer:
        assert writer.resumed == 0


def test_rounding_of_the_measurement_does_not_stop_a_resume(tmp_path: Path) -> None:
    of = plan()
    with PosteriorWriter(tmp_path / "a.h5", of) as writer:
        writer.write([1], [2], images(of, [1], [2]))
    nearly = plan(y=(of.y[0], of.y[1] * (1 + 1e-6)))
    with PosteriorWriter(tmp_path / "a.h5", nearly) as writer:
        assert writer.resumed == 1


def test_a_run_that_made_nothing_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), PosteriorWriter(tmp_path / "a.h5", plan()):
        raise RuntimeError
    assert not list(tmp_path.iterdir())


def test_two_writers_of_one_file_are_refused(tmp_path: Path) -> None:
    of = plan()
    with PosteriorWriter(tmp_path / "a.h5", of) as writer:
        writer.write([0], [0], images(of, [0], [0]))
        for overwrite in (False, True):
            with pytest.raises(PosteriorBusyError, match="another process"):
                PosteriorWriter(tmp_path / "a.h5", of, overwrite=overwrite)
        write_rest(writer)
        assert validate(writer.finish(writer.summarise())) == []


def test_a_slab_damaged_on_disk_is_drawn_again(tmp_path: Path) -> None:
    of = plan()
    with PosteriorWriter(tmp_path / "a.h5", of) as writer:
        write_rest(writer)
        place = writer._slabs.arrays["/posterior/image"].offset + 1000
    part = tmp_path / "a.h5.part"
    content = bytearray(part.read_bytes())
    content[place] ^= 1
    part.write_bytes(bytes(content))
    assert "is damaged" in validate(part)[0]
    with PosteriorWriter(tmp_path / "a.h5", of) as writer:
        assert writer.resumed == 14
        write_rest(writer)
        conclude(writer)
    assert_same(tmp_path / "a.h5", finished(tmp_path / "b.h5", of))


def test_a_file_that_is_no_partial_posterior_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.h5.part").write_bytes(b"something else")
    with pytest.raises(PosteriorError, match="damaged or not a partial posterior"):
        PosteriorWriter(tmp_path / "a.h5", plan())
    assert (tmp_path / "a.h5.part").read_bytes() == b"something else"


@pytest.mark.parametrize("missing", ["folder/a.h5", "."])
def test_a_path_that_cannot_be_a_file_is_refused(missing: str, tmp_path: Path) -> None:
    with pytest.raises(PosteriorError, match=r"no such folder|exists already"):
        PosteriorWriter(tmp_path / missing, plan())


@pytest.mark.parametrize(
    ("draws", "slices", "change", "words"),
    [
        ([9], [0], 1.0, r"draws \[9\] are not among"),
        ([0], [1], 1.0, r"slices \[1\] are not in the plan"),
        ([0, 1], [0], 1.0, "of shape"),
        ([0], [0], np.nan, "draw 0 of slice 0 holds NaN"),
    ],
)
def test_a_block_that_does_not_fit_is_refused(
    draws: list[int], slices: list[int], change: float, words: str, tmp_path: Path
) -> None:
    of = plan()
    with (
        PosteriorWriter(tmp_path / "a.h5", of) as writer,
        pytest.raises(PosteriorError, match=words),
    ):
        writer.write(draws, slices, change * images(of, [0], [0]))


def test_statistics_must_be_those_of_the_plan(tmp_path: Path) -> None:
    of = plan(stats=("residual",))
    with (
        PosteriorWriter(tmp_path / "a.h5", of) as writer,
        pytest.raises(PosteriorError, match="statistics are"),
    ):
        writer.write([0], [0], images(of, [0], [0]))


def test_a_file_with_slabs_missing_is_not_finished(tmp_path: Path) -> None:
    of = plan()
    with PosteriorWriter(tmp_path / "a.h5", of) as writer:
        writer.write([0], [0], images(of, [0], [0]))
        with pytest.raises(PosteriorError, match="14 of 15 slabs are still missing"):
            writer.summarise()
    assert not (tmp_path / "a.h5").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"slices": (3, 1)}, "slices must increase"),
        ({"slices": (0, 3, 6)}, "do not all lie in 0 ... 5"),
        ({"draws": 0}, "0 draws"),
        ({"mask": np.ones((1, 2, 3), bool)}, "mask has shape"),
        ({"reference": {"truth": np.ones((1, 1, 1, 1))}}, "'truth' has shape"),
        ({"y": (("z", "k"), np.ones((2, 4)))}, "y has 2 along 'z' where 3"),
        ({"y": (("z",), np.ones((3, 4)))}, "2 axes but dimensions"),
        ({"y": (("z",), np.full(3, np.nan))}, "NaN"),
        ({"noise_std": -0.1}, "noise_std"),
        ({"stats": ("a b",)}, "no name"),
    ],
)
def test_a_plan_that_contradicts_itself_is_refused(change: dict[str, object], words: str) -> None:
    with pytest.raises(PosteriorError, match=words):
        plan(**change)


def test_what_a_network_predicts_and_what_is_guaranteed_are_kept(tmp_path: Path) -> None:
    of = plan()
    image = (len(of.slices), of.channels, of.rows, of.columns)
    pc = np.ones((1, *image), np.float32) / np.sqrt(np.prod(image[1:]))
    given_moments = Predicted(
        np.full(image, 49, np.float32), pc, np.full((1, image[0]), 2, np.float32)
    )
    path = tmp_path / "moments.h5"
    with PosteriorWriter(path, of) as writer:
        write_rest(writer)
        summary = writer.summarise(predicted=given_moments)
        interval = Interval(summary.mean - 3, summary.mean + 3, '{"alpha": 0.1}')
        writer.finish(dataclasses.replace(summary, guaranteed=interval))
    assert validate(path) == []
    tree = load(path)
    estimate, ends = tree["estimate"], tree["interval"]
    assert estimate["mmse"].attrs["mmse_source"] == "network"
    assert estimate["pc_std"].attrs["pc_std_source"] == "nppc"
    assert (estimate["mmse"] == 49).all()
    draws = tree["posterior"]["image"].mean(("chain", "draw"))
    np.testing.assert_allclose(estimate["mean_gap"], draws - 49, atol=1e-3)
    np.testing.assert_allclose(ends["upper"] - ends["lower"], 6, rtol=1e-5)
    assert ends.attrs["guarantee"] == '{"alpha": 0.1}'


@pytest.mark.timeout(20)
def test_draws_that_no_memory_holds_are_refused_before_anything_is_written(
    tmp_path: Path,
) -> None:
    with pytest.raises(PosteriorError, match=r"1000000000 draws of 3 slices need .* fewer draws"):
        PosteriorWriter(tmp_path / "a.h5", plan(draws=10**9))
    assert list(tmp_path.iterdir()) == []


def test_memory_is_asked_for_by_what_summaries_hold() -> None:
    assert plan(draws=32).summary_bytes < 2**20
    assert plan(draws=20_000).summary_bytes > 20_000**2 * 8, "the inner products of the draws"


def test_only_posterior_files_are_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    for content in (b"of the user", b"\x89HDF\r\n\x1a\n and so on"):
        path.write_bytes(content)
        with pytest.raises(PosteriorError, match="is no posterior file, so it is not replaced"):
            PosteriorWriter(path, plan(), overwrite=True)
        assert path.read_bytes() == content
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PosteriorError, match="is no posterior file, so it is not replaced"):
        PosteriorWriter(path, plan(), overwrite=True)
    path.unlink()
    finished(path, plan())
    path.write_bytes(path.read_bytes()[:5000])  # a damaged one may be made again
    with PosteriorWriter(path, plan(), overwrite=True) as writer:
        write_rest(writer)
        writer.finish(writer.summarise())
    assert validate(path) == []


def test_neither_links_nor_files_of_the_user_are_written_through(tmp_path: Path) -> None:
    users = tmp_path / "users.txt"
    users.write_text("of the user")
    for name in ("a.h5.tmp", ".a.h5.tmp"):
        (tmp_path / name).write_text("of the user")
    (tmp_path / ".a.h5.uqtmp").symlink_to(users)
    (tmp_path / ".a.h5.part.uqtmp").symlink_to(users)
    finished(tmp_path / "a.h5", plan())
    assert users.read_text() == "of the user"
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == [".a.h5.tmp", "a.h5", "a.h5.tmp", "users.txt"]
    (tmp_path / "b.h5.part").symlink_to(users)
    with pytest.raises(PosteriorError, match="is a link or no plain file"):
        PosteriorWriter(tmp_path / "b.h5", plan())


def test_a_name_that_is_too_long_is_named(tmp_path: Path) -> None:
    finished(tmp_path / ("a" * 240 + ".h5"), plan())
    with pytest.raises(PosteriorError, match=r"its name has 244 bytes, but .* 243 fit"):
        PosteriorWriter(tmp_path / ("a" * 241 + ".h5"), plan())
