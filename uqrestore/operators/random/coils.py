"""Random multi-coil acquisitions: smooth coils around the body and undersampled k-space."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Bool, Complex, Float
from torch import Generator, Tensor

from uqrestore.operators.base import LinearOperator
from uqrestore.operators.coil_fourier import CoilFourier
from uqrestore.operators.mixed import Mixed
from uqrestore.operators.random.base import OperatorDistribution, choice, integer, uniform

Axis = Literal["row", "column", "both"]
MOST_CENTRE = 32
"""Most fully sampled lines around zero frequency."""


@dataclass(frozen=True)
class CoilKSpace(OperatorDistribution):
    """Sample k-space of a complex image with smooth coils around it.

    Lines along rows or columns, or points of both, are left out; the centre is fully sampled. The
    rest is uniformly random, random and denser towards the centre, or (of lines) evenly spaced.

    Args:
        shape: Image shape ``(2, row, column)``.
        coils: Numbers of coils, drawn uniformly.
        accelerations: Range of the acceleration, drawn uniformly.
        centre: Range of the share of the samples that is the fully sampled centre, at most 32 lines
            a side.
        points: Share of masks that leave out points rather than lines.
    """

    name: ClassVar[str] = "coil_kspace"

    coils: tuple[int, ...] = (1, 2, 4, 8, 16)
    accelerations: tuple[float | int, float | int] = (2, 10)
    centre: tuple[float, float] = (0.2, 0.7)
    points: float = 0.2

    def draw_one(self, generator: Generator) -> LinearOperator:
        _, mask, maps = self._draw(generator)
        return CoilFourier(mask, maps)

    def draw_each(self, generators: Sequence[Generator]) -> LinearOperator:
        """Draw a batch, those with one number of coils and axis together: they share transforms."""
        drawn = [self._draw(generator) for generator in generators]
        groups: dict[tuple[Axis, int], list[int]] = {}
        for at, (axis, _, maps) in enumerate(drawn):
            groups.setdefault((axis, len(maps)), []).append(at)
        parts = []
        for places in groups.values():
            masks, maps = zip(*[drawn[at][1:] for at in places], strict=True)
            parts.append(CoilFourier(torch.stack(masks), torch.stack(maps)))
        if len(parts) == 1:
            return parts[0]
        return Mixed(tuple(parts), tuple(map(tuple, groups.values())))

    def _draw(self, generator: Generator) -> tuple[Axis, Tensor, Tensor]:
        """Return the axis of the lines, the mask and the coils."""
        axis: Axis = choice(generator, ("row", "column"))
        if uniform(generator, 0, 1) < self.points:
            axis = "both"
        lengths = [
            n for n, a in zip(self.space, ("row", "column"), strict=True) if axis in (a, "both")
        ]
        count = max(1, round(math.prod(lengths) / uniform(generator, *self.accelerations)))
        side = (uniform(generator, *self.centre) * count) ** (1 / len(lengths))
        centre = min(round(side), MOST_CENTRE, *lengths)
        mask = random_samples(lengths, count, centre, generator)
        mask = {"row": mask[..., None], "column": mask[None], "both": mask}[axis]
        maps = random_coils(self.space, choice(generator, self.coils), generator)
        return axis, mask.expand(self.space).clone(), maps


def random_samples(
    lengths: Sequence[int], count: int, centre: int, generator: Generator
) -> Bool[Tensor, "*length"]:
    """Draw which of the lines of one axis, or points of two, are sampled, centre included.

    Exactly ``count`` are, unless the centre alone is more.
    """
    ramps = [torch.linspace(-1, 1, n + 1)[:-1].abs() for n in lengths]
    distance = torch.stack(torch.meshgrid(*ramps, indexing="ij")).square().sum(0).sqrt()
    kinds = ("uniform", "dense", "even")[: 4 - len(lengths)]
    kind = choice(generator, kinds)
    fully = torch.stack(
        torch.meshgrid(
            *[(torch.arange(n) - n // 2 + centre // 2).clamp(-1, centre) for n in lengths],
            indexing="ij",
        )
    )
    inside = ((fully >= 0) & (fully < centre)).all(0)
    if kind == "even":
        outer = torch.nonzero(~inside)[:, 0]
        wanted = max(count - centre, 0)
        places = (torch.arange(wanted) + uniform(generator, 0, 1)) * len(outer) / max(wanted, 1)
        mask = inside.clone()
        mask[outer[places.long()]] = True
        return mask
    slope = integer(generator, 1, 6) if kind == "dense" else 0
    noise = torch.rand(distance.shape, generator=generator).clamp(min=1e-9)
    # The largest of u^(1/w) is a draw without replacement with the weights w.
    score = noise.log() * (1 + slope * distance).square()
    best = (
        score.masked_fill(inside, torch.inf).flatten().topk(max(count, int(inside.sum()))).indices
    )
    return (
        torch.zeros(distance.numel(), dtype=torch.bool).index_fill_(0, best, True).view_as(distance)
    )


def random_coils(
    space: tuple[int, int], count: int, generator: Generator
) -> Complex[Tensor, "coil row column"]:
    """Draw smooth complex sensitivities of coils around an image, of unit norm at each pixel.

    Coils stand at irregular angles on an ellipse. The magnitude falls off like a Gaussian with
    the distance; the phase is a random constant, a random slope and a quadratic term.
    """

    def each(low: float, high: float) -> Float[Tensor, " coil"]:
        return low + (high - low) * torch.rand(count, generator=generator)

    y, x = torch.meshgrid(*[torch.linspace(-1, 1, n) for n in space], indexing="ij")
    first, spread = uniform(generator, 0, 2 * math.pi), uniform(generator, 0, 0.5)
    angle = first + 2 * math.pi * (torch.arange(count) + each(-spread, spread)) / count
    radius = uniform(generator, 0.9, 1.5) * each(0.85, 1.15)
    down, right = (radius * f * uniform(generator, 0.8, 1.2) for f in (angle.sin(), angle.cos()))
    square = (y - down[:, None, None]).square() + (x - right[:, None, None]).square()
    width = uniform(generator, 0.35, 0.9) * each(0.8, 1.25)
    bend, turn = uniform(generator, 0, 1.5), each(-math.pi, math.pi)
    slopes = [torch.randn(count, generator=generator)[:, None, None] for _ in range(3)]
    phase = turn[:, None, None] + bend * (slopes[0] * y + slopes[1] * x + 0.5 * slopes[2] * square)
    maps = torch.polar(torch.exp(-square / (2 * width.square())[:, None, None]), phase)
    return maps / maps.abs().square().sum(0).sqrt().clamp(min=1e-20)
