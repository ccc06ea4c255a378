"""Executors: worker processes that restore the scans of a batch and may die at any moment.

Each keeps as many scans in progress as there are workers and submits the next only when one is
done, so that a process that dies interrupts one scan, which alone may have caused it.
"""

import logging
import multiprocessing
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uqrestore.batch.job import Job, Record, record_failure, restore_one
from uqrestore.batch.tasks import BatchError, Task

if TYPE_CHECKING:
    from distributed import Client

DEATHS = 3  # processes that one scan may take with it before it is given up
ANSWER_SECONDS = 10.0
POLL_SECONDS = 1.0  # how soon workers that join later get work
NO_WORKERS = (
    "the worker processes cannot start. They import the script that started them: in a script, "
    "call the batch below a line: if __name__ == '__main__':"
)

Started = Callable[[Task], None]


def refuse_imported_script() -> None:
    """Raise ``BatchError`` in a worker that imports a script which would start workers again."""
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise BatchError(NO_WORKERS)


def run_here(tasks: Sequence[Task], job: Job, started: Started) -> Iterator[Record]:
    """Restore scans one after another in a child process, without dask.

    A scan that crashes its process ends the child, which is then replaced.

    Raises:
        BatchError: If the first child ends before it has a scan.
    """
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool

    context = _context()
    pool = ProcessPoolExecutor(1, context, _start_worker)
    try:
        try:
            pool.submit(os.getpid).result()
        except BrokenProcessPool as error:
            raise BatchError(NO_WORKERS) from error
        for task in tasks:
            started(task)
            for death in range(1, DEATHS + 1):
                try:
                    yield pool.submit(restore_one, task, job).result()
                    break
                except BrokenProcessPool:
                    pool.shutdown()
                    pool = ProcessPoolExecutor(1, context, _start_worker)
                    if death == DEATHS:
                        yield crashed(task, job)
    finally:
        pool.shutdown(cancel_futures=True)


def run_on(client: "Client", tasks: Sequence[Task], job: Job, started: Started) -> Iterator[Record]:
    """Restore scans on the workers of a dask scheduler, whoever started them.

    Raises:
        ConnectionError: If the scheduler is lost.
    """
    from distributed import wait
    from distributed.scheduler import KilledWorker

    waiting, running = list(reversed(tasks)), {}
    run = os.urandom(4).hex()  # a scheduler remembers keys
    while waiting or running:
        try:
            cores: Any = client.ncores()
            free = sum(cores.values()) - len(running)
        except (OSError, ValueError) as error:
            raise _lost(client) from error
        while waiting and free > 0:
            task = waiting.pop()
            key = f"uq-{task.name}-{run}"
            future = client.submit(restore_one, task, job, key=key, pure=False, retries=0)
            running[future] = task
            started(task)
            free -= 1
        if not running:  # no workers yet
            with suppress(TimeoutError):
                client.wait_for_workers(1, timeout=POLL_SECONDS)
            continue
        try:
            ended: Any = wait(list(running), timeout=POLL_SECONDS, return_when="FIRST_COMPLETED")
        except TimeoutError:
            continue
        for future in ended.done:
            task = running.pop(future)
            if future.status == "finished":
                yield future.result()
            elif future.status == "error":
                error = future.exception()
                if isinstance(error, KilledWorker):
                    yield crashed(task, job)
                else:
                    yield _refused(task, job, error)
            else:
                raise _lost(client)
            future.release()


@contextmanager
def local_cluster(workers: int) -> Iterator["Client"]:
    """Start worker processes of one thread each on this machine, for as long as it takes.

    Raises:
        BatchError: Without the extra ``batch``, or if the workers cannot start.
    """
    _need_distributed()
    from dask import config

    settings = {
        "distributed.worker.multiprocessing-method": _context().get_start_method(),
        "distributed.scheduler.allowed-failures": DEATHS - 1,
        "logging": {"distributed": "critical"},
    }
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with config.set(settings), tempfile.TemporaryDirectory(prefix="uqrestore-") as scratch:
        from distributed import Client, LocalCluster
        from distributed.utils import get_mp_context

        _preload(get_mp_context(), ["distributed"])
        try:
            started = LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                host="127.0.0.1",
                memory_limit=0,  # the operating system judges memory; dask would kill too early
                dashboard_address=None,  # type: ignore[arg-type]  (dask allows it)
                local_directory=scratch,
                silence_logs=logging.CRITICAL + 1,
            )
        except RuntimeError as error:
            raise BatchError(NO_WORKERS) from error
        with started as cluster, Client(cluster) as client:
            client.run(_one_thread)
            yield client


@contextmanager
def remote_cluster(scheduler: str | None, scheduler_file: Path | None) -> Iterator["Client"]:
    """Connect to a scheduler that runs already.

    Raises:
        BatchError: Without the extra ``batch``.
        ConnectionError: If it does not answer.
    """
    _need_distributed()
    from distributed import Client

    where = scheduler or str(scheduler_file)
    if scheduler_file is not None and not scheduler_file.is_file():
        raise FileNotFoundError(
            f"{scheduler_file}: no such scheduler file; start 'dask scheduler --scheduler-file "
            f"{scheduler_file}' first."
        )
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    try:
        client = Client(
            address=scheduler,
            scheduler_file=None if scheduler_file is None else str(scheduler_file),
            timeout=ANSWER_SECONDS,
        )
    except (OSError, ValueError) as error:
        raise ConnectionError(
            f"{where}: no scheduler answers there within {ANSWER_SECONDS:g} s; is 'dask scheduler' "
            "running, and is the address the one it printed?"
        ) from error
    with client:
        yield client


def crashed(task: Task, job: Job) -> Record:
    """Record a scan that took its process with it time after time."""
    text = (
        f"{task.scan}: the process that restored it died {DEATHS} times (out of memory, or a crash "
        "in a library); the other scans went on. Try it alone, with less memory in use."
    )
    record_failure(task, job, error=text, kind="ProcessDied", try_again=False)
    return Record(task.name, "failed", error=text)


def _refused(task: Task, job: Job, error: BaseException | None) -> Record:
    text = (
        f"{task.scan}: the worker could not take it ({type(error).__name__}: {error}); do workers "
        "and this command run the same version of uqrestore?"
    )
    record_failure(task, job, error=text, kind=type(error).__name__, try_again=True)
    return Record(task.name, "failed", error=text)


def _lost(client: "Client") -> ConnectionError:
    return ConnectionError(
        f"{client.scheduler.address if client.scheduler else 'the scheduler'}: was lost; run the "
        "same command again, what is done stays done."
    )


def _need_distributed() -> None:
    try:
        import distributed  # noqa: F401 - only whether it is there
    except ModuleNotFoundError:
        raise BatchError(
            "several workers need the package distributed: pip install 'uqrestore[batch]', or use "
            "--shard i/N, which needs none."
        ) from None


def _context() -> Any:  # noqa: ANN401 - multiprocessing's contexts share no public type
    """Return how processes start: forked from a server that has imported torch already."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    _preload(context, [])
    return context


def _preload(context: Any, more: list[str]) -> None:  # noqa: ANN401
    if context.get_start_method() == "forkserver":
        context.set_forkserver_preload([*more, "uqrestore.batch.job"])


def _start_worker() -> None:
    """Prepare a worker process: one thread, and no life after the command that started it."""
    _one_thread()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None  # this runs in a worker
    parent.join()
    os._exit(1)  # as a kill would: the partial file keeps what is done


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)
