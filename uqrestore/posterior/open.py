"""Open posterior files: as an xarray tree, and the operator they were measured with."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uqrestore.posterior import schema
from uqrestore.posterior._hdf5 import UNREADABLE, Group, reading, short
from uqrestore.posterior.errors import PosteriorError
from uqrestore.posterior.integrity import intact
from uqrestore.scans.placement import Placement

if TYPE_CHECKING:
    import xarray as xr

    from uqrestore.operators import LinearOperator
    from uqrestore.operators.nonlinear import NonlinearOperator


def open_posterior(path: Path | str) -> "xr.DataTree":
    """Open a finished or partial posterior file; nothing is loaded until it is used.

    ``xarray.open_datatree(path)`` does the same for a finished file. In the draws of a partial
    file NaN stands where a slab is not written yet.

    Raises:
        PosteriorError: If the file is missing or is no posterior file.
    """
    path = Path(path)
    partial = root_attributes(path)["status"] != "complete"
    tree = _tree(path, locked=not partial)
    if partial:
        from uqrestore.posterior._unwritten import where_written

        posterior: Any = tree["posterior"]
        posterior["image"] = where_written(posterior["image"], posterior["valid"])
    return tree


def _tree(path: Path, *, locked: bool) -> "xr.DataTree":
    """Open a file with locks, if asked for; without them where that fails.

    HDF5 refuses a file on a drive that grants no locks, and one that this process has open with
    another setting of locks.
    """
    import xarray as xr

    # Stated, for variables without named dimensions are warned of otherwise.
    options: dict[str, Any] = {"engine": "h5netcdf", "phony_dims": "access"}
    if locked:
        with suppress(*UNREADABLE):
            return xr.open_datatree(path, **options)
    try:
        return xr.open_datatree(path, driver_kwds={"locking": False}, **options)
    except UNREADABLE as error:
        raise PosteriorError(f"{path}: cannot be read ({short(error)}).") from error


def read_operator(path: Path | str) -> "LinearOperator | NonlinearOperator":
    """Rebuild the operator of a posterior file, from the file alone.

    Raises:
        PosteriorError: If the file is missing or is no posterior file.
    """
    from uqrestore.operators import from_data

    with _part_of(Path(path), "operator") as file:
        attrs = file["operator"].attrs
        return from_data(str(attrs["class"]), json.loads(attrs["params"]), schema.read_arrays(file))


def read_noise(path: Path | str) -> str | None:
    """Return the noise model of a posterior file as JSON; None where it states none.

    Raises:
        PosteriorError: If the file is missing or is no posterior file.
    """
    with _part_of(Path(path), "noise model") as file:
        stated = file["observed_data"].attrs.get("noise_model")
        return None if stated is None else str(stated)


def read_placement(path: Path | str) -> Placement:
    """Return the placement of the slices of a posterior file on the grid of the scan.

    Raises:
        PosteriorError: If the file is missing or is no posterior file.
    """
    with _part_of(Path(path), "placement") as file:
        return Placement.from_data(json.loads(file["affine"].attrs["placement"]))


@contextmanager
def _part_of(path: Path, what: str) -> Iterator[Group]:
    """Open a file for a part that every posterior file has, and say so where it lacks it."""
    root_attributes(path)
    try:
        with reading(path) as file:
            yield file
    except UNREADABLE as error:
        raise PosteriorError(
            f"{path}: its {what} cannot be read ({short(error)}); make it again."
        ) from error


def is_complete(path: Path | str, fingerprint: str) -> bool:
    """Return True if a file is finished, of this fingerprint, and whole to the last byte.

    Batches use it to skip what is done; a damaged file is not done.
    """
    path = Path(path)
    try:
        if not intact(path):
            return False
        root = root_attributes(path)
    except (PosteriorError, OSError):
        return False
    return root["status"] == "complete" and root["fingerprint"] == fingerprint


def root_attributes(path: Path) -> dict[str, Any]:
    """Return the attributes of the root.

    Raises:
        PosteriorError: If the file is missing or is no posterior file.
    """
    if path.is_dir():
        raise PosteriorError(f"{path}: is a folder; give one posterior file.")
    if not path.exists():
        raise PosteriorError(f"{path}: does not exist; check the path.")
    if not path.is_file():
        raise PosteriorError(f"{path}: is a device or a pipe; give one posterior file.")
    try:
        with reading(path) as file:
            root = dict(file.attrs)
            schema_of = re.search(r"uqrestore-(\d+)", str(root.get("Conventions", "")))
            if schema_of is None:
                raise PosteriorError(f"{path}: is HDF5 but not a posterior file of uqrestore.")
            fault = next(schema.structure_faults(file), None) if schema_of[1] == "1" else None
    except PosteriorError:
        raise
    except ValueError as error:
        raise PosteriorError(f"{path}: is refused, for {short(error)}.") from error
    except UNREADABLE as error:
        raise PosteriorError(
            f"{path}: is not an HDF5 file or is damaged ({short(error)})."
        ) from error
    if fault is not None:
        raise PosteriorError(f"{path}: is malformed ({fault}); make it again.")
    return root
