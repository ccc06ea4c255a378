"""A batch on one machine: what it finds, what it skips, what it says, and the same numbers."""

import json
import os
import sys
import threading
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from tests.batch.poison import Poison
from tests.batch.scene import pipeline, write_pipeline, write_scans
from tests.front import read, tiny_voxels, write_scan
from tests.scans.series import write_series
from uqrestore.batch import (
    BatchError,
    Job,
    Task,
    executors,
    find_tasks,
    job,
    open_posteriors,
    parse_shard,
    restore_one,
    run_batch,
    write_catalogue,
)
from uqrestore.batch.tasks import safe_name
from uqrestore.cli.app import app
from uqrestore.posterior import PosteriorFile, Storage, export_dicom
from uqrestore.reports.page import write_report
from uqrestore.restoration.options import RunOptions
from uqrestore.scans import ScanError, read_scan


def here(tasks: object, work: Job, started: object) -> object:
    """Restore in this very process: an engine for tests."""
    for task in tasks:  # type: ignore[attr-defined]
        started(task)  # type: ignore[operator]
        yield restore_one(task, work)


@pytest.fixture
def one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executors, "run_here", here)


@pytest.fixture
def work(tmp_path: Path) -> Job:
    return Job(pipeline(tmp_path), tmp_path / "out", options=RunOptions(slices=2))


def command(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["batch", *map(str, arguments)])


@pytest.mark.usefixtures("one_process")
def test_shards_and_batch_sizes_give_the_numbers_of_one_run(work: Job, tmp_path: Path) -> None:
    write_scans(tmp_path / "scans", ["a", "b", "c"])
    whole = run_batch(str(tmp_path / "scans"), work)
    for i in (1, 2):
        shard = replace(work, options=replace(work.options, batch_size=5), out=tmp_path / "shards")
        outcome = run_batch(str(tmp_path / "scans"), shard, shard=(i, 2))
        assert outcome.is_done
        assert outcome.catalogue is None, "one shard does not see what the others do"

    assert whole.is_done
    one, other = open_posteriors(work.out), open_posteriors(tmp_path / "shards")
    assert list(one) == list(other) == ["a", "b", "c"]
    for name in one:
        images = [read(files.paths[name], "posterior/image") for files in (one, other)]
        assert np.abs(images[0] - images[1]).max() <= 1e-5 * np.ptp(images[0])


