"""Arrays as large as a volume, in an unnamed file instead of in memory."""

import mmap
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from uqrestore.posterior._bytes import reserve

NewArray = Callable[[tuple[int, ...]], np.ndarray]
"""Return a float32 array of zeros."""


def in_memory(shape: tuple[int, ...]) -> np.ndarray:
    """Return float32 zeros."""
    return np.zeros(shape, np.float32)


def beside(folder: Path) -> NewArray:
    """Return a function that makes arrays on the drive of a folder.

    Nothing is left of them, however the process ends: their file has no name. Its space is
    claimed first, for a disk that fills up under a mapped file kills the process.

    Raises:
        OSError: From the function returned, if the disk is full.
    """

    def new(shape: tuple[int, ...]) -> np.ndarray:
        size = int(np.prod(shape)) * 4
        if not size or os.name != "posix":  # elsewhere a mapped file cannot lose its name
            return in_memory(shape)
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            reserve(file, size)  # type: ignore[arg-type]
            file.truncate(size)
            return np.memmap(file, np.float32, "r+", shape=shape)  # type: ignore[arg-type]

    return new


def let_go(*arrays: np.ndarray) -> None:
    """Let the system drop the cached pages of arrays of :func:`beside`; others stay."""
    for array in arrays:
        pages = getattr(array, "_mmap", None)
        if isinstance(pages, mmap.mmap):
            pages.madvise(mmap.MADV_DONTNEED)
