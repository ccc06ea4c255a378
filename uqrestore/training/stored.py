"""Slices of HDF5 files, read once; those that cannot be used are named and left out."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch

from uqrestore.training.config import DataConfig
from uqrestore.training.data import DataError, Skip, Slices, Stored

PLACES = ("z_mm", "z_index")
"""Data sets that may say where along the axis a slice was, the first that is there."""


def load_slices(folder: Path, config: DataConfig, split: str) -> Slices:
    """Read the slices of one split, as :func:`load_stored` does, without their places."""
    return load_stored(folder, config, split).slices


def load_stored(
    folder: Path, config: DataConfig, split: str, skip: Skip = lambda _: None
) -> Stored:
    """Read the slices of one split from every HDF5 file of the configuration.

    Heights come from a data set ``z_mm`` or ``z_index`` beside the slices, between the lowest and
    the highest of each ``subject``; without one they are not known.

    Args:
        folder: Where the files are.
        config: Names of files and variable, and the shape wanted.
        split: Group to read, such as ``train``; files without it are passed over.
        skip: Told of every slice that is left out.

    Raises:
        DataError: If a file is missing or unreadable, its slices have another shape, or nothing
            that can be used is found at all.
    """
    parts = [part for name in config.files for part in _read(folder / name, config, split, skip)]
    if not sum(len(part.slices) for part in parts):
        raise DataError(
            f"{folder}: no slices of variable {config.variable!r} in group {split!r} of "
            f"{', '.join(config.files) or 'no files'}; name the files in data.files."
        )
    return Stored(
        torch.cat([part.slices for part in parts]), torch.cat([part.height for part in parts])
    )


def _read(path: Path, config: DataConfig, split: str, skip: Skip) -> Iterator[Stored]:
    if not path.is_file():
        raise DataError(f"{path}: no such file; give the folder of the training data by --data.")
    try:
        with h5py.File(path) as file:
            if f"{split}/{config.variable}" not in file:
                return
            group: Any = file[split]
            stored = group[config.variable]
            scale = float(np.asarray(stored.attrs.get("scale_factor", 1.0)).item())
            values, kept = _values(stored, f"{path.name}: {split}/{config.variable}", skip)
            height = _height(group, len(stored))[kept]
    except OSError as error:
        raise DataError(f"{path}: not a readable HDF5 file ({error}).") from error
    values = values[:, None] if values.ndim == 3 else values
    if values.shape[1:] != config.slice_shape:
        raise DataError(
            f"{path}: slices have shape {values.shape[1:]} but data.shape"
            f"{' and data.windows_of ask' if config.windows_of else ' asks'} for "
            f"{config.slice_shape}."
        )
    if values.dtype != np.uint8:
        values = np.round(np.clip(values * scale, 0, 1) * 255).astype(np.uint8)
    yield Stored(torch.from_numpy(values), torch.from_numpy(height))


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


def _height(group: Any, count: int) -> np.ndarray:  # noqa: ANN401 - h5py
    """Return where each slice lies between the ends of its subject, NaN where nothing says so."""
    name = next((place for place in PLACES if place in group), None)
    if name is None:
        return np.full(count, np.nan, np.float32)
    place = np.asarray(group[name][()], np.float64)
    subject = np.asarray(group["subject"][()]) if "subject" in group else np.zeros(count)
    height = np.full(count, np.nan, np.float32)
    for who in np.unique(subject):
        own = subject == who
        low, high = place[own].min(), place[own].max()
        height[own] = (place[own] - low) / max(high - low, 1e-9)
    return height
