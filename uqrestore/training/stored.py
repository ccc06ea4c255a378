"""Slices of HDF5 files, read once; slices that cannot be used are named and left out."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch

from uqrestore.training.config import DataConfig
from uqrestore.training.data import DataError, Skip, Slices, Stored

PLACES = ("z_mm", "z_index")
"""Data sets of the place of a slice along the axis; the first that is there is read."""


def load_slices(folder: Path, config: DataConfig, split: str) -> Slices:
    """Read the slices of one split, as :func:`load_stored` does, without their places."""
    return load_stored(folder, config, split).slices


def load_stored(
    folder: Path, config: DataConfig, split: str, skip: Skip = lambda _: None
) -> Stored:
    """Read the slices of one split from every HDF5 file of the configuration.

    People come from a data set ``subject`` beside the slices; where there is a data set ``group``,
    the records of one group are one person. Heights come from a data set ``z_mm`` or ``z_index``,
    between the lowest and the highest of each person. Without these they are not known.

    Args:
        folder: Where the files are.
        config: Names of files and variable, and the shape wanted.
        split: Group to read, such as ``train``; files without it are passed over.
        skip: Called with a line on every slice that is left out.

    Raises:
        DataError: If a file is missing or unreadable, its slices have another shape, or nothing
            that can be used is found at all.
    """
    parts = [part for name in config.files for part in _read(folder, name, config, split, skip)]
    if not sum(len(part.slices) for part in parts):
        names = " or ".join(sorted(map(repr, set(config.variables.values())))) or config.variable
        raise DataError(
            f"{folder}: no slices of variable {names} in group {split!r} of "
            f"{', '.join(config.files) or 'no files'}; name the files in data.files."
        )
    return Stored.join(parts)


def _read(folder: Path, name: str, config: DataConfig, split: str, skip: Skip) -> Iterator[Stored]:
    path, variable = folder / name, config.variables[name]
    if not path.is_file():
        raise DataError(f"{path}: no such file; give the folder of the training data by --data.")
    try:
        with h5py.File(path, "r", locking=False) as file:
            if f"{split}/{variable}" not in file:
                return
            group: Any = file[split]
            stored = group[variable]
            if not isinstance(stored, h5py.Dataset):
                inside = ", ".join(
                    name for name in stored if isinstance(stored[name], h5py.Dataset)
                )
                raise DataError(
                    f"{path}: {split}/{variable} is a group, not a data set of slices; name "
                    f"one by data.variable (in the group: {inside or 'no data set'})."
                )
            if stored.ndim not in (3, 4):
                raise DataError(
                    f"{path}: {split}/{variable} has shape {stored.shape}; slices are "
                    "(slice, row, column) or (slice, channel, row, column)."
                )
            scale = float(np.asarray(stored.attrs.get("scale_factor", 1.0)).item())
            values, kept = _values(stored, f"{path.name}: {split}/{variable}", skip)
            person = _people(group, len(stored), path.name)
            height = _height(group, person)[kept]
    except OSError as error:
        raise DataError(f"{path}: not a readable HDF5 file ({error}).") from error
    values = values[:, None] if values.ndim == 3 else values
    if values.shape[1:] != config.slice_shape:
        raise DataError(
            f"{path}: slices have shape {values.shape[1:]} but data.shape"
            f"{' and data.windows_of ask' if config.windows_of else ' asks'} for "
            f"{config.slice_shape}."
        )
    if name in config.from_anterior:
        values = values[..., ::-1, :].copy()
    if values.dtype != np.uint8:
        values = np.round(np.clip(values * scale, 0, 1) * 255).astype(np.uint8)
    yield Stored(torch.from_numpy(values), torch.from_numpy(height), tuple(person[kept]))


def _values(stored: Any, name: str, skip: Skip) -> tuple[np.ndarray, np.ndarray]:  # noqa: ANN401
    """Return the slices that can be used, and their indices."""
    try:
        values = stored[()]
    except OSError:  # a damaged chunk: read what the others hold
        values = np.zeros(stored.shape, stored.dtype)
        damaged = set()
        for index in range(len(stored)):
            try:
                values[index] = stored[index]
            except OSError as error:
                damaged.add(index)
                skip(f"{name}[{index}]: cannot be read ({error})")
        good = np.array([index not in damaged for index in range(len(stored))])
    else:
        good = np.ones(len(values), bool)
    finite = np.isfinite(values).reshape(len(values), -1).all(1)
    for index in np.flatnonzero(good & ~finite):
        skip(f"{name}[{index}]: holds NaN or infinity")
    kept = np.flatnonzero(good & finite)
    return values[kept], kept


def _people(group: Any, count: int, file: str) -> np.ndarray:  # noqa: ANN401 - h5py
    """Return the name of the person of each slice, empty where it is not known."""
    if "group" in group:  # numbers of this file
        return np.array([f"{file} group {number}" for number in group["group"][()]], object)
    if "subject" not in group:
        return np.full(count, "", object)
    names = group["subject"][()]
    return np.array([n.decode() if isinstance(n, bytes) else str(n) for n in names], object)


def _height(group: Any, person: np.ndarray) -> np.ndarray:  # noqa: ANN401 - h5py
    """Return the height of each slice between the ends of its person, NaN where not known."""
    name = next((place for place in PLACES if place in group), None)
    height = np.full(len(person), np.nan, np.float32)
    if name is None:
        return height
    place = np.asarray(group[name][()], np.float64)
    for who in np.unique(person):
        own = person == who
        low, high = place[own].min(), place[own].max()
        height[own] = (place[own] - low) / max(high - low, 1e-9)
    return height
