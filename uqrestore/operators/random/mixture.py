"""Laws over operators by name, their mixture, and the law of the noise."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from uqrestore.operators._checks import Shape, require
from uqrestore.operators.base import LinearOperator
from uqrestore.operators.mixed import Mixed
from uqrestore.operators.random.base import OperatorDistribution
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
    """Draw the law anew for every element of the batch.

    Args:
        shape: Image shape ``(channel, row, column)``.
        laws: Laws for images of this shape.
        weights: How often each is drawn, in any unit; equally by default.

    Raises:
        ValueError: If there are no laws, their shapes differ, or the weights do not fit.
    """

    name: ClassVar[str] = "mixture"

    laws: tuple[OperatorDistribution, ...] = ()
    weights: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        require(
            bool(self.laws) and all(law.shape == self.shape for law in self.laws),
            self.name,
            f"wants at least one law, all for images {self.shape}, but got "
            f"{[law.shape for law in self.laws]}.",
        )
        weights = self.weights or [1.0] * len(self.laws)
        require(
            len(weights) == len(self.laws) and min(weights) >= 0 and sum(weights) > 0,
            self.name,
            f"wants one weight of at least 0 for each of {len(self.laws)} laws, got {weights}.",
        )

    def draw_one(self, generator: Generator) -> LinearOperator:
        law, own = self._choose(generator)
        return self.laws[law].draw_one(own)

    def draw_each(self, generators: Sequence[Generator]) -> LinearOperator:
        """Draw a batch of operators of several kinds, those of one law together."""
        chosen = [self._choose(generator) for generator in generators]
        parts: list[LinearOperator] = []
        positions: list[tuple[int, ...]] = []
        for i, law in enumerate(self.laws):
            places = [at for at, (kind, _) in enumerate(chosen) if kind == i]
            if places:
                drawn = law.draw_each([chosen[at][1] for at in places])
                several = isinstance(drawn, Mixed)
                parts += drawn.parts if several else [drawn]
                groups = drawn.positions if several else [range(len(places))]
                positions += [tuple(places[j] for j in group) for group in groups]
        return Mixed(tuple(parts), tuple(positions))

    def _choose(self, generator: Generator) -> tuple[int, Generator]:
        """Draw a law, and a stream of its own so that laws can be drawn in any order."""
        weights = torch.tensor(self.weights or [1.0] * len(self.laws))
        law = int(torch.multinomial(weights, 1, generator=generator))
        seed = int(torch.randint(2**62, (), generator=generator))
        return law, Generator(generator.device).manual_seed(seed)


@dataclass(frozen=True)
class AdditiveNoise:
    """A law over the standard deviation of additive Gaussian noise, in the units of ``y``.

    Args:
        low: Smallest.
        high: Largest; by default always ``low``. The paper adds 0.1.
    """

    low: float = 0.1
    high: float | None = None

    def draw(self, generator: Generator, batch: int) -> Float[Tensor, " problem"]:
        """Draw one standard deviation for each problem."""
        high = self.low if self.high is None else self.high
        require(
            0 <= self.low <= high,
            "additive_noise",
            f"wants 0 <= low <= high, got {self.low} and {high}.",
        )
        return self.low + (high - self.low) * torch.rand(batch, generator=generator)


DISTRIBUTIONS: Mapping[str, type[OperatorDistribution]] = {
    law.name: law
    for law in (
        BoxOutpainting,
        CartesianKSpace,
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


def invfusion_mixture(shape: Shape) -> Mixture:
    """Return the training mixture of the paper: matrix, blur, patches and nothing, alike."""
    laws = (RandomMatrix(shape), StridedMotionBlur(shape), PatchInpainting(shape), Nothing(shape))
    return Mixture(shape, laws)
