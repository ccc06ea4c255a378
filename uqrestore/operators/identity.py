"""Operators without parameters: the identity and zero."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from uqrestore.operators._checks import Index, Shape, pick, require, same
from uqrestore.operators.base import SHARED, LinearOperator
from uqrestore.operators.spectrum import Spectrum


@dataclass(frozen=True, eq=False)
class PlainOperator(LinearOperator):
    """An operator defined by its shape alone.

    Args:
        shape: Image shape without batch.
        problems: Batch of problems, ``()`` or ``(b,)``.
    """

    shape: Shape
    problems: Shape = ()
    # The only tensor; it carries the device and the floating-point type.
    _unit: Float[Tensor, ""] = field(init=False, repr=False, metadata=SHARED)

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            len(self.shape) >= 2 and min(self.shape) > 0 and len(self.problems) <= 1,
            self.name,
            "wants an image shape (channel, *space) of positive lengths and problems () or "
            f"(b,), but got {self.shape} and {self.problems}.",
        )
        object.__setattr__(self, "_unit", torch.ones(()))

    @property
    def in_shape(self) -> Shape:
        return self.shape

    @property
    def out_shape(self) -> Shape:
        return self.shape

    @property
    def problem_shape(self) -> Shape:
        return self.problems

    def select(self, index: Index) -> LinearOperator:
        chosen = pick(self.name, self.problems, range(sum(self.problems)), index)
        return self._for_problems(() if isinstance(chosen, int) else (len(chosen),))

    def group_key(self) -> tuple[Any, ...]:
        return (self.name, self.shape)

    @classmethod
    def concatenate(cls, parts: Sequence[Any]) -> LinearOperator:
        same(cls.name, "shape", [part.group_key()[1:] for part in parts])
        count = sum(part.problem_shape[0] if part.problem_shape else 1 for part in parts)
        return parts[0]._for_problems((count,))

    def _for_problems(self, problems: Shape) -> LinearOperator:
        new = self._with_tensors(lambda _, value: value)
        object.__setattr__(new, "problems", problems)
        return new

    def _spectrum(self, value: float) -> Spectrum:
        count = torch.Size(self.shape).numel()

        def flat(x: Tensor) -> Tensor:
            return value * x.flatten(x.ndim - len(self.shape))

        def image(c: Tensor) -> Tensor:
            return value * c.unflatten(-1, self.shape)

        s = self._unit.new_full((*self.problems, count), value)
        return Spectrum(s, flat, image, flat, image)


@dataclass(frozen=True, eq=False)
class Identity(PlainOperator):
    """Measure the image itself: with noise, denoising."""

    name: ClassVar[str] = "identity"
    shapes: ClassVar[str] = "any -> the same"

    @property
    def singular_value(self) -> float:
        return 1.0

    def forward(self, x: Tensor) -> Tensor:
        return x

    def adjoint(self, y: Tensor) -> Tensor:
        return y

    def pinv(self, y: Tensor) -> Tensor:
        return y

    def spectral(self) -> Spectrum:
        return self._spectrum(1.0)


@dataclass(frozen=True, eq=False)
class Zero(PlainOperator):
    """Measure nothing: the unconditional problem, whose posterior is the prior.

    The maps multiply by 0 instead of making zeros, so that gradients, all 0, still reach every
    parameter of a network that runs through them.
    """

    name: ClassVar[str] = "zero"
    shapes: ClassVar[str] = "any -> the same, all padding"

    @property
    def row_mask(self) -> Tensor:
        return torch.zeros_like(self._unit, dtype=torch.bool)

    def forward(self, x: Tensor) -> Tensor:
        return 0 * x

    def adjoint(self, y: Tensor) -> Tensor:
        return 0 * y

    def pinv(self, y: Tensor) -> Tensor:
        return 0 * y

    def spectral(self) -> Spectrum:
        return self._spectrum(0.0)
