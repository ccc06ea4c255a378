"""Compositions of nonlinear and linear operators."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from uqrestore.operators._checks import Index, Shape, require
from uqrestore.operators.base import LinearOperator
from uqrestore.operators.nonlinear.base import NonlinearOperator, is_homogeneous, jvp, vjp
from uqrestore.operators.nonlinear.uncertain import Products, UncertainOperator

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

    @property
    def homogeneous(self) -> bool:
        return all(is_homogeneous(part) for part in self.parts)

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


@dataclass(frozen=True, eq=False)
class UncertainComposed(UncertainOperator):
    """Composition of an operator with unknown parameters, and one that acts before it.

    Args:
        parts: The operator with unknown parameters, and the other.

    Raises:
        ValueError: If the first has no unknown parameters, or does not act on the output of the
            second.
    """

    name: ClassVar[str] = "uncertain_composed"

    parts: tuple[Operator, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            len(self.parts) == 2 and isinstance(self.parts[0], UncertainOperator),
            self.name,
            "wants an operator with unknown parameters, and one before it.",
        )
        NonlinearComposed(self.parts)  # checks the shapes

    @property
    def _outer(self) -> UncertainOperator:
        assert isinstance(self.parts[0], UncertainOperator)  # as checked
        return self.parts[0]

    @property
    def parameters(self) -> tuple[str, ...]:  # type: ignore[override]
        return self._outer.parameters

    @property
    def units(self) -> tuple[str, ...]:  # type: ignore[override]
        return self._outer.units

    @property
    def count(self) -> int:
        return self._outer.count

    @property
    def in_shape(self) -> Shape:
        return self.parts[1].in_shape

    @property
    def out_shape(self) -> Shape:
        return self._outer.out_shape

    @property
    def problem_shape(self) -> Shape:
        return NonlinearComposed(self.parts).problem_shape

    @property
    def row_mask(self) -> Tensor | None:
        return self._outer.row_mask

    @property
    def homogeneous(self) -> bool:
        return NonlinearComposed(self.parts).homogeneous

    @property
    def linear_in_image(self) -> bool:
        return self._outer.linear_in_image and isinstance(self.parts[1], LinearOperator)

    def forward_at(self, x: Tensor, theta: Tensor) -> Tensor:
        return self._outer.forward_at(self.parts[1].forward(x), theta)

    def products_at(self, x: Tensor, theta: Tensor) -> Products | None:
        before = self.parts[1]
        if not isinstance(before, LinearOperator):
            return None
        if (found := self._outer.products_at(before(x), theta)) is None:
            return None
        along, back = found

        def transposed(v: Tensor) -> tuple[Tensor, Tensor]:
            moved, turned = back(v)
            return before.adjoint(moved), turned

        return lambda moved, turned: along(before(moved), turned), transposed

    def values(self, theta: Tensor) -> Mapping[str, Tensor]:
        return self._outer.values(theta)

    def to(self, target: torch.device | torch.dtype | str) -> "UncertainComposed":
        return replace(self, parts=tuple(part.to(target) for part in self.parts))

    def select(self, index: Index) -> "UncertainComposed":
        chosen = [part.select(index) if part.problem_shape else part for part in self.parts]
        return replace(self, parts=tuple(chosen))


def compose(*operators: Operator) -> NonlinearComposed | UncertainComposed:
    """Return ``x -> f(g(...(x)))`` of operators, with parts of compositions in one row.

    Parameters of an operator with unknown ones, which comes first, stay unknown.
    """
    if len(operators) > 1 and isinstance(operators[0], UncertainOperator):
        first, *rest = operators
        return UncertainComposed((first, rest[0] if len(rest) == 1 else compose(*rest)))
    parts: list[Operator] = []
    for operator in operators:
        parts += _parts(operator)
    return NonlinearComposed(tuple(parts))


def _parts(operator: Operator) -> Sequence[Operator]:
    return operator.parts if isinstance(operator, NonlinearComposed) else (operator,)
