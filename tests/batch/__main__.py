"""Measure the batch on free cores: ``python -m tests.batch scaling``."""

import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from tests.batch.scene import pipeline, write_scans
from uqrestore.batch import Job, Record, Task, executors, find_tasks

SCANS = 16
HEAVY = {"method": {"name": "ddnm", "steps": 200}, "draws": 16, "batch_size": 16}


def measure(workers: int, tasks: list[Task], job: Job) -> tuple[float, list[Record]]:
    """Return the seconds that all scans took once the workers had loaded everything."""
    with executors.local_cluster(workers) as client:
        warm = replace(job, out=job.out / "warm")
        names = [replace(tasks[0], name=f"warm-{i}") for i in range(4 * workers)]
        list(executors.run_on(client, names, warm, lambda _: None))
        start = time.perf_counter()
        records = list(executors.run_on(client, tasks, job, lambda _: None))
        return time.perf_counter() - start, records


def scaling(folder: Path) -> str:
    """Compare one worker with two."""
    write_scans(folder / "scans", [f"scan-{i:02d}" for i in range(SCANS)])
    tasks = find_tasks(str(folder / "scans"))
    times, overheads = {}, {}
    for workers in (1, 2):
        job = Job(pipeline(folder, **HEAVY), folder / str(workers))
        times[workers], records = measure(workers, tasks, job)
        if not all(record.status == "done" for record in records):
            raise SystemExit(f"a scan failed: {records}")
        inside = sum(record.seconds for record in records)
        overheads[workers] = (workers * times[workers] - inside) / SCANS
    return (
        f"{SCANS} scans: one worker {times[1]:.1f} s, two {times[2]:.1f} s, "
        f"ratio {times[1] / times[2]:.2f}; the engine adds {1000 * overheads[1]:.0f} ms a scan"
    )


if __name__ == "__main__":
    if sys.argv[1:] != ["scaling"]:
        raise SystemExit("usage: python -m tests.batch scaling")
    with tempfile.TemporaryDirectory() as scratch:
        sys.stdout.write(scaling(Path(scratch)) + "\n")
