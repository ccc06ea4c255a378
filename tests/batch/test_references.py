"""References of raw k-space in a batch: found, used, and part of what is not tried again."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.batch.test_batch import here
from tests.scans.rawfiles import write_ismrmrd
from uqrestore.batch import (
    BatchError,
    Job,
    Task,
    executors,
    find_tasks,
    restore_one,
    run_batch,
)
from uqrestore.pipeline import RestorePipeline, change, load_pipeline
from uqrestore.posterior import PosteriorFile
from uqrestore.restoration.options import RunOptions


@pytest.fixture(autouse=True)
def one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executors, "run_here", here)


def write_raw(folder: Path) -> None:
    """Write undersampled raw k-space ``a`` and its reference ``a_full``."""
    rows, columns = 24, 20
    y, x = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j]
    image = np.where(x**2 + y**2 < 0.6, 100 + 30 * np.cos(5 * x) * np.cos(4 * y), 0)
    lines, affine = np.arange(columns) % 5 != 0, np.diag([1.5, 1.5, 3.0, 1.0])
    lines[6:14] = True
    folder.mkdir()
    for name, sampled in (("a", lines), ("a_full", np.ones(columns, bool))):
        write_ismrmrd(folder / f"{name}.mrd", image[..., None], affine, sampled, 0.5, 4)


def fast_job(out: Path) -> Job:
    plan = load_pipeline("raw-brain", RestorePipeline)
    fast = change(plan, draws=2, components=0, method={"name": plan.method.name, "levels": 3})
    return Job(pipeline=fast, out=out, options=RunOptions(slices=1))


def test_references_beside_raw_files_are_the_truth_of_the_restored_images(tmp_path: Path) -> None:
    folder = tmp_path / "scans"
    write_raw(folder)
    [task] = find_tasks(str(folder), reference="{}_full.mrd")
    assert (task.name, task.reference) == ("a", folder / "a_full.mrd")
    (tmp_path / "list.csv").write_text("scan,reference\nscans/a.mrd,scans/a_full.mrd\n")
    assert find_tasks(str(tmp_path / "list.csv")) == [task]
    with pytest.raises(BatchError, match=r"2 scans have no such reference, .*a\.mrd; add it"):
        find_tasks(str(folder), reference="{}_none.mrd")

    work = fast_job(tmp_path / "out")
    assert run_batch([task], work).is_done
    with PosteriorFile(work.posterior("a")) as file:
        truth = file["reference/truth"].values
    assert truth.max() > 100, "magnitudes of the fully sampled file"
    assert run_batch([task], work).records[0].status == "skipped"
    refused = run_batch([replace(task, reference=None)], work)
    assert "finished file of other settings" in refused.records[0].error


def test_a_scan_that_failed_for_its_reference_is_tried_with_another(tmp_path: Path) -> None:
    folder = tmp_path / "scans"
    write_raw(folder)
    raw, full, work = folder / "a.mrd", folder / "a_full.mrd", fast_job(tmp_path / "out")
    wrong = Task("a", raw, reference=raw)  # is not fully sampled

    first, again = restore_one(wrong, work), restore_one(wrong, work)
    other = restore_one(replace(wrong, reference=full), work)

    assert (first.status, again.status, other.status) == ("failed", "failed before", "done")
    assert first.error == again.error
    assert not work.error_record(wrong).exists()


def test_a_scan_that_failed_for_its_reference_is_tried_without_one(tmp_path: Path) -> None:
    folder = tmp_path / "scans"
    write_raw(folder)
    raw, work = folder / "a.mrd", fast_job(tmp_path / "out")
    assert restore_one(Task("a", raw, reference=raw), work).status == "failed"
    assert restore_one(Task("a", raw), work).status == "done"


def test_paths_of_references_hold_in_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_raw(tmp_path / "scans")
    monkeypatch.chdir(tmp_path)
    seen: list[Task] = []
    monkeypatch.setattr(executors, "run_here", lambda tasks, *_: seen.extend(tasks) or iter(()))
    [task] = find_tasks("scans/a.mrd", reference="{}_full.mrd")
    run_batch([task, replace(task, reference=None)], fast_job(tmp_path / "out"))
    assert [task.reference for task in seen] == [tmp_path / "scans" / "a_full.mrd", None]
