"""Scans on several worker processes, and everything that goes wrong in a night on a cluster."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.batch.scene import pipeline, write_pipeline, write_scans
from tests.front import read
from uqrestore.batch import open_posteriors
from uqrestore.batch.catalogue import catalogue_rows
from uqrestore.posterior import validate
from uqrestore.restoration.restore import restore
from uqrestore.scans import read_scan

SLOW = {"method": {"name": "ddnm", "steps": 20}, "draws": 8, "batch_size": 4}
MARK = "UQRESTORE_TEST_RUN"
COMMAND = [sys.executable, "-c", "from uqrestore.cli.app import main; main()", "batch"]


class Batch:
    """The command, its folders and its environment."""

    def __init__(self, folder: Path, count: int) -> None:
        self.scans, self.out = folder / "scans", folder / "out"
        self.good = [f"site-{i % 2}/scan-{i:02d}" for i in range(count)]
        write_scans(self.scans, [*self.good, "z-poison", "full"])
        self.pipeline = write_pipeline(folder, **SLOW)

    def start(self, *options: object, full: bool = False) -> "subprocess.Popen[str]":
        environment = os.environ | {
            "PYTHONPATH": str(Path.cwd()),
            "DASK_DISTRIBUTED__WORKER__PRELOAD": "tests.batch.faults",
            "UQRESTORE_TEST_FULL": "1" if full else "",
            MARK: str(self.out),
        }
        arguments = [self.scans, "-p", self.pipeline, "-o", self.out, *options]
        return subprocess.Popen(
            [*COMMAND, *map(str, arguments)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *options: object, full: bool = False) -> tuple[int, str]:
        process = self.start(*options, full=full)
        shown, _ = process.communicate(timeout=240)
        return process.returncode, shown

    def finished(self) -> dict[str, tuple[int, int]]:
        """Name to what changes if a file is written anew."""
        paths = open_posteriors(self.out).paths if self.out.is_dir() else {}
        return {name: _stamp(path) for name, path in paths.items()}

    def errors(self) -> dict[str, dict[str, object]]:
        found = sorted(self.out.rglob("*.error.json"))
        return {path.name.split(".")[0]: json.loads(path.read_text()) for path in found}

    def leftovers(self) -> list[str]:
        known = (".posterior.h5", ".error.json", "catalogue.csv")
        files = [path for path in self.out.rglob("*") if path.is_file()]
        return [path.name for path in files if not path.name.endswith(known)]


def _stamp(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_ino, stat.st_mtime_ns


def wait_for(condition: Callable[[], object], seconds: float = 240) -> object:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.005)
    raise AssertionError("it did not happen in time")


def writing(controller: int) -> tuple[int, str] | None:
    """Return a worker process and the partial file it is writing."""
    for process in psutil.Process(controller).children(recursive=True):
        try:
            opened = [file.path for file in process.open_files()]
        except psutil.Error:
            continue
        for path in opened:
            if path.endswith(".h5.part"):
                return process.pid, path
    return None


def still_running(run: Path) -> list[int]:
    """Return what still runs of a batch: workers outlive it, and have scans in their queues."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            mine = process.environ().get(MARK) == str(run)
            if mine and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
    return found


@pytest.mark.parametrize(
    ("count", "workers"), [(7, 2), pytest.param(22, 3, marks=pytest.mark.slow)]
)
def test_every_good_scan_has_one_valid_file_whatever_dies(
    count: int, workers: int, tmp_path: Path
) -> None:
    batch, early = Batch(tmp_path, count), (count + 2) // 4
    good = batch.good
    first = batch.start("--workers", workers, full=True)
    found = wait_for(lambda: writing(first.pid))
    assert isinstance(found, tuple)
    victim, part = found
    os.kill(victim, signal.SIGKILL)
    lost = Path(part).name.removesuffix(".posterior.h5.part")
    wait_for(lambda: len(batch.finished()) >= early)
    first.kill()
    first.wait()
    first.stdout.close()  # type: ignore[union-attr]
    wait_for(lambda: not still_running(batch.out), seconds=60)

    before = batch.finished()
    assert early <= len(before) < count
    truncated = next(iter(before))
    path = open_posteriors(batch.out).paths[truncated]
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    code, shown = batch.run("--workers", workers, full=True)
    second = batch.finished()
    assert code == 1
    assert f"{count - len(before) + 1} restored, {len(before) - 1} were done already" in shown, (
        shown
    )
    assert "2 failed" in shown
    assert shown.count("z-poison: failed") == 1
    assert sorted(second) == sorted(good)
    assert {name: second[name] for name in before if name != truncated} == {
        name: before[name] for name in before if name != truncated
    }, "what was done is not computed twice"
    errors = batch.errors()
    assert set(errors) == {"z-poison", "full"}
    assert "died 3 times" in str(errors["z-poison"]["error"])
    assert "disk is full" in str(errors["full"]["error"])
    assert batch.leftovers() == []

    code, shown = batch.run()  # the disk has room again; no engine
    third = batch.finished()
    assert (code, set(third)) == (1, {*good, "full"}), shown
    assert f"1 restored, {count} were done already, 0 failed, 1 failed before" in shown
    assert batch.errors() == {"z-poison": errors["z-poison"]}
    assert {name: third[name] for name in good} == second

    code, shown = batch.run("--retry-failed")  # no worker here is set to die of it
    assert code == 0, shown
    assert (batch.errors(), batch.leftovers()) == ({}, [])
    rows = catalogue_rows(batch.out)
    assert [row["name"] for row in rows] == sorted([*good, "z-poison", "full"])
    assert {row["status"] for row in rows} == {"complete"}

    # The numbers are those of an undisturbed run, also for what was interrupted.
    lost_name = next(name for name in good if name.endswith(lost))
    for name in {lost_name, truncated}:
        path = open_posteriors(batch.out).paths[name]
        assert validate(path) == []
        alone = restore(
            pipeline(tmp_path, **SLOW),
            read_scan(batch.scans / f"{name}.nii.gz"),
            tmp_path / f"{Path(name).name}.h5",
        )
        one, other = read(path, "posterior/image"), read(alone, "posterior/image")
        assert np.abs(one - other).max() <= 1e-5 * np.ptp(other)


def test_a_command_that_is_killed_leaves_no_process_behind(tmp_path: Path) -> None:
    scans, out = tmp_path / "scans", tmp_path / "out"
    write_scans(scans, ["a", "b", "c"])
    arguments = [scans, "-p", write_pipeline(tmp_path, **SLOW, axial_mm=0.0), "-o", out]
    environment = os.environ | {"PYTHONPATH": str(Path.cwd()), MARK: str(out)}
    process = subprocess.Popen([*COMMAND, *map(str, arguments)], env=environment)
    wait_for(lambda: any(out.rglob("*.part")))
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) >= 2

    process.kill()
    process.wait()

    gone, alive = psutil.wait_procs(children, timeout=60)
    assert not alive, [child.cmdline() for child in alive]
    assert len(gone) == len(children)
