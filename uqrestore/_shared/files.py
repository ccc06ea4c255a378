"""Files that appear under their name only once they are whole."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

NOT_FOLLOWED = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


@contextmanager
def atomic(path: Path, *, suffix: str = "") -> Iterator[Path]:
    """Yield an empty file to write; on leaving without an error it takes the name ``path``.

    A kill at any moment leaves the old file or the new one. The temporary file is created anew,
    so that no link is followed and no file of the user is written over; the leftover of a killed
    process is replaced, and a process that writes the same file is waited for.

    Args:
        path: The file; an existing one is replaced.
        suffix: End of the temporary name, for writers that choose the format by it.
    """
    temporary = temporary_name(path, suffix)
    with create_new(temporary) as file:
        try:
            yield temporary
            os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    sync_folder(path.parent)


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def temporary_name(path: Path, suffix: str = "") -> Path:
    """Return the name of a file while it is written."""
    return path.with_name(f".{path.name}.uqtmp{suffix}")


def create_new(path: Path, *, wait: bool = True) -> BinaryIO:
    """Create an empty file that no other process writes; it is locked until it is closed.

    Args:
        path: Name of the file. The leftover of a killed process, or a link, under this name is
            removed.
        wait: Wait for a process that writes this file.

    Raises:
        BlockingIOError: If another process writes this file, and ``wait`` is off.
        OSError: If the file cannot be created.
    """
    while True:
        try:
            file = _open(path, os.O_CREAT | os.O_EXCL)
        except FileExistsError:
            _remove_leftover(path, wait)
            continue
        if lock(file, wait=False) and _is_at(file, path):
            return file
        file.close()


def open_locked(path: Path) -> BinaryIO:
    """Open an existing file, and no link, for reading and writing, unbuffered.

    Raises:
        BlockingIOError: If another process writes it.
        OSError: If it is missing or a link.
    """
    file = _open(path, 0)
    if not lock(file, wait=False):
        file.close()
        raise BlockingIOError(f"{path}: is being written by another process")
    return file


def lock(file: BinaryIO, *, wait: bool) -> bool:
    """Keep other processes from writing a file until it is closed; False if another does.

    Where the system or the drive knows no locks nothing is locked.
    """
    try:
        import fcntl
    except ImportError:  # not a POSIX system
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def sync_folder(path: Path) -> None:
    """Make a rename in a folder durable."""
    if os.name != "posix":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _open(path: Path, flags: int) -> BinaryIO:
    handle = os.open(path, os.O_RDWR | NOT_FOLLOWED | flags, 0o666)
    return os.fdopen(handle, "r+b", buffering=0)  # type: ignore[return-value]


def _remove_leftover(path: Path, wait: bool) -> None:
    with suppress(FileNotFoundError):
        if not stat.S_ISREG(path.lstat().st_mode):
            path.unlink()
            return
        with _open(path, 0) as file:
            if not lock(file, wait=wait):
                raise BlockingIOError(f"{path}: is being written by another process")
            if _is_at(file, path):
                path.unlink()


def _is_at(file: BinaryIO, path: Path) -> bool:
    """Return False where the name was given to another file since it was opened."""
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(file.fileno()), path.lstat())
    return False
