"""Kill a writing process at random moments, many times, and look at what is left.

    python -m tests.posterior 200

prints how many kills fell where, and what was lost or unreadable (both must be 0).
"""

import os
import random
import time
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from tests.posterior.runs import images
from uqrestore.posterior import PosteriorPlan, PosteriorWriter, open_posterior, validate
from uqrestore.posterior.example import example_plan

SIZE = 33  # odd on purpose


@dataclass
class Report:
    """What the kills did."""

    kills: int = 0
    finished: int = 0
    killed_at: list[int] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        places = np.asarray(self.killed_at or [0])
        plan = crash_plan()
        every = plan.draws * len(plan.slices)
        none, some = (places == 0).sum(), ((places > 0) & (places < every)).sum()
        return (
            f"{self.kills} kills, {self.finished} runs finished; {none} processes ended before the "
            f"first slab, {some} between slabs, {len(places) - none - some} after the last; "
            f"{len(self.unreadable)} unreadable files, {len(self.lost)} lost or wrong slabs"
        )


def crash_plan() -> PosteriorPlan:
    """Return the plan every process works on."""
    return example_plan(draws=12, slices=(0, 1, 2, 4, 5), shape=(SIZE, SIZE + 2))


def work(path: Path, journal: Path) -> None:
    """Write what is missing and finish; note each slab in the journal once write() returned.

    A pause before each slab stands for the drawing, so that the kills fall on all of a run.
    """
    plan = crash_plan()
    notes = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    with PosteriorWriter(path, plan) as writer:
        for index in plan.slices:
            for draw in writer.missing([index]):
                time.sleep(0.002)
                writer.write([draw], [index], images(plan, [draw], [index]))
                os.write(notes, f"{draw} {index}\n".encode())
        writer.finish(writer.summarise(components=2, quantiles=(0.5,)))


def kill_at_random(kills: int, seed: int, folder: Path) -> Report:
    """Start the worker again and again, kill it at a random moment, check what it left."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["tests.posterior.crash", "h5netcdf", "scipy"])
    report, chance, run = Report(), random.Random(seed), 0
    whole = _duration(context, folder)
    while report.kills < kills:
        path, journal = folder / f"{run}.h5", folder / f"{run}.journal"
        process = context.Process(target=work, args=(path, journal))
        process.start()
        _wait(process, journal, chance, whole)
        if process.exitcode is None:
            process.kill()
            report.kills += 1
        process.join()
        if process.exitcode not in (0, -9):
            report.unreadable.append(f"{path.name}: the worker failed on what was left")
        _check(path, journal, report)
        if path.exists():
            report.finished += 1
            _clear(path, journal, report)
            run += 1
    _finish(folder, run, report)
    return report


def _wait(process: Any, journal: Path, chance: random.Random, whole: float) -> None:  # noqa: ANN401
    """Let a random time pass, or a random number of slabs and a moment more."""
    if chance.random() < 0.4:
        process.join(chance.uniform(0, whole))
        return
    start = journal.stat().st_size if journal.exists() else 0
    more = chance.randint(1, 120)  # bytes; a note is four
    while process.exitcode is None:
        size = journal.stat().st_size if journal.exists() else 0
        if size >= start + more:
            break
        process.join(0.001)
    process.join(chance.uniform(0, 0.01))


def _duration(context: Any, folder: Path) -> float:  # noqa: ANN401
    """Time one whole run, so that kills fall evenly over it."""
    start = time.perf_counter()
    for name in ("warm-up", "timed"):
        start = time.perf_counter()
        process = context.Process(
            target=work, args=(folder / f"{name}.h5", folder / f"{name}.journal")
        )
        process.start()
        process.join()
    for left in folder.iterdir():
        left.unlink()
    return time.perf_counter() - start


def _check(path: Path, journal: Path, report: Report) -> None:
    """Every slab the worker had reported must be there, unchanged."""
    plan = crash_plan()
    written = []
    if journal.exists():
        lines = journal.read_text().split("\n")[:-1]
        written = [(int(a), int(b)) for a, b in (line.split() for line in lines)]
    report.killed_at.append(len(set(written)))
    part = path.with_name(path.name + ".part")
    found = path if path.exists() else part
    if not found.exists():
        report.lost += [f"{path.name}: {len(written)} slabs"] if written else []
        return
    faults = validate(found)
    report.unreadable += [f"{found.name}: {fault}" for fault in faults]
    with h5py.File(found) as file:
        valid = np.asarray(file["posterior/valid"])[0]
    with open_posterior(found) as tree:
        stored = np.asarray(tree["posterior/image"])[0]
    for draw, index in written:
        position = plan.slices.index(index)
        wanted = images(plan, [draw], [index])[0, 0, 0]
        if not valid[draw, position] or not np.array_equal(stored[draw, position], wanted):
            report.lost.append(f"{found.name}: draw {draw}, slice {index}")


def _clear(path: Path, journal: Path, report: Report) -> None:
    left = sorted(item.name for item in path.parent.iterdir())
    if left != [path.name, journal.name]:
        # Killed between the two last steps: the next run says so and tidies up.
        allowed = {path.name, journal.name, path.name + ".part"}
        report.unreadable += [f"{name} was left behind" for name in left if name not in allowed]
    for item in path.parent.iterdir():
        item.unlink()


def _finish(folder: Path, run: int, report: Report) -> None:
    """Let the last run end, and compare it with one that was never disturbed."""
    path, calm = folder / f"{run}.h5", folder / "calm.h5"
    if not path.exists():
        work(path, folder / "last.journal")
    work(calm, folder / "calm.journal")
    with h5py.File(path) as one, h5py.File(calm) as other:
        for name in ("posterior/image", "estimate/mmse", "estimate/std", "estimate/pc"):
            if not np.array_equal(np.asarray(one[name]), np.asarray(other[name])):
                report.lost.append(f"{name} differs from an undisturbed run")
