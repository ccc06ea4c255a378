"""Compositions of nonlinear and linear operators."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from uqrestore.operators._checks import Index, Shape, require
from uqrestore.operators.base import LinearOperator
from uqrestore.operators.nonlinear.base import NonlinearOperator, jvp, vjp

Operator = LinearOperator | NonlinearOperator


@dataclass(frozen=True, eq=False)
class NonlinearComposed(NonlinearOperator):
    """Composition: ``NonlinearComposed((f, A))`` is ``x -> f(A x)``, as is ``f @ A``.

    Args:
        parts: The operators, linear or not; the last one acts first.

    Raises:
        ValueError: If an operator does not act on the output of the one before it.
    """

    name: ClassVar[str] = "nonlinear_composed"

    parts: tuple[Operator, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        for outer, inner in zip(self.parts, self.parts[1:], strict=False):
            require(
                outer.in_shape == inner.out_shape,
                self.name,
                f"{outer.name} acts on {outer.in_shape} but {inner.name} before it gives "
                f"{inner.out_shape}; the two must agree.",
            )

    @property
    def in_shape(self) -> Shape:
        return self.parts[-1].in_shape

    @property
    def out_shape(self) -> Shape:
        return self.parts[0].out_shape

    @property
    def problem_shape(self) -> Shape:
        return max((part.problem_shape for part in self.parts), key=len)

    @property
    def dtype(self) -> torch.dtype:
        return functools.reduce(torch.promote_types, (part.dtype for part in self.parts))

    @property
    def row_mask(self) -> Tensor | None:
        """Padding of the last linear part, which pointwise operators behind it keep."""
        for part in self.parts:
            if part.row_mask is not None or part.in_shape != part.out_shape:
                return part.row_mask
        return None

    def forward(self, x: Tensor) -> Tensor:
        for part in reversed(self.parts):
            x = part.forward(x)
        return x

    def jvp(self, x: Tensor, v: Tensor) -> Tensor:
        for part in reversed(self.parts):
            x, v = part.forward(x), jvp(part, x, v)
        return v

    def vjp(self, x: Tensor, v: Tensor) -> Tensor:
        points = [x]
        for part in reversed(self.parts[1:]):
            points.append(part.forward(points[-1]))
        for part, point in zip(self.parts, reversed(points), strict=True):
            v = vjp(part, point, v)
        return v

    def to(self, target: torch.device | torch.dtype | str) -> "NonlinearComposed":
        return replace(self, parts=tuple(part.to(target) for part in self.parts))

    def select(self, index: Index) -> "NonlinearComposed":
        chosen = [part.select(index) if part.problem_shape else part for part in self.parts]
        return replace(self, parts=tuple(chosen))


def compose(*operators: Operator) -> NonlinearComposed:
    """Return ``x -> f(g(...(x)))`` of operators, with parts of compositions in one row."""
    parts: list[Operator] = []
    for operator in operators:
        parts += _parts(operator)
    return NonlinearComposed(tuple(parts))


def _parts(operator: Operator) -> Sequence[Operator]:
    return operator.parts if isinstance(operator, NonlinearComposed) else (operator,)
