"""Run a batch: find its scans, hand them to an engine, say what became of them."""

import tempfile
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from uqrestore.batch import executors as engines
from uqrestore.batch.catalogue import write_catalogue
from uqrestore.batch.job import Job, Record
from uqrestore.batch.tasks import BatchError, Task, find_tasks
from uqrestore.pipeline import RestorePipeline
from uqrestore.zoo import load_card

Tell = Callable[[str, Task | Record], None]
"""Called with ``"found"``, ``"started"`` and a task, or with ``"ended"`` and a record."""


@dataclass(frozen=True)
class Outcome:
    """What became of a batch.

    Attributes:
        records: One a scan, in the order in which they ended.
        catalogue: The table of all outputs; None for a shard, of which there are several.
    """

    records: tuple[Record, ...]
    catalogue: Path | None

    @property
    def is_done(self) -> bool:
        """Whether every scan has its finished file."""
        return all(record.is_done for record in self.records)

    def count(self, status: str) -> int:
        """Return how many scans ended so."""
        return sum(record.status == status for record in self.records)


def run_batch(
    source: str,
    job: Job,
    *,
    workers: int = 1,
    scheduler: str | None = None,
    scheduler_file: Path | None = None,
    shard: tuple[int, int] | None = None,
    tell: Tell | None = None,
) -> Outcome:
    """Restore every scan of a list, a pattern or a folder.

    One file a scan is the only state. A run that is killed at any moment is gone on with by the
    same call; nothing that is finished is computed again.

    Args:
        source: See ``find_tasks``.
        job: What is done to each of them.
        workers: Processes on this machine; 1 needs no engine.
        scheduler: Address of a dask scheduler whose workers are used instead.
        scheduler_file: File that such a scheduler wrote.
        shard: ``(i, N)``: take every N-th scan, the i-th of them first; for arrays of jobs.
        tell: Hears of every scan.

    Raises:
        BatchError: If there is nothing to restore, or the folder cannot be written.
        ConnectionError: If the scheduler does not answer or is lost.
    """
    say = tell or (lambda *_: None)
    tasks = find_tasks(source)
    if shard is not None:
        tasks = tasks[shard[0] - 1 :: shard[1]]
    job = replace(job, out=_writable(job.out), pipeline=_absolute(job.pipeline))
    load_card(job.pipeline.prior)  # a prior that does not exist fails once, not for every scan
    tasks = [_resolved(task) for task in tasks]
    for task in tasks:
        say("found", task)
    outputs = {task.name: job.posterior(task) for task in tasks}
    before = {name: _stamp(path) for name, path in outputs.items()}
    records = []
    with closing(_engine(tasks, job, workers, scheduler, scheduler_file, say)) as results:
        for record in results:
            # A worker that dies takes its last answers along; asked again, it finds its own file.
            if record.status == "skipped" and before[record.name] != _stamp(outputs[record.name]):
                record = replace(record, status="done")
            records.append(record)
            say("ended", record)
    listed = None if shard is not None else write_catalogue(job.out)
    return Outcome(tuple(records), listed)


def _engine(
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
        with engines.remote_cluster(scheduler, scheduler_file) as client:
            yield from engines.run_on(client, tasks, job, started)
    elif workers > 1:
        with engines.local_cluster(workers) as client:
            yield from engines.run_on(client, tasks, job, started)
    else:
        yield from engines.run_here(tasks, job, started)


def _stamp(path: Path) -> tuple[int, int] | None:
    """Return what changes when a file is written anew; None where there is none."""
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
    """Workers may run in another folder than this command."""
    prior = Path(pipeline.prior)
    if prior.suffix != ".safetensors":
        return pipeline
    return pipeline.model_copy(update={"prior": str(prior.resolve())})


def _resolved(task: Task) -> Task:
    mask = None if task.mask is None else task.mask.absolute()
    return replace(task, scan=task.scan.absolute(), mask=mask)
