"""Open a posterior file for reading, also while another process writes it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

UNREADABLE = (OSError, KeyError, ValueError, RuntimeError, TypeError, AttributeError, IndexError)
"""What h5py and h5netcdf raise on damaged bytes."""


@contextmanager
def reading(path: Path) -> Iterator[Any]:
    """Yield an ``h5netcdf.File``.

    HDF5 refuses a file that is locked by its writer, and one that this process has open with
    another setting of locks; one of the two settings always works.

    Raises:
        OSError: If the file is missing or its structure is damaged.
    """
    import h5netcdf

    try:
        file = h5netcdf.File(path, "r")
    except OSError:
        file = h5netcdf.File(path, "r", locking=False)
    with file:
        yield file


def short(error: BaseException) -> str:
    """Return the first line of an error, for messages of one line."""
    return (str(error) or type(error).__name__).splitlines()[0][:120]
