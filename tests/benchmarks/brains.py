"""Slices of three people whom no training saw, and the measurements that the networks know."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from uqrestore.noise import SampleNoise
from uqrestore.operators.base import LinearOperator
from uqrestore.operators.mixed import mix
from uqrestore.operators.random.mixture import DISTRIBUTIONS
from uqrestore.problem import Problem, simulate
from uqrestore.training.data import Images, step_generator
from uqrestore.zoo import locate

SHAPE = (1, 64, 64)
FAMILIES = {
    "random_matrix": {"rows": (32, 128)},
    "strided_motion_blur": {},
    "patch_inpainting": {},
    "cartesian_kspace": {},
}
"""What `brain64-invfussion` was trained on, besides nothing."""
NOISE_FREE, LOUDEST = 0.7, 0.1
"""How often it met measurements without noise, and the largest noise otherwise."""


@dataclass(frozen=True, eq=False)
class People:
    """Slices in network units, and whose they are."""

    images: Images
    person: np.ndarray
    names: tuple[str, ...]


def held_out_people(data: Path, synthetic: int = 80, real: int = 40) -> People:
    """Take slices of two people with synthetic contrast, and of the one real scan.

    Args:
        data: Folder of the training data, of which only the groups ``test`` are read.
        synthetic: Slices of each of the two.
        real: Slices of the scan, averaged down from 1.5 mm to 3 mm.
    """
    made, of = _read(data / "brain_synth_64.h5", "test")
    scanned, whose = _read(data / "brain_slices_128.h5", "test")
    scanned = F.avg_pool2d(scanned, 2)
    parts, owners = [], []
    for images, subjects, count in ((made, of, synthetic), (scanned, whose, real)):
        for name in sorted(set(subjects)):
            at = np.flatnonzero(subjects == name)
            at = at[np.linspace(0, len(at) - 1, min(count, len(at))).round().astype(int)]
            parts.append(images[torch.from_numpy(at)])
            owners += [name] * len(at)
    names = tuple(sorted(set(owners)))
    person = np.array([names.index(name) for name in owners])
    return People(2 * torch.cat(parts).clamp(0, 1) - 1, person, names)


def validation_slices(data: Path, count: int = 100) -> Images:
    """Take slices of the three people, synthetic contrast, on whom training was watched."""
    images, _ = _read(data / "brain_synth_64.h5", "val")
    return 2 * images[torch.linspace(0, len(images) - 1, count).round().long()].clamp(0, 1) - 1


def real_validation_slices(data: Path) -> Images:
    """Take the slices of the one real scan of the validation group, averaged down to 3 mm."""
    images, _ = _read(data / "brain_slices_128.h5", "val")
    return 2 * F.avg_pool2d(images, 2).clamp(0, 1) - 1


def _read(path: Path, split: str) -> tuple[Images, np.ndarray]:
    with h5py.File(path) as file:
        group: Any = file[split]
        stored = group["brain"]
        scale = float(np.asarray(stored.attrs.get("scale_factor", 1.0)).item())
        images = torch.from_numpy(np.asarray(stored[()], np.float32) * scale)[:, None]
        return images, group["subject"].asstr()[()]


def measure(images: Images, families: tuple[str, ...] = tuple(FAMILIES)) -> Problem:
    """Measure each image by a family in turn, with noise as in training; the same in every run.

    Measurements that show everything are drawn again: nothing is uncertain there.
    """
    generator = step_generator(21, len(families))
    chosen = [families[index % len(families)] for index in range(len(images))]
    operators = [_operator(family, generator) for family in chosen]
    noisier = torch.rand(len(images), generator=generator) >= NOISE_FREE
    std = LOUDEST * torch.rand(len(images), generator=generator) * noisier
    noise = SampleNoise(22, [0], slices=range(len(images)))
    return simulate(mix(operators), images, noise_std=std, noise=noise)


def _operator(family: str, generator: torch.Generator) -> LinearOperator:
    distribution = DISTRIBUTIONS[family](SHAPE, **FAMILIES[family])  # type: ignore[arg-type]
    while True:
        one = distribution.draw_one(generator)
        rank = one.rank()
        assert rank is not None
        if int(rank) < torch.Size(SHAPE).numel() - 8:
            return one


def weights_key(name: str) -> str:
    """Return eight digits that change with the weights of a network of the zoo."""
    return hashlib.sha256(locate(name).read_bytes()).hexdigest()[:8]


def kept(path: Path, make: Callable[[], Tensor]) -> Tensor:
    """Read a tensor that an earlier run kept, or make and keep it."""
    if path.exists():
        return torch.from_numpy(np.load(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    made = make()
    part = path.with_suffix(".part.npy")
    np.save(part, made.numpy())
    part.replace(path)
    return made
