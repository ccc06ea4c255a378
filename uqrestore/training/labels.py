"""Fresh brain slices drawn from label maps: warp the anatomy, give each tissue a grey level."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from uqrestore.training.data import DataError, Drawn, Source


@dataclass(frozen=True, eq=False)
class LabelSlices:
    """Axial label slices of several people, on one square grid.

    Args:
        labels: Tissue classes; 0 is background. Rows run from back to front, columns from left
            to right.
        level: Mean grey level of each class in [0, 1]; 0 for the background.
        height: Of each slice between the lowest (0) and the highest (1) of its person.
        side: Pixels a side of the images to be drawn.
        supersample: Painted points a side of a pixel, before they are averaged.
        people: Names of the people.
    """

    labels: UInt8[Tensor, "slice row column"]
    level: Float[Tensor, " tissue"]
    height: Float[Tensor, " slice"]
    side: int
    supersample: int
    people: frozenset[str] = frozenset()


def load_labels(path: Path, split: str, side: int, voxel_mm: float = 3.0) -> LabelSlices:
    """Read label maps from HDF5 groups ``SPLIT/PERSON/label`` of shape ``(z, y, x)``, 1 mm, RAS+.

    The attribute ``t1_mean`` of each person gives the mean grey level of every class. Slices are
    centred on the brain and cover its 10th to 97th percentile in z.

    Args:
        path: The HDF5 file.
        split: Such as ``train``.
        side: Pixels a side of the images to be drawn.
        voxel_mm: Side of a pixel.

    Raises:
        DataError: If the file, the split or the grey levels are missing.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; give the folder of the training data by --data.")
    stacks, level = [], None
    with h5py.File(path, "r", locking=False) as file:
        people: Any = file.get(split)
        if people is None or len(people) == 0:
            raise DataError(f"{path}: no group {split!r} with label maps.")
        names = frozenset(people)
        for name, person in people.items():
            if "label" not in person or "t1_mean" not in person.attrs:
                raise DataError(
                    f"{path}: {split}/{name} needs a dataset 'label' (z, y, x) and an attribute "
                    "'t1_mean' with one grey level a class."
                )
            level = torch.tensor(np.asarray(person.attrs["t1_mean"]), dtype=torch.float32)
            stacks.append(_centred(person["label"][()], round(side * voxel_mm)))
    assert level is not None
    labels = torch.from_numpy(np.concatenate(stacks))
    height = torch.cat([torch.linspace(0, 1, len(stack)) for stack in stacks])
    return LabelSlices(labels, level, height, side, math.ceil(voxel_mm), names)


def _centred(volume: np.ndarray, size: int) -> np.ndarray:
    """Cut or pad every axial slice to ``size x size`` about the centre of the brain."""
    z, y, x = np.nonzero(volume)
    low, high = np.percentile(z, [10, 97]).astype(int)
    half = size // 2
    rows, columns = int(y.mean()) - half, int(x.mean()) - half
    padded = np.pad(volume[low:high], ((0, 0), (size, size), (size, size)))
    return padded[:, size + rows :, size + columns :][:, :size, :size]


def labels_source(slices: LabelSlices) -> Source:
    """Draw slices with T1-like contrast; never the same one twice.

    Each image gets an affine and an elastic warp (12 degrees, 9 percent scale, 3 percent shift,
    1 percent elastic), a flip, tissue levels of its own (0.04 standard deviation, grey-white
    contrast times 0.7 to 1.35), texture, a smooth bias field of up to 15 percent, and blur before
    it is averaged down, so that partial volume is as in a scan.
    """

    def draw(count: int, generator: torch.Generator) -> Drawn:
        index = torch.randint(len(slices.labels), (count,), generator=generator)
        labels, fine = slices.labels[index][:, None].float(), slices.supersample
        grid = _warp(count, slices.side * fine, generator)
        flip = torch.rand(count, generator=generator) < 0.5
        grid[..., 0] = torch.where(flip[:, None, None], -grid[..., 0], grid[..., 0])
        tissue = F.grid_sample(labels, grid, mode="nearest", align_corners=False)[:, 0].long()
        image = _paint(tissue, slices.level, generator)
        image = _blur(image, fine * _uniform(count, 0.25, 0.55, generator))
        image = F.avg_pool2d(image[:, None], fine)
        top = torch.stack([_percentile(one[one > 0.05], 0.995) for one in image])
        image = 2 * (image / top[:, None, None, None]).clamp(0, 1) - 1
        return Drawn(image, slices.height[index])

    return draw


