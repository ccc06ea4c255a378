"""Safe reading of HDF5 files, also while another process writes them."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

UNREADABLE = (OSError, KeyError, ValueError, RuntimeError, TypeError, AttributeError, IndexError)
"""Errors that h5py raises on damaged bytes."""

MOST_COMPRESSED = 1100
"""Values to bytes of a file: what gzip reaches at best (1032), and a little more."""

LARGEST_SLICE = 2**28
"""Values of a slice; more than any detector or scanner gives."""

MOST_OBJECTS = 10_000
"""Groups and variables; a posterior file has some fifty."""

Group = Any
"""A group, dataset or file of h5py, which is typed loosely."""

NOT_A_VARIABLE = b"This is a netCDF dimension but not a netCDF variable"


@contextmanager
def reading(path: Path) -> Iterator[Any]:
    """Yield an ``h5py.File`` that holds all of its values itself.

    HDF5 refuses a file that is locked by its writer, and one that this process has open with
    another setting of locks; one of the two settings always works.

    Raises:
        OSError: If the file is missing, no plain file, or its structure is damaged.
        ValueError: If values lie in other files, or the structure is one that no writer of
            posterior files makes.
    """
    import h5py

    if not path.is_file():  # a pipe would be waited for without an end
        raise OSError("no plain file" if path.exists() else "no such file")
    try:
        file = h5py.File(path, "r")
    except OSError:
        file = h5py.File(path, "r", locking=False)
    with file:
        _require_own(file, path.stat().st_size, set())
        yield file


def _require_own(group: Group, size: int, seen: set[Group]) -> None:
    """Refuse values of other files, groups that are met twice, and sizes that cannot be true.

    Args:
        group: Group that is checked with everything below it.
        size: Bytes of the file.
        seen: Groups and variables met so far; this one and what it holds join them.
    """
    import h5py

    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise ValueError(f"{group.name}: {name!r} is a link, and a posterior file has none")
        item = group[name]
        if item in seen or len(seen) > MOST_OBJECTS:
            raise ValueError(f"{item.name}: is held twice, or is one of too many")
        seen.add(item)
        if isinstance(item, h5py.Group):
            _require_own(item, size, seen)
        elif isinstance(item, h5py.Dataset):
            _require_plain(item, size)


def _require_plain(dataset: Group, size: int) -> None:
    if dataset.external or dataset.is_virtual:
        raise ValueError(f"{dataset.name}: its values lie in another file")
    if dataset.shape is None or dataset.dtype.kind not in "biufc":
        raise ValueError(f"{dataset.name}: holds {dataset.dtype} values, no numbers")
    if dataset.nbytes > MOST_COMPRESSED * size:
        raise ValueError(
            f"{dataset.name}: claims {dataset.nbytes:.3g} bytes in a file of {size:.3g}"
        )
    if math.prod(dataset.shape[-2:]) > LARGEST_SLICE:
        raise ValueError(f"{dataset.name}: claims slices of {dataset.shape[-2:]} values")


def variables(group: Group) -> Iterator[tuple[str, Any]]:
    """Yield the path and the dataset of every variable under a group.

    Neither dimensions without values nor types that were stored under a name are variables.
    """
    import h5py

    for item in group.values():
        if isinstance(item, h5py.Group):
            yield from variables(item)
        elif isinstance(item, h5py.Dataset) and not _is_dimension(item):
            yield str(item.name), item


def _is_dimension(dataset: Group) -> bool:
    return bytes(dataset.attrs.get("NAME", b"")).startswith(NOT_A_VARIABLE)


def dimensions(dataset: Group) -> tuple[str, ...]:
    """Return the names of a variable's dimensions."""
    if dataset.is_scale:
        return (dataset.name.rpartition("/")[2],)
    names = [scales[0].name if len(scales) else "" for scales in dataset.dims]
    return tuple(name.rpartition("/")[2] for name in names)


def byte_offset(dataset: Group) -> int:
    """Return where an uncompressed variable begins in its file."""
    offset = dataset.id.get_offset()
    if offset is None:
        raise ValueError(f"{dataset.name} is not stored in one piece")
    return int(offset)


def short(error: BaseException) -> str:
    """Return the first line of an error, for messages of one line."""
    return (str(error) or type(error).__name__).splitlines()[0][:120]
