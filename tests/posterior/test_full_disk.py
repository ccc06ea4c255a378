"""A disk that is full, and Ctrl-C: nothing half-written, nothing lost.

Full by the kernel's own refusal: a limit on the size of files.
"""

import errno
import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.posterior.runs import assert_same, conclude, finished, write_rest
from uqrestore.posterior import PosteriorPlan, PosteriorWriteError, PosteriorWriter, validate
from uqrestore.posterior import _bytes as sink
from uqrestore.posterior.example import example_plan


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def large() -> PosteriorPlan:
    return example_plan(draws=6, shape=(33, 31), slices=(0, 1, 2, 3, 4))


@pytest.mark.parametrize("size", [100, 5_000, 30_000])
def test_no_room_for_the_draws_shows_before_any_work(size: int, tmp_path: Path) -> None:
    with (
        file_size_limit(size),
        pytest.raises(PosteriorWriteError, match="disk is full; free some space"),
    ):
        PosteriorWriter(tmp_path / "a.h5", large())
    assert not list(tmp_path.iterdir())


def test_the_space_of_every_draw_is_reserved_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with PosteriorWriter(tmp_path / "a.h5", large()) as writer:
        status = os.fstat(writer._slabs.file.fileno())
        assert status.st_blocks * 512 >= 6 * 5 * 33 * 31 * 4, "not a file of holes"

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(PosteriorWriteError, match="disk is full"):
        PosteriorWriter(tmp_path / "a.h5", large())
    assert not list(tmp_path.iterdir())


def test_a_disk_that_fills_while_drawing_keeps_what_was_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of = large()
    monkeypatch.setattr("uqrestore.posterior._partial.reserve", lambda *_: None)
    writer = PosteriorWriter(tmp_path / "a.h5", of)
    with (
        writer,
        file_size_limit(60_000),
        pytest.raises(PosteriorWriteError, match=r"disk is full.*\(\d+ slabs are kept\)"),
    ):
        write_rest(writer, at_once=1)
    kept = writer.valid.sum()
    assert 0 < kept < 30
    with PosteriorWriter(tmp_path / "a.h5", of) as writer:
        assert writer.resumed == kept
        write_rest(writer)
        conclude(writer)
    assert_same(tmp_path / "a.h5", finished(tmp_path / "b.h5", of))


@pytest.mark.parametrize("size", [300, 9_000, 25_000, 60_000, 90_000])
def test_a_disk_that_fills_while_finishing_keeps_the_draws(size: int, tmp_path: Path) -> None:
    of = large()
    with PosteriorWriter(tmp_path / "a.h5", of) as writer:
        write_rest(writer)
        summary = writer.summarise(components=2)
        with file_size_limit(size), pytest.raises(PosteriorWriteError, match="30 slabs are kept"):
            writer.finish(summary)
    assert [path.name for path in tmp_path.iterdir()] == ["a.h5.part"]
    with PosteriorWriter(tmp_path / "a.h5", of) as writer:
        assert writer.resumed == 30
        assert validate(writer.finish(writer.summarise(components=2))) == []


def test_ctrl_c_while_finishing_keeps_the_draws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of = large()
    calls = []
    write_all = sink.write_all

    def interrupted(file: object, data: memoryview) -> None:
        calls.append(len(data))
        if len(calls) == 20:
            signal.raise_signal(signal.SIGINT)
        write_all(file, data)  # type: ignore[arg-type]

    with PosteriorWriter(tmp_path / "a.h5", of) as writer:
        write_rest(writer)
        summary = writer.summarise(components=2)
        monkeypatch.setattr("uqrestore.posterior._bytes.write_all", interrupted)
        with pytest.raises(KeyboardInterrupt):
            writer.finish(summary)
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["a.h5.part"]
    with PosteriorWriter(tmp_path / "a.h5", of) as writer:
        assert writer.resumed == 30
