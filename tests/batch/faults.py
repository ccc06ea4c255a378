"""Loaded by the workers of the fault test: ``poison`` crashes them, ``full`` fills the disk."""

import errno
import os
import signal
from pathlib import Path
from typing import Any

from uqrestore.batch import job
from uqrestore.posterior import _partial as part

_read, _reserve = job.read_input, part.reserve


def read_or_die(path: Any, **options: Any) -> Any:  # noqa: ANN401 - as read_input
    """Crash as a library written in C would."""
    if "poison" in str(path):
        os.kill(os.getpid(), signal.SIGSEGV)
    return _read(path, **options)


def reserve_or_fail(file: Any, size: int) -> None:  # noqa: ANN401 - as reserve
    """Find no room where the test says so."""
    path = str(Path(f"/proc/self/fd/{file.fileno()}").readlink())
    if "full." in path and os.environ.get("UQRESTORE_TEST_FULL"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    _reserve(file, size)


def dask_setup(worker: object) -> None:  # noqa: ARG001 - called by dask
    """Put the faults in place."""
    job.read_input, part.reserve = read_or_die, reserve_or_fail
