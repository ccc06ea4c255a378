"""Training images in memory, and small random changes to them."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from uqrestore.training.config import DataConfig

Slices = UInt8[Tensor, "slice channel row column"]
Images = Float[Tensor, "batch channel row column"]
Heights = Float[Tensor, " slice"]
Skip = Callable[[str], None]
"""Called with one line on every image that cannot be used."""


class DataError(ValueError):
    """The training data cannot be used as they are; the text says why and what to do."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """Training images, and the place in the body that each shows.

    Attributes:
        images: Network units.
        height: Of each slice between the bottom (0) and the top (1) of what was scanned; NaN
            where it is not known.
    """

    images: Images
    height: Heights

    @classmethod
    def of(cls, images: "Images | Drawn") -> "Drawn":
        """Return what a source drew; the height of plain images is not known."""
        if isinstance(images, Drawn):
            return images
        return cls(images, torch.full((len(images),), math.nan))

    @classmethod
    def join(cls, parts: Sequence["Drawn"]) -> "Drawn":
        """Concatenate batches."""
        return cls(torch.cat([p.images for p in parts]), torch.cat([p.height for p in parts]))


Source = Callable[[int, torch.Generator], Images | Drawn]
"""``(count, generator) -> training images`` in network units, with their places or without."""


@dataclass(frozen=True, eq=False)
class Stored:
    """Slices kept as bytes (255 is the top of the range), so that all fit in memory.

    Attributes:
        slices: The images.
        height: As in :class:`Drawn`.
        person: Name of the person of each slice; empty where it is not known.
    """

    slices: Slices
    height: Heights
    person: tuple[str, ...]

    @classmethod
    def of(cls, slices: Slices) -> "Stored":
        """Return slices of unknown height and people."""
        return cls(slices, torch.full((len(slices),), math.nan), ("",) * len(slices))

    @classmethod
    def join(cls, parts: Sequence["Stored"]) -> "Stored":
        """Concatenate slices."""
        return cls(
            torch.cat([p.slices for p in parts]),
            torch.cat([p.height for p in parts]),
            tuple(name for p in parts for name in p.person),
        )

    @property
    def people(self) -> frozenset[str]:
        """Names of all people that are known."""
        return frozenset(self.person) - {""}

    def of_people(self, people: frozenset[str]) -> "Stored":
        """Return the slices of some people."""
        rows = [row for row, name in enumerate(self.person) if name in people]
        return Stored(self.slices[rows], self.height[rows], tuple(self.person[row] for row in rows))


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


def slices_source(stored: Stored, config: DataConfig) -> Source:
    """Draw from stored slices at random, with replacement, and augment them."""

    def draw(count: int, generator: torch.Generator) -> Drawn:
        index = torch.randint(len(stored.slices), (count,), generator=generator)
        images = to_network(stored.slices[index])
        images = augment(images, generator) if config.augment == "brain" else images
        return Drawn(images, stored.height[index])

    return draw
