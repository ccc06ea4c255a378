"""Raw bytes on disk: a file that HDF5 writes through, and arrays at fixed offsets.

HDF5 does not survive a full disk: after one failed write its files cannot be closed and the
process dies on exit. It therefore writes through ``Sink``, which keeps the first error, swallows
what follows and leaves it to the writer to stop. The draws themselves do not pass through HDF5 at
all: see ``RawArray``.
"""

import io
import math
import os
from dataclasses import dataclass
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np


class Sink(io.RawIOBase):
    """A file for h5py that never fails; ask :meth:`check` whether it did.

    Args:
        file: Unbuffered file, open for reading and writing.
    """

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file = file
        self.error: OSError | None = None

    def check(self) -> None:
        """Raise the first error of any write so far."""
        if self.error is not None:
            raise self.error

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401  (HDF5 hands over its own memory)
        return self._file.readinto(buffer)  # type: ignore[attr-defined]

    def write(self, data: Any) -> int:  # noqa: ANN401
        if self.error is None:
            try:
                write_all(self._file, memoryview(data))
            except OSError as error:
                self.error = error
        return len(data)

    def truncate(self, size: int | None = None) -> int:
        if self.error is None:
            try:
                return self._file.truncate(size)
            except OSError as error:
                self.error = error
        return size or 0


@dataclass(frozen=True, eq=False)
class RawArray:
    """An uncompressed array at a known place in a file.

    Writing one of its blocks touches those bytes and no others, so a process that is killed at
    any moment leaves every other block, and the file's structure, as they were.

    Attributes:
        file: Unbuffered file, open for reading and writing.
        offset: Byte of the first element.
        shape: Shape of the whole array.
        dtype: Type of the elements.
    """

    file: BinaryIO
    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype

    def write(self, index: tuple[int, ...], values: np.ndarray) -> None:
        """Write the block at leading indices ``index``."""
        block = np.ascontiguousarray(values, self.dtype)
        self.file.seek(self._place(index))
        write_all(self.file, _bytes(block))

    def read(self, index: tuple[int, ...] = (), rows: slice | None = None) -> np.ndarray:
        """Read the block at ``index``, or a contiguous range of its first axis."""
        shape = self.shape[len(index) :]
        place = self._place(index)
        if rows is not None:
            place += rows.start * self.dtype.itemsize * math.prod(shape[1:])
            shape = (rows.stop - rows.start, *shape[1:])
        block = np.empty(shape, self.dtype)
        view = _bytes(block)
        self.file.seek(place)
        while len(view):
            count = self.file.readinto(view)  # type: ignore[attr-defined]
            if not count:
                raise OSError(f"{self.file.name} ends before the array at byte {place}.")
            view = view[count:]
        return block

    def _place(self, index: tuple[int, ...]) -> int:
        block = math.prod(self.shape[len(index) :])
        flat = 0
        for i, size in zip(index, self.shape, strict=False):
            flat = flat * size + i
        return self.offset + int(flat) * block * self.dtype.itemsize


class Uninterrupted:
    """Hold Ctrl-C back while HDF5 calls into Python, where an exception would corrupt its state.

    ``asked`` tells the loop inside to stop; the interrupt is raised on leaving.
    """

    def __init__(self) -> None:
        self.asked = False

    def __enter__(self) -> "Uninterrupted":
        import signal
        import threading

        self._previous = None
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        import signal

        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)
        if self.asked:
            raise KeyboardInterrupt

    def _note(self, *_: object) -> None:
        self.asked = True


def _bytes(block: np.ndarray) -> memoryview:
    view = memoryview(block)  # type: ignore[arg-type]  (numpy's stubs hide the buffer protocol)
    return view.cast("B") if block.size else memoryview(b"")


def write_all(file: BinaryIO, data: memoryview) -> None:
    """Write every byte; an unbuffered file may take them in pieces."""
    rest = memoryview(data).cast("B")
    while len(rest):
        rest = rest[file.write(rest) :]


def reserve(file: BinaryIO, size: int) -> None:
    """Claim the space of the whole file now, so that a full disk shows before any work."""
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            import errno

            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
                raise
