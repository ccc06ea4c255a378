"""Distributions of random operators by name, and their mixture."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator

from uqrestore.operators._checks import require
from uqrestore.operators.base import LinearOperator
from uqrestore.operators.mixed import Mixed
from uqrestore.operators.random.base import OperatorDistribution
from uqrestore.operators.random.coils import CoilKSpace
from uqrestore.operators.random.medical import (
    CartesianKSpace,
    RadialKSpace,
    SparseViewCT,
    SuperResolution,
)
from uqrestore.operators.random.natural import (
    BoxOutpainting,
    MissingBox,
    Nothing,
    PatchInpainting,
    RandomMatrix,
    StridedMotionBlur,
)


@dataclass(frozen=True)
class Mixture(OperatorDistribution):
    """Mixture of operator distributions, drawn for every element of the batch.

    Args:
        shape: Image shape ``(channel, row, column)``.
        distributions: Components, for images of this shape.
        weights: Relative probability of each component; equal by default.

    Raises:
        ValueError: If there are no components, their shapes differ, or the weights do not fit.
    """

    name: ClassVar[str] = "mixture"

    distributions: tuple[OperatorDistribution, ...] = ()
    weights: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        require(
            bool(self.distributions) and all(d.shape == self.shape for d in self.distributions),
            self.name,
            f"wants at least one distribution, all for images {self.shape}, but got "
            f"{[d.shape for d in self.distributions]}.",
        )
        weights = self.weights or [1.0] * len(self.distributions)
        require(
            len(weights) == len(self.distributions) and min(weights) >= 0 and sum(weights) > 0,
            self.name,
            f"wants one weight of at least 0 for each of {len(self.distributions)} "
            f"distributions, got {weights}.",
        )

    def draw_one(self, generator: Generator) -> LinearOperator:
        index, own = self._choose(generator)
        return self.distributions[index].draw_one(own)

    def draw_each(self, generators: Sequence[Generator]) -> LinearOperator:
        """Draw a batch of operators, those of one component together."""
        chosen = [self._choose(generator) for generator in generators]
        parts: list[LinearOperator] = []
        positions: list[tuple[int, ...]] = []
        for i, distribution in enumerate(self.distributions):
            places = [at for at, (kind, _) in enumerate(chosen) if kind == i]
            if places:
                drawn = distribution.draw_each([chosen[at][1] for at in places])
                several = isinstance(drawn, Mixed)
                parts += drawn.parts if several else [drawn]
                groups = drawn.positions if several else [range(len(places))]
                positions += [tuple(places[j] for j in group) for group in groups]
        return Mixed(tuple(parts), tuple(positions))

    def _choose(self, generator: Generator) -> tuple[int, Generator]:
        """Draw a component, and a seed for it so that components can be drawn in any order."""
        weights = torch.tensor(self.weights or [1.0] * len(self.distributions))
        index = int(torch.multinomial(weights, 1, generator=generator))
        seed = int(torch.randint(2**62, (), generator=generator))
        return index, Generator(generator.device).manual_seed(seed)


DISTRIBUTIONS: Mapping[str, type[OperatorDistribution]] = {
    kind.name: kind
    for kind in (
        BoxOutpainting,
        CartesianKSpace,
        CoilKSpace,
        MissingBox,
        Mixture,
        Nothing,
        PatchInpainting,
        RadialKSpace,
        RandomMatrix,
        SparseViewCT,
        StridedMotionBlur,
        SuperResolution,
    )
}