@pytest.mark.usefixtures("one_process")
def test_a_scan_that_failed_is_repeated_on_request_and_faults_of_the_machine_always(
    work: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_scans(tmp_path / "scans", ["a", "b"])
    (tmp_path / "scans" / "bad.nii.gz").write_bytes(b"not a scan")
    full = True
    real = job.restore

    def restore_or_fail(*args: object, **options: object) -> Path:
        if full and Path(str(args[2])).name.startswith("b."):
            raise OSError(28, "No space left on device")
        return real(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(job, "restore", restore_or_fail)
    states = []
    for retry in (False, False, True):
        outcome = run_batch(str(tmp_path / "scans"), replace(work, retry_failed=retry))
        states.append({record.name: record.status for record in outcome.records})
        assert not outcome.is_done
        full = False

    assert states == [
        {"a": "done", "b": "failed", "bad": "failed"},
        {"a": "skipped", "b": "done", "bad": "failed before"},
        {"a": "skipped", "b": "skipped", "bad": "failed"},
    ]
    content = json.loads((work.out / "bad.error.json").read_text())
    assert "bad.nii.gz" in content["error"]
    assert not (work.out / "b.error.json").exists()


@pytest.mark.usefixtures("one_process")
@pytest.mark.usefixtures("one_process")
def test_an_answer_that_died_with_its_worker_still_counts_as_restored(
    work: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine runs such a scan again, which finds the file that it wrote itself."""
    folder = tmp_path / "twice"
    write_scans(folder, ["a", "b"])
    run_batch(str(folder / "a.nii.gz"), work)

    def twice(tasks: object, work: Job, started: object) -> object:
        list(here(tasks, work, started))  # type: ignore[call-overload]
        return here(tasks, work, started)

    monkeypatch.setattr(executors, "run_here", twice)
    outcome = run_batch(str(folder), work)
    assert (outcome.count("done"), outcome.count("skipped")) == (1, 1)


def test_a_changed_scan_is_not_done_and_never_silently_replaced(work: Job, tmp_path: Path) -> None:
    [scan] = write_scans(tmp_path / "scans", ["a"])
    assert run_batch(str(scan), work).is_done
    write_scan(scan, 2 * tiny_voxels())

    refused = run_batch(str(scan), work)
    replaced = run_batch(str(scan), replace(work, options=replace(work.options, overwrite=True)))

    assert "finished file of other settings or of another scan" in refused.records[0].error
    assert replaced.records[0].status == "done"


@pytest.mark.usefixtures("one_process")
def test_options_that_change_the_file_alone_make_another_run(work: Job, tmp_path: Path) -> None:
    [scan] = write_scans(tmp_path / "scans", ["a"])
    assert run_batch(str(scan), work).is_done
    assert run_batch(str(scan), work).records[0].status == "skipped"

    other = replace(work, options=replace(work.options, storage=Storage("none")))
    refused, replaced = (
        run_batch(str(scan), replace(other, options=replace(other.options, overwrite=overwrite)))
        for overwrite in (False, True)
    )

    assert "finished file of other settings" in refused.records[0].error
    assert replaced.records[0].status == "done"
    assert run_batch(str(scan), other).records[0].status == "skipped"


@pytest.mark.usefixtures("one_process")
def test_a_prior_is_loaded_once_for_all_scans(
    work: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from uqrestore.restoration import prior_cache

    loaded = []
    real = prior_cache.load_prior
    monkeypatch.setattr(prior_cache, "load_prior", lambda name: loaded.append(name) or real(name))
    job.prior_cache.cache_clear()
    write_scans(tmp_path / "scans", ["a", "b", "c"])

    assert run_batch(str(tmp_path / "scans"), work).is_done
    assert len(loaded) == 1


def test_without_an_engine_a_scan_that_kills_its_process_is_recorded_and_the_next_one_done(
    work: Job, tmp_path: Path
) -> None:
    [scan] = write_scans(tmp_path / "scans", ["good"])
    tasks = [Poison("poison", scan), Task("good", scan)]
    work.out.mkdir()

    records = list(executors.run_here(tasks, work, lambda _: None))

    assert [record.status for record in records] == ["failed", "done"]
    assert "died 3 times" in records[0].error
    assert work.error_record(tasks[0]).exists()


@pytest.mark.usefixtures("one_process")
def test_the_command_says_what_became_of_it_and_exits_so(tmp_path: Path) -> None:
    write_scans(tmp_path / "scans", ["a", "b"])
    arguments = (tmp_path / "scans", "-p", write_pipeline(tmp_path), "-o", tmp_path / "out")
    good = command(*arguments, "--slices", 2)
    (tmp_path / "scans" / "bad.nii").write_bytes(b"")
    bad = command(*arguments, "--slices", 2)

    assert good.exit_code == 0, good.output
    assert "2 restored, 0 were done already, 0 failed" in good.stdout
    assert "catalogue: " in good.stdout
    assert bad.exit_code == 1
    assert "bad: failed" in bad.stdout
    assert "0 restored, 2 were done already, 1 failed" in bad.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--shard", "0/3"], "write i/N with i from 1 to N"),
        (["--shard", "x"], "write i/N with i from 1 to N"),
        (["--scheduler", "tcp://a:1", "--scheduler-file", "f"], "give one"),
        (["--scheduler-file", "nowhere.json"], "no such scheduler file"),
    ],
)
def test_mistakes_are_one_line(arguments: list[str], words: str, tmp_path: Path) -> None:
    write_scans(tmp_path / "scans", ["a"])
    result = command(
        tmp_path / "scans", "-p", write_pipeline(tmp_path), "-o", tmp_path / "out", *arguments
    )

    assert result.exit_code == 2
    assert words in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_a_scheduler_that_does_not_answer_is_one_line(
    work: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executors, "ANSWER_SECONDS", 0.5)
    write_scans(tmp_path / "scans", ["a"])

    with pytest.raises(ConnectionError, match=r"no scheduler answers there within 0\.5 s"):
        run_batch(str(tmp_path / "scans"), work, scheduler="tcp://127.0.0.1:1")


def test_a_folder_with_nothing_readable_is_refused(work: Job, tmp_path: Path) -> None:
    (tmp_path / "scans").mkdir()
    (tmp_path / "scans" / "notes.doc").touch()

    with pytest.raises(BatchError, match="names no scan that can be read"):
        run_batch(str(tmp_path / "scans"), work)
    with pytest.raises(BatchError, match="names no scan that can be read"):
        run_batch(str(tmp_path / "nowhere" / "*.nii"), work)


def test_an_output_folder_that_cannot_be_written_is_refused(work: Job, tmp_path: Path) -> None:
    write_scans(tmp_path / "scans", ["a"])
    (tmp_path / "file").touch()

    for out in (tmp_path / "file", tmp_path / "file" / "out", Path("/proc/nothing")):
        with pytest.raises(BatchError, match="cannot be written"):
            run_batch(str(tmp_path / "scans"), replace(work, out=out))


def test_outputs_mirror_the_folders_and_no_two_share_a_name(tmp_path: Path) -> None:
    write_scans(tmp_path, ["sub-01/T1w", "sub-02/T1w", "b"])
    (tmp_path / "sub-01" / "T1w.posterior.h5").touch()
    (tmp_path / ".hidden.nii").touch()

    wanted = ["b", "sub-01/T1w", "sub-02/T1w"]
    assert [task.name for task in find_tasks(str(tmp_path))] == wanted
    assert [task.name for task in find_tasks(f"{tmp_path}/**/*")] == wanted
    assert [task.name for task in find_tasks(f"{tmp_path}/*/T1w.nii.gz")] == wanted[1:]


def test_a_folder_of_dicom_is_one_scan(work: Job, tmp_path: Path) -> None:
    affine = np.diag([4.0, 4.0, 4.0, 1.0])
    voxels = np.round(tiny_voxels())
    write_series(tmp_path / "study" / "T1", voxels, affine)
    write_series(tmp_path / "study" / "broken", voxels, affine)
    middle = np.random.default_rng(0).permutation(voxels.shape[2])[2]
    (tmp_path / "study" / "broken" / f"{middle:03d}.dcm").unlink()

    assert [task.name for task in find_tasks(str(tmp_path / "study"))] == ["T1", "broken"]
    [alone] = find_tasks(str(tmp_path / "study" / "T1"))
    assert alone.name == "T1"
    assert restore_one(alone, work).status == "done"
    refused = restore_one(Task("broken", tmp_path / "study" / "broken"), work)
    assert refused.status == "failed"
    assert "1 slice is missing" in refused.error


def test_two_scans_of_one_name_in_a_list_are_refused_unless_named(tmp_path: Path) -> None:
    write_scans(tmp_path, ["1/T1w", "2/T1w"])
    plain, table = tmp_path / "list.txt", tmp_path / "list.csv"
    plain.write_text("# a study\n1/T1w.nii.gz\n\n2/T1w.nii.gz\n")
    table.write_text("scan,name,volume\n1/T1w.nii.gz,one,\n2/T1w.nii.gz,../two,0\n")

    with pytest.raises(BatchError, match=r"1/T1w\.nii\.gz and .*2/T1w\.nii\.gz would both"):
        find_tasks(str(plain))
    one, two = sorted(find_tasks(str(table)), key=lambda task: str(task.scan))
    assert (one.name, one.volume, two.volume) == ("one", None, 0)
    assert ".." not in two.name.split("/")
    table.write_text("file\na.nii\n")
    with pytest.raises(BatchError, match=r"list\.csv:1: .*'scan' is needed, got file"):
        find_tasks(str(table))


@pytest.mark.parametrize(
    "name",
    ["..", ".", "", "-rf", "=cmd()", "a\nb", "a/b", "<script>", "a" * 300, "\udcff", "x\u202ey"],
)
def test_a_hostile_name_stays_in_its_folder_and_distinct(name: str) -> None:
    safe = safe_name(name)

    assert safe != name
    assert safe == Path(safe).name
    assert len(safe.encode()) < 140
    assert safe[0] not in ".-=+@"
    assert not set(safe) & set("\n<>\u202e \"'&")
    assert safe_name(safe) == safe or safe.startswith("_")
    assert len({safe_name(other) for other in (name, name + "x", "plain")}) == 3


def test_a_hostile_file_name_writes_inside_the_output_folder_alone(tmp_path: Path) -> None:
    hostile = "=1+1..<script>alert(1)<script>\n\udcff"
    folder = tmp_path / "scans" / "$(touch x)"
    folder.mkdir(parents=True)
    os.replace(write_scan(tmp_path / "s.nii.gz"), folder / f"{hostile}.nii.gz")  # noqa: PTH105
    work = Job(pipeline(tmp_path), tmp_path / "out", options=RunOptions(slices=2))
    before = {path for path in tmp_path.rglob("*") if work.out not in path.parents}

    [task] = find_tasks(str(tmp_path / "scans"))
    record = restore_one(task, work)

    assert record.status == "done", record.error
    after = {path for path in tmp_path.rglob("*") if work.out not in path.parents}
    assert after - before == {work.out}
    text = write_catalogue(work.out).read_text()
    assert all(not cell.startswith(tuple("=+-@")) for cell in text.split(","))


@pytest.mark.usefixtures("one_process")
def test_hostile_dicom_values_reach_neither_a_path_nor_a_report_unescaped(tmp_path: Path) -> None:
    script = "<script>alert(1)</script>"
    values: dict[str, Any] = {
        "BodyPartExamined": "../../OUT", "FrameOfReferenceUID": "../..", "PatientID": script,
        "PatientName": "../../Jane", "SeriesDescription": script, "Laterality": "=cmd()",
        "RescaleType": "<b>HU</b>",
    }  # fmt: skip
    work = Job(pipeline(tmp_path), tmp_path / "out", options=RunOptions(slices=2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom doubts such values, as it should
        series = write_series(
            tmp_path / "s" / "T1", np.round(tiny_voxels()), np.diag([4.0, 4.0, 4.0, 1.0]), **values
        )
    before = {path for path in tmp_path.rglob("*") if work.out not in path.parents}

    [task] = find_tasks(str(series.parent))
    record = restore_one(task, work)
    assert record.status == "done", record.error
    page = write_report(work.posterior(task.name), work.out).page
    export_dicom(work.posterior(task.name), work.out / "dicom", kind="both")

    after = {path for path in tmp_path.rglob("*") if work.out not in path.parents}
    assert after - before == {work.out}
    text = page.read_text()
    assert "<script>alert" not in text
    assert "<b>HU" not in text
    assert "Jane" not in text


def test_a_scan_that_changes_while_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from uqrestore.scans import READERS

    path = write_scan(tmp_path / "s.nii.gz")
    reader = READERS[".nii.gz"]

    def slow(*args: object, **options: object) -> object:
        scan = reader(*args, **options)
        path.write_bytes(path.read_bytes() + b"more")
        return scan

    monkeypatch.setitem(READERS, ".nii.gz", slow)  # type: ignore[arg-type]
    with pytest.raises(ScanError, match="changed while it was read"):
        read_scan(path)


def test_two_controllers_at_once_do_not_write_one_file(work: Job, tmp_path: Path) -> None:
    [scan] = write_scans(tmp_path / "scans", ["a"])
    work.out.mkdir()
    records: list[object] = []
    both = [
        threading.Thread(target=lambda: records.append(restore_one(Task("a", scan), work)))
        for _ in range(2)
    ]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()

    assert {record.status for record in records} <= {"done", "skipped", "failed"}  # type: ignore
    assert restore_one(Task("a", scan), work).is_done


@pytest.mark.usefixtures("one_process")
def test_the_catalogue_holds_every_figure_as_csv_and_parquet(work: Job, tmp_path: Path) -> None:
    import pandas as pd

    write_scans(tmp_path / "scans", ["a", "b"])
    (tmp_path / "scans" / "bad.nii").write_bytes(b"")
    run_batch(str(tmp_path / "scans"), work)

    table = pd.read_csv(work.out / "catalogue.csv").set_index("name")
    other = pd.read_parquet(write_catalogue(work.out, tmp_path / "c.parquet")).set_index("name")
    assert list(table.index) == ["a", "b", "bad"] == list(other.index)
    assert table.loc["a", "status"] == "complete"
    assert table.loc["bad", "status"] == "failed"
    assert "bad.nii" in str(table.loc["bad", "error"])
    np.testing.assert_allclose(table["psnr_mean"], other["psnr_mean"])
    assert int(np.isfinite(table["psnr_mean"]).sum()) == 2
    with pytest.raises(BatchError, match=r"is \.csv or \.parquet"):
        write_catalogue(work.out, tmp_path / "c.xlsx")


@pytest.mark.usefixtures("one_process")
def test_baselines_are_in_the_catalogue_and_a_finished_scan_stays_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pandas as pd

    write_scans(tmp_path / "scans", ["a"])
    parts = ["cg_sense", {"name": "total_variation", "iterations": 20}]
    both = Job(pipeline(tmp_path, baselines=parts), tmp_path / "out", RunOptions(slices=2))
    with monkeypatch.context() as missing:
        missing.setitem(sys.modules, "sigpy", None)
        (record,) = run_batch(str(tmp_path / "scans"), both).records
        assert record.error == "total_variation needs sigpy: pip install 'uqrestore[mri]'."
    # It is installed now, and the same command goes on.
    assert run_batch(str(tmp_path / "scans"), both).count("done") == 1
    table = pd.read_csv(both.out / "catalogue.csv")
    assert np.isfinite(table[["psnr_cg_sense", "ssim_total_variation"]]).all(axis=None)
    assert run_batch(str(tmp_path / "scans"), both).count("skipped") == 1


def test_parts_of_an_array_of_jobs_are_counted_from_one() -> None:
    assert parse_shard("3/8") == (3, 8)
    for wrong in ("0/8", "9/8", "3", "a/b", "-1/8"):
        with pytest.raises(BatchError, match="write i/N"):
            parse_shard(wrong)


@pytest.mark.usefixtures("one_process")
def test_masks_beside_the_scans_are_found_and_are_no_scans(work: Job, tmp_path: Path) -> None:
    folder = tmp_path / "scans"
    for path in write_scans(folder, ["a", "b"]):
        write_scan(path.with_name(f"{path.name[0]}_mask.nii.gz"), (tiny_voxels() > 0).astype(float))

    tasks = find_tasks(str(folder), mask="{}_mask.nii.gz")

    assert [task.name for task in tasks] == ["a", "b"]
    assert [task.mask for task in tasks] == [folder / f"{n}_mask.nii.gz" for n in "ab"]
    assert run_batch(tasks, work).is_done
    for name in "ab":
        with PosteriorFile(work.posterior(name)) as file:
            assert file.provenance["pipeline"]["kind"] == "restore"
    assert run_batch(tasks, work).count("skipped") == 2


def test_a_mask_that_is_missing_or_one_for_many_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "scans"
    [a, b] = write_scans(folder, ["a", "b"])
    with pytest.raises(BatchError, match=r"is one mask for 2 scans; write \{\} for the name"):
        find_tasks(str(folder), mask="mask.nii.gz")
    with pytest.raises(BatchError, match=r"2 scans have no such mask, the first is .*a\.nii\.gz"):
        find_tasks(str(folder), mask="{}_mask.nii.gz")
    write_scan(tmp_path / "m.nii.gz", (tiny_voxels() > 0).astype(float))
    [task] = find_tasks(str(a), mask=str(tmp_path / "m.nii.gz"))
    assert task.mask == tmp_path / "m.nii.gz"
    (tmp_path / "list.csv").write_text(f"scan,mask\n{a},{tmp_path / 'm.nii.gz'}\n{b},\n")
    with pytest.raises(BatchError, match=r"1 scans have no such mask, the first is .*b\.nii\.gz"):
        find_tasks(str(tmp_path / "list.csv"), mask="{}_mask.nii.gz")


def test_a_list_states_volume_and_noise_of_each_scan(tmp_path: Path) -> None:
    write_scans(tmp_path, ["a", "b"])
    (tmp_path / "list.csv").write_text("scan,volume,noise_std\na.nii.gz,2,\nb.nii.gz,,0.5\n")
    first, second = find_tasks(str(tmp_path / "list.csv"), volume=1, noise_std=3.0)
    assert (first.volume, first.noise_std) == (2, 3.0)
    assert (second.volume, second.noise_std) == (1, 0.5)
    for text in ("scan,volume\na.nii.gz,x\n", "scan,noise_std\na.nii.gz,-1\n"):
        (tmp_path / "list.csv").write_text(text)
        with pytest.raises(BatchError, match=r"list\.csv:2: (volume|noise_std) '.*' (is no|must)"):
            find_tasks(str(tmp_path / "list.csv"))


@pytest.mark.usefixtures("one_process")
def test_workers_in_another_folder_find_every_network_of_the_pipeline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_scans(tmp_path / "scans", ["a"])
    pipeline(tmp_path)
    monkeypatch.chdir(tmp_path)
    plan = pipeline(tmp_path, prior="tiny.safetensors", baseline="tiny.safetensors")
    seen: list[Job] = []
    monkeypatch.setattr(executors, "run_here", lambda _tasks, job, _started: seen.append(job) or [])
    run_batch(str(tmp_path / "scans"), Job(plan, tmp_path / "out"))
    prior = str(tmp_path / "tiny.safetensors")
    assert (seen[0].pipeline.prior, seen[0].pipeline.baseline) == (prior, prior)


@pytest.mark.usefixtures("one_process")
def test_an_error_record_that_cannot_be_read_is_no_record(work: Job, tmp_path: Path) -> None:
    write_scans(tmp_path / "scans", ["a"])
    work.out.mkdir()
    (work.out / "a.error.json").write_text("[" * 100_000)
    assert run_batch(str(tmp_path / "scans"), work).is_done
