"""Random operators of medical imaging: k-space, resolution, tomography."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Generator

from uqrestore.operators.base import LinearOperator
from uqrestore.operators.downsampling import Downsampling
from uqrestore.operators.masked_fourier import MaskedFourier
from uqrestore.operators.masks import cartesian
from uqrestore.operators.radial_fourier import RadialFourier, radial_trajectory
from uqrestore.operators.radon import Radon
from uqrestore.operators.random.base import OperatorDistribution, choice, uniform


@dataclass(frozen=True)
class CartesianKSpace(OperatorDistribution):
    """Sample lines of k-space, the centre fully; one channel is a real image, two a complex one.

    Args:
        shape: Image shape ``(1 or 2, row, column)``.
        accelerations: Accelerations, drawn uniformly.
        center: Fraction of the lines that is the centre, for an acceleration of 4; it shrinks in
            proportion for higher ones, as in fastMRI (0.08 at 4, 0.04 at 8).
        axis: Phase-encoding axis: -1 columns, -2 rows.

    References:
        Zbontar et al., "fastMRI", 2018. arXiv:1811.08839, section 5.2
    """

    name: ClassVar[str] = "cartesian_kspace"

    accelerations: tuple[float | int, ...] = (2, 3, 4, 5, 6, 7, 8)
    center: float = 0.08
    axis: Literal[-1, -2] = -1

    def draw_one(self, generator: Generator) -> LinearOperator:
        acceleration = choice(generator, self.accelerations)
        row, column = self.space
        lines = self.shape[self.axis]
        most = round(lines / acceleration)
        center = min(most, max(1, round(lines * self.center * 4 / max(4, acceleration))))
        mask = cartesian((row, column), acceleration, center, generator, axis=self.axis)
        return MaskedFourier(mask, channels=1 if self.shape[0] == 1 else 2)


@dataclass(frozen=True)
class RadialKSpace(OperatorDistribution):
    """Sample k-space along spokes, by the golden angle from a random first one; extra ``mri``.

    Args:
        shape: Image shape ``(1 or 2, row, column)``.
        spokes: Numbers of spokes, drawn uniformly.
    """

    name: ClassVar[str] = "radial_kspace"

    spokes: tuple[int, ...] = (16, 32, 64)

    def draw_one(self, generator: Generator) -> LinearOperator:
        spokes, (row, column) = choice(generator, self.spokes), self.space
        trajectory = radial_trajectory(spokes, 2 * max(row, column), generator=generator)
        return RadialFourier(trajectory, (row, column), channels=1 if self.shape[0] == 1 else 2)


@dataclass(frozen=True)
class SuperResolution(OperatorDistribution):
    """Reduce the resolution by a factor.

    Args:
        shape: Image shape ``(channel, row, column)``.
        factors: Factors, drawn uniformly; each must divide the image.
        kind: ``"average"`` or ``"bicubic"``.
    """

    name: ClassVar[str] = "super_resolution"

    factors: tuple[int, ...] = (2, 4)
    kind: Literal["average", "bicubic"] = "average"

    def draw_one(self, generator: Generator) -> LinearOperator:
        return Downsampling(self.shape, choice(generator, self.factors), self.kind)


@dataclass(frozen=True)
class SparseViewCT(OperatorDistribution):
    """Project under few angles, evenly spread over 180 degrees from a random first one.

    Args:
        shape: Image shape ``(channel, row, column)``.
        views: Numbers of angles, drawn uniformly.
    """

    name: ClassVar[str] = "sparse_view_ct"

    views: tuple[int, ...] = (20, 30, 60)

    def draw_one(self, generator: Generator) -> LinearOperator:
        views = choice(generator, self.views)
        first = uniform(generator, 0, 180 / views)
        return Radon(first + torch.arange(views) * (180 / views), self.shape)
