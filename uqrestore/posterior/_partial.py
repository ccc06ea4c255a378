"""Partial files: an HDF5 skeleton made once, and slabs written at fixed offsets in it.

A partial file has the groups and names of a finished one, so any HDF5 reader opens it. Its draws
lie uncompressed at fixed offsets. After the skeleton is made no byte of HDF5's own structure
changes again, so no kill, at whatever moment, can make the file unreadable.
"""

import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from uqrestore._shared.files import create_new, open_locked, temporary_name
from uqrestore.posterior import _layout as layout
from uqrestore.posterior._bytes import RawArray, Sink, Uninterrupted, reserve
from uqrestore.posterior._hdf5 import UNREADABLE, Group, byte_offset, reading, short
from uqrestore.posterior.errors import PosteriorBusyError, PosteriorDamagedError, PosteriorError
from uqrestore.posterior.plan import PosteriorPlan

SAME_MEASUREMENT = 1e-4  # relative to the largest value; another machine may round differently


@dataclass(frozen=True, eq=False)
class Slabs:
    """The growing arrays of a partial file, by name, and which slabs of them are whole.

    Attributes:
        file: The partial file, locked.
        arrays: ``/posterior/image``, ``/posterior/valid``, ... at their places.
        valid: (draw, slice): written, and equal to its checksum when the file was opened.
    """

    file: BinaryIO
    arrays: dict[str, RawArray]
    valid: np.ndarray

    def read(self, draw: int, position: int, rows: slice | None = None) -> np.ndarray:
        """Return one image (channel, row, column), or a band of its rows."""
        images = self.arrays["/posterior/image"]
        if len(images.shape) == 5:
            return images.read((0, draw, position), rows)[None]
        places = range(images.shape[2])
        return np.stack([images.read((0, draw, c, position), rows) for c in places])

    def write(self, draw: int, position: int, image: np.ndarray, numbers: dict[str, Any]) -> None:
        """Write one image, the numbers that go with it, and last the mark that it is there."""
        images = self.arrays["/posterior/image"]
        if len(images.shape) == 5:
            images.write((0, draw, position), image[0])
        else:
            for channel, plane in enumerate(image):
                images.write((0, draw, channel, position), plane)
        for path, value in numbers.items():
            array = self.arrays[path]
            index = (draw, position) if len(array.shape) == 2 else (0, draw, position)
            array.write(index, np.asarray(value))
        self.arrays["/writing/crc32"].write((draw, position), np.asarray(checksum(image)))
        self.arrays["/posterior/valid"].write((0, draw, position), np.asarray(1))
        self.valid[draw, position] = True


def checksum(image: np.ndarray) -> int:
    """Return the CRC-32 of an image's float32 bytes."""
    return zlib.crc32(memoryview(np.ascontiguousarray(image, "<f4")).cast("B"))  # type: ignore[arg-type]


def growing(plan: PosteriorPlan) -> dict[str, tuple[tuple[str, ...], str]]:
    """Return the dimensions and dtype of every array that grows slab by slab."""
    each = ("chain", "draw", "z")
    return {
        "/posterior/valid": (each, "u1"),
        **{f"/sample_stats/{name}": (each, "<f4") for name in plan.stats},
        **{f"/parameters/{p.name}": ((*each, *p.dims), "<f4") for p in plan.parameters},
        "/writing/crc32": (("draw", "z"), "<u4"),
        "/writing/nfe": (("draw", "z"), "<i4"),
        "/writing/wall_s": (("draw", "z"), "<f4"),
        # Last in the file: where space was not reserved, a disk fills up here and the marks of
        # the slabs before still find their place.
        "/posterior/image": (("chain", "draw", *plan.image_dims), "<f4"),
    }


def create(part: Path, plan: PosteriorPlan, *, replace: bool) -> Slabs:
    """Make the skeleton under a temporary name, reserve its space, give it its name.

    Args:
        part: The partial file.
        plan: Content of the file.
        replace: Replace a partial file that is there.

    Raises:
        PosteriorBusyError: If another process has begun the same file in the meantime.
        OSError: If the disk has no room; nothing is left.
    """
    temporary = temporary_name(part)
    try:
        file = create_new(temporary, wait=False)
    except BlockingIOError as error:
        raise _busy(part) from error
    try:
        # The final name is given only while the temporary one is held, so this cannot go stale.
        if not replace and os.path.lexists(part):
            raise _busy(part)
        sink = Sink(file)
        with Uninterrupted():
            places = _skeleton(sink, plan)
        sink.check()
        reserve(file, file.seek(0, os.SEEK_END))
        os.fsync(file.fileno())
        temporary.replace(part)
    except BaseException:
        file.close()
        temporary.unlink(missing_ok=True)
        raise
    valid = np.zeros((plan.draws, len(plan.slices)), bool)
    return Slabs(file, _arrays(file, places, plan), valid)


