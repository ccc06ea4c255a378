"""Training images: slices from HDF5 files, and small random changes to them."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from uqrestore.training.config import DataConfig

Slices = UInt8[Tensor, "slice channel row column"]
Images = Float[Tensor, "batch channel row column"]


class DataError(ValueError):
    """The training data cannot be used as they are; the text says why and what to do."""


def load_slices(folder: Path, config: DataConfig, split: str) -> Slices:
    """Read the slices of one split from every HDF5 file of the configuration.

    Slices are kept as bytes (255 is the top of the range) so that all fit in memory.

    Args:
        folder: Where the files are.
        config: Names of files and variable, and the shape wanted.
        split: Group to read, such as ``train``; files without it are passed over.

    Raises:
        DataError: If a file is missing or unreadable, a slice has another shape, or nothing is
            found at all.
    """
    parts = [part for name in config.files for part in _read(folder / name, config, split)]
    if not parts:
        raise DataError(
            f"{folder}: no slices of variable {config.variable!r} in group {split!r} of "
            f"{', '.join(config.files) or 'no files'}; name the files in data.files."
        )
    return torch.cat(parts)


def _read(path: Path, config: DataConfig, split: str) -> list[Tensor]:
    if not path.is_file():
        raise DataError(f"{path}: no such file; give the folder of the training data by --data.")
    try:
        with h5py.File(path) as file:
            if f"{split}/{config.variable}" not in file:
                return []
            stored: Any = file[f"{split}/{config.variable}"]
            values = stored[()]
            scale = float(np.asarray(stored.attrs.get("scale_factor", 1.0)).item())
    except OSError as error:
        raise DataError(f"{path}: not a readable HDF5 file ({error}).") from error
    values = values.reshape(len(values), -1, *values.shape[-2:])
    if values.shape[1:] != config.slice_shape:
        raise DataError(
            f"{path}: slices have shape {values.shape[1:]} but data.shape"
            f"{' and data.windows_of ask' if config.windows_of else ' asks'} for "
            f"{config.slice_shape}."
        )
    if values.dtype != np.uint8:
        values = np.round(np.clip(values * scale, 0, 1) * 255).astype(np.uint8)
    return [torch.from_numpy(values)]


def to_network(slices: Slices) -> Images:
    """Map bytes to network units: 0 to -1, 255 to 1."""
    return slices.float() / 127.5 - 1


def augment(images: Images, generator: torch.Generator) -> Images:
    """Change each image a little: flip left-right, rotate, scale, shift, brighten.

    Every other image is flipped. One in three is rotated within 10 degrees, scaled within 10
    percent and shifted within 5 percent of the side; not all, because interpolation blurs and
    the prior would learn to blur. Intensities are bent by a gamma of ``exp(N(0, 0.1^2))`` and
    scaled by 0.9 to 1. The last axis is left-right. The background stays at -1.

    Args:
        images: Slices in network units, background -1.
        generator: Where every random number comes from.
    """
    count = len(images)

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, generator=generator)

    flip = uniform(0.0, 1.0) < 0.5
    images = torch.where(flip[:, None, None, None], images.flip(-1), images)
    angle, scale = uniform(-1.0, 1.0) * math.radians(10), torch.exp(uniform(-0.1, 0.1))
    cos, sin = angle.cos() * scale, angle.sin() * scale
    columns = torch.stack([cos, -sin, uniform(-0.1, 0.1)], dim=1)
    rows = torch.stack([sin, cos, uniform(-0.1, 0.1)], dim=1)
    grid = F.affine_grid(torch.stack([columns, rows], dim=1), list(images.shape), False)
    unit = (images + 1) / 2
    moved = F.grid_sample(unit, grid, align_corners=False, padding_mode="zeros")
    unit = torch.where((uniform(0.0, 1.0) < 1 / 3)[:, None, None, None], moved, unit)
    gamma = torch.exp(0.1 * torch.randn(count, generator=generator))
    gain = uniform(0.9, 1.0)
    unit = gain[:, None, None, None] * unit.clamp(0, 1) ** gamma[:, None, None, None]
    return 2 * unit - 1


def step_generator(seed: int, *key: int) -> torch.Generator:
    """Return the random stream of one training step, so that a resumed run repeats nothing."""
    state = np.random.SeedSequence((seed, *key)).generate_state(1, np.uint64).item()
    return torch.Generator().manual_seed(state)


Source = Callable[[int, torch.Generator], Images]
"""``(count, generator) -> training images`` in network units."""


def slices_source(slices: Slices, config: DataConfig) -> Source:
    """Draw from stored slices at random, with replacement, and augment them."""

    def draw(count: int, generator: torch.Generator) -> Images:
        index = torch.randint(len(slices), (count,), generator=generator)
        images = to_network(slices[index])
        return augment(images, generator) if config.augment == "brain" else images

    return draw
