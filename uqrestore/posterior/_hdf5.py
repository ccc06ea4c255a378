"""Open a posterior file for reading, also while another process writes it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

UNREADABLE = (OSError, KeyError, ValueError, RuntimeError, TypeError, AttributeError, IndexError)
"""What h5py raises on damaged bytes."""

NOT_A_VARIABLE = b"This is a netCDF dimension but not a netCDF variable"


@contextmanager
def reading(path: Path) -> Iterator[Any]:
    """Yield an ``h5py.File``.

    HDF5 refuses a file that is locked by its writer, and one that this process has open with
    another setting of locks; one of the two settings always works.

    Raises:
        OSError: If the file is missing or its structure is damaged.
    """
    import h5py

    try:
        file = h5py.File(path, "r")
    except OSError:
        file = h5py.File(path, "r", locking=False)
    with file:
        yield file


def variables(group: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401  (h5py is typed loosely)
    """Yield the path and the dataset of every variable under a group."""
    import h5py

    for item in group.values():
        if isinstance(item, h5py.Group):
            yield from variables(item)
        elif not bytes(item.attrs.get("NAME", b"")).startswith(NOT_A_VARIABLE):
            yield str(item.name), item


def dimensions(dataset: Any) -> tuple[str, ...]:  # noqa: ANN401
    """Return the names of a variable's dimensions."""
    if dataset.is_scale:
        return (dataset.name.rpartition("/")[2],)
    names = [scales[0].name if len(scales) else "" for scales in dataset.dims]
    return tuple(name.rpartition("/")[2] for name in names)


def byte_offset(dataset: Any) -> int:  # noqa: ANN401
    """Return where an uncompressed variable begins in its file."""
    offset = dataset.id.get_offset()
    if offset is None:
        raise ValueError(f"{dataset.name} is not stored in one piece")
    return int(offset)


def short(error: BaseException) -> str:
    """Return the first line of an error, for messages of one line."""
    return (str(error) or type(error).__name__).splitlines()[0][:120]
