"""Run a batch: find its scans, restore them on an executor, report their results."""

import tempfile
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from uqrestore.batch import executors
from uqrestore.batch.catalogue import write_catalogue
from uqrestore.batch.job import Job, Record
from uqrestore.batch.tasks import BatchError, Task, find_tasks
from uqrestore.pipeline import RestorePipeline
from uqrestore.restoration.prior_cache import weights_of, with_paths
from uqrestore.zoo import list_priors

Tell = Callable[[str, Task | Record], None]
"""Called with ``"found"``, ``"started"`` and a task, or with ``"ended"`` and a record."""


@dataclass(frozen=True)
class Outcome:
    """Results of a batch.

    Attributes:
        records: One a scan, in the order in which they ended.
        catalogue: The table of all outputs; None for a shard, of which there are several.
    """

    records: tuple[Record, ...]
    catalogue: Path | None

    @property
    def is_done(self) -> bool:
        """True if every scan has its finished file."""
        return all(record.is_done for record in self.records)

    def count(self, status: str) -> int:
        """Return how many scans ended so."""
        return sum(record.status == status for record in self.records)


def run_batch(
    source: str | Sequence[Task],
    job: Job,
    *,
    workers: int = 1,
    scheduler: str | None = None,
    scheduler_file: Path | None = None,
    shard: tuple[int, int] | None = None,
    tell: Tell | None = None,
) -> Outcome:
    """Restore every scan of a list, a pattern or a folder.

    The posterior file of a scan is the only state. A run that is killed at any moment is resumed
    by the same call; nothing that is finished is computed again.

    Args:
        source: Scans as ``find_tasks`` takes them, or what it returned.
        job: Restoration of each of them.
        workers: Processes on this machine; 1 needs no dask.
        scheduler: Address of a dask scheduler whose workers are used instead.
        scheduler_file: File that such a scheduler wrote.
        shard: ``(i, N)``: take every N-th scan, the i-th of them first; for arrays of jobs.
        tell: Called for every scan found, started and ended.

    Raises:
        BatchError: If there is nothing to restore, the folder cannot be written, or the workers
            cannot start, as in a script without ``if __name__ == "__main__":``.
        ConnectionError: If the scheduler does not answer or is lost.
    """
    executors.refuse_imported_script()
    say = tell or (lambda *_: None)
    tasks = find_tasks(source) if isinstance(source, str) else list(source)
    if shard is not None:
        tasks = tasks[shard[0] - 1 :: shard[1]]
    job = replace(job, out=_writable(job.out), pipeline=_absolute(job.pipeline))
    weights_of(job.pipeline)  # weights that do not exist fail once, not for every scan
    tasks = [_resolved(task) for task in tasks]
    for task in tasks:
        say("found", task)
    outputs = {task.name: job.posterior(task.name) for task in tasks}
    before = {name: _stamp(path) for name, path in outputs.items()}
    records = []
    with closing(_execute(tasks, job, workers, scheduler, scheduler_file, say)) as results:
        for record in results:
            # A worker that dies takes its last answers along; asked again, it finds its own file.
            if record.status == "skipped" and before[record.name] != _stamp(outputs[record.name]):
                record = replace(record, status="done")
            records.append(record)
            say("ended", record)
    listed = None if shard is not None else write_catalogue(job.out)
    return Outcome(tuple(records), listed)


def _execute(
    tasks: Sequence[Task],
    job: Job,
    workers: int,
    scheduler: str | None,
    scheduler_file: Path | None,
    say: Tell,
) -> Generator[Record]:
    def started(task: Task) -> None:
        say("started", task)

    if not tasks:
        return
    if scheduler is not None or scheduler_file is not None:
        with executors.remote_cluster(scheduler, scheduler_file) as client:
            yield from executors.run_on(client, tasks, job, started)
    elif workers > 1:
        with executors.local_cluster(workers) as client:
            yield from executors.run_on(client, tasks, job, started)
    else:
        yield from executors.run_here(tasks, job, started)


def _stamp(path: Path) -> tuple[int, int] | None:
    """Return inode and time of a file, which change when it is replaced; None without a file."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_mtime_ns


def _writable(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise BatchError(
            f"{folder}: cannot be written ({error.strerror or error}); choose another --out."
        ) from error
    return folder.resolve()


def _absolute(pipeline: RestorePipeline) -> RestorePipeline:
    """Return the pipeline with absolute paths: workers may run in another folder."""

    def absolute(name: str) -> str:
        path = Path(name)
        is_path = path.suffix == ".safetensors" or (path.exists() and name not in list_priors())
        return str(path.resolve()) if is_path else name

    return with_paths(pipeline, absolute)


def _resolved(task: Task) -> Task:
    mask, reference = (
        None if path is None else path.absolute() for path in (task.mask, task.reference)
    )
    return replace(task, scan=task.scan.absolute(), mask=mask, reference=reference)
