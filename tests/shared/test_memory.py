"""A budget of memory: sizes as people write them, batches that grow only as memory allows."""

from pathlib import Path

import numpy as np
import pytest

from tests.front import read, tiny_pipeline, tiny_prior, tiny_scan, use_prior
from uqrestore._shared import memory
from uqrestore._shared.memory import Budget, peak_memory, read_size
from uqrestore.restoration.options import RunOptions
from uqrestore.restoration.restore import restore


def test_sizes_are_read_as_people_write_them() -> None:
    assert read_size("2GiB") == 2 * 2**30
    assert read_size("800 mb") == 800 * 10**6
    assert read_size("1.5KiB") == 1536
    for wrong in ("", "two", "2XB", "0", "-1GB"):
        with pytest.raises(ValueError, match="such as 2GiB"):
            read_size(wrong)


def test_the_peak_is_that_of_this_process() -> None:
    before = peak_memory()
    block = np.ones(100 * 2**20, np.uint8)

    assert before > 10 * 2**20
    assert peak_memory() >= before
    assert block[-1] == 1


def test_a_batch_doubles_only_while_twice_its_growth_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    peaks = iter([100, 110, 120, 140, 180, 180])
    monkeypatch.setattr(memory, "peak_memory", lambda: next(peaks))
    budget = Budget(200, 64, reserve=10)  # room for 90 more

    sizes = []
    for _ in range(5):
        sizes.append(budget.size)
        budget.update_from_peak()

    assert sizes == [1, 2, 4, 8, 8]
    assert Budget(None, 64).size == 64


def test_a_budget_that_is_too_small_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_prior(monkeypatch, tiny_prior())

    with pytest.raises(ValueError, match="before a single image is drawn"):
        restore(
            tiny_pipeline(tmp_path), tiny_scan(), tmp_path / "a.h5", RunOptions(memory=10 * 2**20)
        )
    assert not list(tmp_path.glob("a.h5*"))


def test_a_budget_changes_no_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_prior(monkeypatch, tiny_prior())
    pipeline = tiny_pipeline(tmp_path)

    one = restore(pipeline, tiny_scan(), tmp_path / "a.h5")
    other = restore(
        pipeline, tiny_scan(), tmp_path / "b.h5", RunOptions(memory=peak_memory() + 2**30)
    )

    images = [read(path, "posterior/image") for path in (one, other)]
    assert np.abs(images[0] - images[1]).max() < 1e-5 * np.ptp(images[0])


@pytest.mark.parametrize(
    ("draws", "memory", "words"),
    [
        (10**9, None, r"1000000000 draws of 5 slices need .* GiB of memory .* fewer draws"),
        (40_000, 2 * 2**30, r"--memory: .* before a single image is drawn; .* --slices or --draws"),
    ],
)
def test_more_draws_than_memory_holds_are_refused_before_any_is_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, draws: int, memory: int | None, words: str
) -> None:
    use_prior(monkeypatch, tiny_prior())
    pipeline = tiny_pipeline(tmp_path, draws=draws)
    before = peak_memory()

    with pytest.raises(ValueError, match=words):
        restore(pipeline, tiny_scan(), tmp_path / "a.h5", RunOptions(memory=memory))

    assert peak_memory() - before < 2**29
    assert not list(tmp_path.glob("a.h5*"))


def test_draws_that_fit_are_not_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_prior(monkeypatch, tiny_prior())
    pipeline = tiny_pipeline(tmp_path, draws=300, method={"name": "exact"}, components=1)
    restore(pipeline, tiny_scan(), tmp_path / "a.h5", RunOptions(slices=1, memory=4 * 2**30))
