"""Count what a method asks of the network and of the operator."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from uqrestore.diffusion.denoiser import Denoiser
from uqrestore.diffusion.wrapped import Counting, Counts
from uqrestore.operators._compound import Wrapper
from uqrestore.operators.base import LinearOperator
from uqrestore.operators.spectrum import SolveInfo, Spectrum
from uqrestore.problem import Problem


@dataclass(frozen=True, eq=False)
class CountingOperator(Wrapper):
    """An operator that counts how its maps are used.

    Args:
        parts: The one operator.
        counts: Tally to add to.
    """

    parts: tuple[LinearOperator, ...]
    counts: Counts

    @property
    def name(self) -> str:  # type: ignore[override]
        return self.part.name

    def spectral(self) -> Spectrum | None:
        return self.part.spectral()

    def forward(self, x: Tensor) -> Tensor:
        self.counts.forward += 1
        return self.part.forward(x)

    def adjoint(self, y: Tensor) -> Tensor:
        self.counts.adjoint += 1
        return self.part.adjoint(y)

    def pinv(self, y: Tensor) -> Tensor:
        self.counts.pinv += 1
        return self.part.pinv(y)

    def solve(self, y: Tensor, **options: Any) -> tuple[Tensor, SolveInfo]:  # noqa: ANN401
        self.counts.solve += 1
        return self.part.solve(y, **options)


def count(problem: Problem, denoiser: Denoiser) -> tuple[Problem, Counting, Counts]:
    """Return a problem and a denoiser that count into one tally, and the tally."""
    counts = Counts()
    operator = CountingOperator((problem.operator,), counts)
    return Problem(operator, problem.y, problem.noise_std), Counting(denoiser, counts), counts