def resume(part: Path, plan: PosteriorPlan) -> Slabs | None:
    """Open a partial file to write on; None if it holds nothing worth keeping.

    Every slab is checked against its checksum; one that does not match is written again.

    Raises:
        PosteriorError: If it is another run's, is being written by another process, or is
            damaged.
    """
    file = lock(part)
    try:
        try:
            with reading(part) as tree:
                same = _belongs(tree, plan)
                places = {path: byte_offset(tree[path]) for path in growing(plan)} if same else {}
                reason = "" if same else _difference(tree, plan)
                begun = bool(np.asarray(tree["/posterior/valid"][...]).any())
        except UNREADABLE as error:
            raise PosteriorDamagedError(
                f"{part}: is damaged or not a partial posterior file ({short(error)}); delete it "
                "or pass --overwrite to start again."
            ) from error
        if not same and begun:
            raise PosteriorError(
                f"{part}: holds draws of another run ({reason}); finish that run, or pass "
                "--overwrite to throw them away."
            )
        if not same:
            file.close()
            return None
        arrays = _arrays(file, places, plan)
        slabs = Slabs(file, arrays, arrays["/posterior/valid"].read((0,)) == 1)
        _drop_damaged(slabs)
    except BaseException:
        file.close()
        raise
    return slabs


def lock(path: Path) -> BinaryIO:
    """Open a partial file for reading and writing that no other process writes.

    Raises:
        PosteriorBusyError: If another process has it.
        PosteriorError: If it is a link, a folder or a device.
    """
    if path.is_symlink() or not path.is_file():
        raise PosteriorError(f"{path}: is a link or no plain file; remove it or rename the output.")
    try:
        return open_locked(path)
    except BlockingIOError as error:
        raise _busy(path) from error


def _busy(path: Path) -> PosteriorBusyError:
    return PosteriorBusyError(f"{path}: is being written by another process; wait for it to end.")


def _skeleton(sink: Sink, plan: PosteriorPlan) -> dict[str, int]:
    import h5netcdf
    import h5py

    fixed = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    fixed.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    fixed.set_fill_time(h5py.h5d.FILL_TIME_NEVER)  # zeros until written: nothing is valid
    sizes, known = _sizes(plan), {p.name: p for p in plan.parameters}
    with h5netcdf.File(sink, "w") as file:
        layout.write_known(file, plan, "partial")
        places = {}
        for path, (dims, dtype) in growing(plan).items():
            name = path.split("/")[1]
            group = file[name] if name in file.groups else file.create_group(name)
            layout.declare(group, dims, tuple(sizes[dim] for dim in dims))
            if name != "writing" and "draw" not in group.variables:
                layout.draw_dimensions(group, range(plan.draws))
            variable = group.create_variable(path.split("/")[2], dims, dtype, dcpl=fixed)
            if name == "parameters":
                variable.attrs.update(layout.about_parameter(known[path.split("/")[2]]))
            places[path] = byte_offset(variable._h5ds)
    return places


def _arrays(file: BinaryIO, places: dict[str, int], plan: PosteriorPlan) -> dict[str, RawArray]:
    sizes = _sizes(plan)
    return {
        path: RawArray(file, places[path], tuple(sizes[d] for d in dims), np.dtype(dtype))
        for path, (dims, dtype) in growing(plan).items()
    }


def _sizes(plan: PosteriorPlan) -> dict[str, int]:
    """Return the size of every dimension of what grows."""
    sizes = {"chain": 1, "draw": plan.draws, "z": len(plan.slices)}
    sizes |= dict(zip(plan.image_dims, plan.image_shape, strict=True))
    for parameter in plan.parameters:
        sizes |= dict(zip(parameter.dims, parameter.shape, strict=True))
    return sizes


def _belongs(tree: Group, plan: PosteriorPlan) -> bool:
    if tree.attrs["plan_sha256"] != plan.digest:
        return False
    pairs = [
        (tree["/observed_data/y"][...], plan.y[1]),
        (tree["/observed_data/noise_std"][...], np.asarray(plan.noise_std, np.float64)),
    ]
    return all(
        old.shape == new.shape
        and np.abs(old - new).max(initial=0) <= SAME_MEASUREMENT * np.abs(new).max(initial=0)
        for old, new in pairs
    )


def _difference(tree: Group, plan: PosteriorPlan) -> str:
    begun_with = str(tree.attrs["fingerprint"])
    if begun_with != plan.fingerprint:
        return f"fingerprint {begun_with[:12]}, this run's is {plan.fingerprint[:12]}"
    return "the same pipeline, but other slices, draws or measurements"


def _drop_damaged(slabs: Slabs) -> None:
    expected = slabs.arrays["/writing/crc32"].read()
    for draw, position in np.argwhere(slabs.valid).tolist():
        if checksum(slabs.read(draw, position)) != expected[draw, position]:
            slabs.valid[draw, position] = False
            slabs.arrays["/posterior/valid"].write((0, draw, position), np.asarray(0))
