"""Validation of a posterior file, down to a changed byte: every fault has a name."""

import hashlib
import json
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from uqrestore.posterior import _layout as layout
from uqrestore.posterior._hdf5 import UNREADABLE, Group, dimensions, reading, short, variables
from uqrestore.posterior._partial import checksum
from uqrestore.posterior.integrity import in_child, intact
from uqrestore.posterior.schema import HASH_OF_ALL, read_arrays, structure_faults
from uqrestore.scans.placement import Placement

BLOCK_BYTES = 16 * 2**20


def validate(path: Path | str) -> list[str]:
    """Check a posterior file: names, dimensions, units of geometry, and every byte.

    A finished file carries the SHA-256 of each array and of the whole file, so one flipped byte
    anywhere is found, and named if it lies in an array. A partial file carries a checksum for
    each slab.

    Args:
        path: A finished or partial posterior file.

    Returns:
        Faults, each with its place; empty if the file is sound.
    """
    path = Path(path)
    if not path.is_file():
        return [f"{path}: is a folder" if path.is_dir() else f"{path}: does not exist"]
    sound = intact(path)
    if sound is not False:
        return named_faults(path, digest=sound is not None)
    named = in_child("uqrestore.posterior.validation:named_faults", path)
    if named is None:
        named = ["file: its structure is damaged beyond reading"]
    return ["file: a byte has changed since it was written (SHA-256 differs)", *named]


def named_faults(path: Path | str, *, digest: bool = True) -> list[str]:
    """Check everything but the digest of the whole file; on a damaged file HDF5 may not return.

    Args:
        path: A finished or partial posterior file.
        digest: True if the file holds a digest of itself.
    """
    try:
        with reading(Path(path)) as file:
            return list(_faults(file, digest))
    except ValueError as error:
        return [f"file: {short(error)}"]
    except UNREADABLE as error:
        return [f"file: is not HDF5, or its structure is damaged ({short(error)})"]


def _faults(file: Group, digest: bool) -> Iterator[str]:
    conventions = str(file.attrs.get("Conventions", ""))
    if layout.CONVENTIONS.split()[-1] not in conventions:
        yield f"/: Conventions is {conventions!r}, so this is no uqrestore-1 posterior file"
        return
    yield from structure_faults(file)
    complete = str(file.attrs.get("status")) == "complete"
    for name, variable in variables(file):
        yield from _hash_faults(name, variable, complete)
    try:
        yield from _geometry_faults(file)
        yield from _operator_faults(file)
        yield from (_estimate_faults(file) if complete else _slab_faults(file))
        yield from _parameter_faults(file)
        valid = np.asarray(file["/posterior/valid"][...])
    except UNREADABLE as error:
        yield f"file: cannot be checked further ({short(error)})"
        return
    if complete and not valid.all():
        yield f"/posterior/valid: {int((valid != 1).sum())} slabs of a complete file are missing"
    if complete and not digest:
        yield "/integrity/file_sha256: the file's own SHA-256 is missing or damaged"


def blocks(variable: Group) -> Iterator[np.ndarray]:
    """Yield a variable's values in C order, in pieces that fit in memory."""
    shape, lead = variable.shape, 0
    while len(shape) - lead > 2 and variable.dtype.itemsize * math.prod(shape[lead:]) > BLOCK_BYTES:
        lead += 1
    for index in np.ndindex(*shape[:lead]):
        yield np.asarray(variable[index])


def _hash_faults(name: str, variable: Group, complete: bool) -> Iterator[str]:
    try:
        wanted = variable.attrs.get("sha256")
        if wanted is None:
            if complete and name != HASH_OF_ALL:
                yield f"{name}: has no SHA-256 of its own"
            return
        digest = hashlib.sha256()
        for block in blocks(variable):
            digest.update(np.ascontiguousarray(block, block.dtype.newbyteorder("<")).tobytes())
    except UNREADABLE as error:
        yield f"{name}: cannot be read ({short(error)})"
        return
    if digest.hexdigest() != str(wanted):
        yield f"{name}: its values are not those that were written (SHA-256 differs)"


def _geometry_faults(file: Group) -> Iterator[str]:
    model = Placement.from_data(json.loads(file["affine"].attrs["placement"])).model
    index = np.asarray(file["slice"][...])
    if index.min() < 0 or index.max() >= model.shape[2] or (np.diff(index) < 1).any():
        yield f"/slice: indices do not increase within 0 ... {model.shape[2] - 1}"
        return
    for axis, name in enumerate("xyz"):
        wanted = model.coordinates(axis)
        wanted = wanted[index] if name == "z" else wanted
        found = np.asarray(file[name][...])
        if found.shape != wanted.shape or not np.allclose(found, wanted, atol=1e-3):
            yield f"/{name}: coordinates are not those of the affine"


def _operator_faults(file: Group) -> Iterator[str]:
    attrs = file["operator"].attrs
    arrays = read_arrays(file)
    found = layout.operator_sha256(str(attrs["class"]), json.loads(attrs["params"]), arrays)
    if found != attrs["sha256"]:
        yield "/operator: name, parameters and arrays are not those that were written"


def _estimate_faults(file: Group) -> Iterator[str]:
    estimate = file["estimate"]
    for block in blocks(estimate["std"]):
        if (block < 0).any():
            yield "/estimate/std: holds negative values"
            break
    if "pc" not in estimate:
        return
    pc, std = estimate["pc"], np.asarray(estimate["pc_std"][...])
    dims = dimensions(pc)
    axes = dims.index("component"), dims.index("z")
    norm = np.zeros(std.shape)
    for index in np.ndindex(*pc.shape[:-2]):
        norm[index[axes[0]], index[axes[1]]] += (pc[index].astype(np.float64) ** 2).sum()
    if not np.allclose(norm[std > 0], 1, atol=1e-3):
        yield "/estimate/pc: a component does not have unit norm"


def _parameter_faults(file: Group) -> Iterator[str]:
    for name, variable in variables(file["parameters"]) if "parameters" in file else ():
        if not np.isfinite(variable[...]).all():
            yield f"{name}: holds NaN or infinite values"


def _slab_faults(file: Group) -> Iterator[str]:
    images, expected = file["/posterior/image"], np.asarray(file["/writing/crc32"][...])
    valid = np.asarray(file["/posterior/valid"][...])[0]
    for draw, position in np.argwhere(valid == 1).tolist():
        image = np.asarray(images[(0, draw, ..., position, slice(None), slice(None))])
        if checksum(image) != expected[draw, position]:
            yield f"/posterior/image: draw {draw}, z {position} is damaged; it will be drawn again"