def _uniform(count: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(count, generator=generator)


def _normal(*shape: int, generator: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=generator)


def _smooth(count: int, channels: int, knots: int, size: int, generator: torch.Generator) -> Tensor:
    """Draw smooth unit-variance fields ``(count, channels, size, size)`` from a coarse grid."""
    coarse = _normal(count, channels, knots, knots, generator=generator)
    return F.interpolate(coarse, (size, size), mode="bicubic", align_corners=True)


def _warp(count: int, size: int, generator: torch.Generator) -> Tensor:
    """Draw sampling grids ``(count, size, size, 2)``, columns first, in [-1, 1]."""
    angle = math.radians(12) * _uniform(count, -1.0, 1.0, generator)
    scale = 1 + 0.09 * (2 * torch.rand(count, 2, generator=generator) - 1)
    shear = 0.05 * (2 * torch.rand(count, 2, generator=generator) - 1)
    shift = 0.06 * (2 * torch.rand(count, 2, generator=generator) - 1)
    cos, sin = angle.cos(), angle.sin()
    turn = torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], 1)
    slant = torch.eye(2) + torch.stack(
        [
            torch.stack([torch.zeros(count), shear[:, 0]], -1),
            torch.stack([shear[:, 1], torch.zeros(count)], -1),
        ],
        1,
    )
    affine = torch.cat([turn @ slant * scale[:, None], shift[..., None]], dim=-1)
    grid = F.affine_grid(affine, [count, 1, size, size], align_corners=False)
    return grid + 0.02 * _smooth(count, 2, 6, size, generator).permute(0, 2, 3, 1)


def _paint(tissue: Tensor, level: Tensor, generator: torch.Generator) -> Tensor:
    """Give every tissue of every image its own grey level, texture and a bias field."""
    count, size = len(tissue), tissue.shape[-1]
    mean = level + 0.04 * _normal(count, len(level), generator=generator)
    white = mean[:, 1:2]
    mean = white + (mean - white) * _uniform(count, 0.7, 1.35, generator)[:, None]
    mean = mean.clamp(0.03, 1) * (level > 0)
    rough = 0.03 * (0.5 + torch.rand(count, len(level), generator=generator)) * (level > 0)
    flat = tissue.flatten(1)
    texture = _blur(_normal(count, size, size, generator=generator), torch.full((count,), 0.8))
    image = mean.gather(1, flat) + rough.gather(1, flat) * 2.2 * texture.flatten(1)
    strength = 0.15 * _uniform(count, 0.0, 1.0, generator)[:, None, None]
    bias = torch.exp(strength * _smooth(count, 1, 4, size, generator)[:, 0])
    return image.reshape(tissue.shape) * bias * (tissue > 0)


def _blur(images: Tensor, std: Tensor) -> Tensor:
    """Blur each image ``(count, row, column)`` by a Gaussian of its own width, in pixels."""
    reach = math.ceil(3 * float(std.max()))
    at = torch.arange(-reach, reach + 1)
    kernel = torch.exp(-0.5 * (at / std[:, None]) ** 2)
    kernel = (kernel / kernel.sum(1, keepdim=True))[:, None, None]
    images = F.conv2d(images[None], kernel, padding=(0, reach), groups=len(images))
    return F.conv2d(images, kernel.mT, padding=(reach, 0), groups=len(kernel))[0]


def _percentile(values: Tensor, share: float) -> Tensor:
    """Return a percentile, or 1 where there is nothing."""
    return torch.quantile(values, share).clamp(min=1e-3) if len(values) else torch.tensor(1.0)
