"""Count what a method asks of the network and of the operator."""

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from uqrestore.operators._checks import Shape
from uqrestore.operators.base import LinearOperator
from uqrestore.operators.spectrum import SolveInfo, Spectrum
from uqrestore.problem import Problem


@dataclass
class Counts:
    """How often each map was applied to the whole batch.

    Attributes:
        network: Calls of the denoiser.
        products: Vector-Jacobian products, one backward pass each.
        forward: Applications of ``A``.
        adjoint: Of its transpose.
        pinv: Of its pseudo-inverse.
        solve: Wiener solves.
    """

    network: int = 0
    products: int = 0
    forward: int = 0
    adjoint: int = 0
    pinv: int = 0
    solve: int = 0

    @property
    def calls(self) -> int:
        """Network calls, a product counted as two."""
        return self.network + 2 * self.products


class Counting:
    """A denoiser that counts its calls and products and is otherwise itself.

    Args:
        denoiser: The denoiser.
        counts: Where to count; a tally of its own if left out.
    """

    def __init__(self, denoiser: Any, counts: Counts | None = None) -> None:  # noqa: ANN401
        self.denoiser, self.counts = denoiser, counts or Counts()
        self.in_shape: Shape = denoiser.in_shape

    @property
    def calls(self) -> int:
        """Calls of the denoiser, without products."""
        return self.counts.network

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self.denoiser, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:  # noqa: ANN401
        """Denoise and count."""
        self.counts.network += 1
        clean = self.denoiser(*args, **kwargs)
        if clean.requires_grad:
            clean.register_hook(self._count_product)
        return clean

    def _count_product(self, _: Tensor) -> None:
        self.counts.products += 1


@dataclass(frozen=True, eq=False)
class CountingOperator(LinearOperator):
    """An operator that counts how its maps are used and is otherwise itself.

    Args:
        inner: The operator.
        counts: Where to count.
    """

    inner: LinearOperator
    counts: Counts = field(default_factory=Counts)

    @property
    def name(self) -> str:  # type: ignore[override]
        return self.inner.name

    @property
    def exact_pinv(self) -> bool:  # type: ignore[override]
        return self.inner.exact_pinv

    @property
    def in_shape(self) -> Shape:
        return self.inner.in_shape

    @property
    def out_shape(self) -> Shape:
        return self.inner.out_shape

    @property
    def problem_shape(self) -> Shape:
        return self.inner.problem_shape

    @property
    def row_mask(self) -> Tensor | None:
        return self.inner.row_mask

    @property
    def singular_value(self) -> float | None:
        return self.inner.singular_value

    def spectral(self) -> Spectrum | None:
        return self.inner.spectral()

    def forward(self, x: Tensor) -> Tensor:
        self.counts.forward += 1
        return self.inner.forward(x)

    def adjoint(self, y: Tensor) -> Tensor:
        self.counts.adjoint += 1
        return self.inner.adjoint(y)

    def pinv(self, y: Tensor) -> Tensor:
        self.counts.pinv += 1
        return self.inner.pinv(y)

    def solve(self, y: Tensor, **options: Any) -> tuple[Tensor, SolveInfo]:  # noqa: ANN401
        self.counts.solve += 1
        return self.inner.solve(y, **options)

    def to(self, target: Any) -> LinearOperator:  # noqa: ANN401
        return CountingOperator(self.inner.to(target), self.counts)


def count(problem: Problem, denoiser: Any) -> tuple[Problem, Counting, Counts]:  # noqa: ANN401
    """Return a problem and a denoiser that count into one tally, and the tally."""
    counts = Counts()
    operator = CountingOperator(problem.operator, counts)
    return Problem(operator, problem.y, problem.noise_std), Counting(denoiser, counts), counts
