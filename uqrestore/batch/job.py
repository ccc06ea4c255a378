"""One scan of a batch: skipped if it is done, restored, or recorded as failed."""

import functools
import json
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from uqrestore._shared.files import write_text
from uqrestore._shared.version import __version__
from uqrestore.batch.tasks import SUFFIX, Task
from uqrestore.pipeline import RestorePipeline
from uqrestore.posterior import PosteriorDamagedError, PosteriorError
from uqrestore.posterior.integrity import intact
from uqrestore.restoration.finished import is_finished
from uqrestore.restoration.options import DEFAULTS, RunOptions
from uqrestore.restoration.prior_cache import PriorCache
from uqrestore.restoration.record import fingerprint
from uqrestore.restoration.restore import Progress, restore
from uqrestore.scans import ScanError, input_identity, input_sha256, read_input

Status = Literal["done", "skipped", "failed", "failed before"]


@functools.cache
def prior_cache() -> PriorCache:
    """Return the priors of this process: a worker loads each once."""
    return PriorCache()


@dataclass(frozen=True)
class Job:
    """Restoration of every scan of a batch.

    Attributes:
        pipeline: What to simulate or solve, and how.
        out: Folder of the outputs.
        options: Options of every restoration; ``memory`` holds for each worker, ``overwrite``
            replaces finished files of other runs.
        retry_failed: Repeat scans whose restoration failed for a reason of their own.
    """

    pipeline: RestorePipeline
    out: Path
    options: RunOptions = DEFAULTS
    retry_failed: bool = False

    def posterior(self, name: str) -> Path:
        """Return the posterior file of the task of this name."""
        return self.out / f"{name}{SUFFIX}"

    def error_record(self, task: Task) -> Path:
        """Return where a failure of a task is recorded."""
        return self.out / f"{task.name}.error.json"


@dataclass(frozen=True)
class Record:
    """Result of one scan of a batch.

    Attributes:
        name: Of the task.
        status: ``failed before`` is a failure of an earlier run that was not tried again.
        seconds: Spent on it, in the worker.
        drawn: Samples of slices drawn by this run; those found in a partial file do not count.
        error: One line; empty if there is none.
    """

    name: str
    status: Status
    seconds: float = 0.0
    drawn: int = 0
    error: str = ""

    @property
    def is_done(self) -> bool:
        """True if the scan has its finished file."""
        return self.status in {"done", "skipped"}


def restore_one(task: Task, job: Job) -> Record:
    """Restore one scan, unless its finished file is there; never raises for a bad scan.

    A failure is written beside the outputs as ``NAME.error.json`` and not repeated while pipeline,
    weights, input and reference stay the same, unless the job retries failures. A failure of the
    machine, such as a full disk or a missing extra, is always repeated.
    """
    start = time.perf_counter()
    seen: list[Progress] = []
    name = ""
    try:
        name = _fingerprint(task, job)
        reference = _reference(task)
        if is_finished(job.posterior(task.name), name, job.options, reference):
            job.error_record(task).unlink(missing_ok=True)
            return Record(task.name, "skipped", time.perf_counter() - start)
        known = _failed_before(task, job, name, reference)
        if known is not None:
            return Record(task.name, "failed before", time.perf_counter() - start, error=known)
        _restore(task, job, seen)
        job.error_record(task).unlink(missing_ok=True)
        return Record(task.name, "done", time.perf_counter() - start, _drawn(seen))
    except Exception as error:  # noqa: BLE001 - one bad scan must not stop the others
        text = _one_line(error)
        record_failure(
            task,
            job,
            error=text,
            kind=type(error).__name__,
            try_again=isinstance(error, OSError | MemoryError | PosteriorError | ImportError),
            run=name,
            trace="".join(traceback.format_exception(error)),
        )
        return Record(task.name, "failed", time.perf_counter() - start, _drawn(seen), text)


def record_failure(
    task: Task,
    job: Job,
    *,
    error: str,
    kind: str,
    try_again: bool,
    run: str = "",
    trace: str = "",
) -> None:
    """Write the error record of a scan, in one step; a disk that takes no record is no error.

    Args:
        task: The scan.
        job: Its batch.
        error: One line of text.
        kind: Class of the error.
        try_again: Whether the machine or the command failed rather than the scan.
        run: Fingerprint, if it came that far.
        trace: Traceback.
    """
    path = job.error_record(task)
    record = {
        "name": task.name,
        "scan": str(task.scan),
        "error": error,
        "kind": kind,
        "try_again": try_again,
        "fingerprint": run or _or_nothing(lambda: _fingerprint(task, job)),
        "reference": _or_nothing(lambda: _reference(task)),
        "uqrestore": __version__,
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "traceback": trace,
    }
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(record, indent=1))


def read_failure(path: Path) -> dict[str, Any] | None:
    """Return an error record; None if there is none that can be read."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _fingerprint(task: Task, job: Job) -> str:
    return fingerprint(
        job.pipeline,
        input_identity(task.scan, task.mask, task.volume, task.noise_std, task.coils),
        slices=job.options.slices,
        resample=job.options.resample,
    )


def _reference(task: Task) -> str:
    return "" if task.reference is None else input_sha256(task.reference)


def _or_nothing(hashed: Callable[[], str]) -> str:
    try:
        return hashed()
    except (OSError, ValueError):
        return ""


def _failed_before(task: Task, job: Job, name: str, reference: str) -> str | None:
    record = read_failure(job.error_record(task))
    if record is None or job.retry_failed or record.get("try_again"):
        return None
    # The reference is no part of the fingerprint: it changes no draw. It may be what failed.
    same = record.get("fingerprint") == name and record.get("reference", "") == reference
    return str(record.get("error")) if same else None


def _restore(task: Task, job: Job, seen: list[Progress]) -> None:
    out = job.posterior(task.name)
    out.parent.mkdir(parents=True, exist_ok=True)
    options = job.options
    if out.exists() and intact(out) and not options.overwrite:
        raise PosteriorError(
            f"{out}: is the finished file of other settings or of another scan; pass --overwrite "
            "to replace it, or choose another folder."
        )
    scan = read_input(
        task.scan,
        mask=task.mask,
        volume=task.volume,
        allow_gaps=options.allow_gaps,
        noise_std=task.noise_std,
        coils=task.coils,
        reference=task.reference,
    )

    def run(overwrite: bool) -> None:
        chosen = replace(options, overwrite=overwrite)
        restore(job.pipeline, scan, out, chosen, cache=prior_cache(), progress=seen.append)

    try:
        run(options.overwrite or out.exists())  # what is there now is damaged
    except PosteriorDamagedError:
        run(True)


def _drawn(seen: list[Progress]) -> int:
    return seen[-1].samples_done - seen[0].samples_done if seen else 0


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split()) or "no message"
    expected = isinstance(error, ScanError | ValueError | OSError | ArithmeticError | ImportError)
    return text if expected else f"{type(error).__name__}: {text}"
