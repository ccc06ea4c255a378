"""Base classes of operators made of others: moving, selecting, joining and writing parts."""

import copy
import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from uqrestore.operators._checks import Index, Shape, require, same
from uqrestore.operators.base import LinearOperator, stack_operators


class Compound(LinearOperator):
    """An operator made of others.

    Attributes:
        parts: The other operators. Batches must hold the same problems; a single operator among
            batches is the same for every problem.
    """

    parts: tuple[LinearOperator, ...]

    @property
    def problem_shape(self) -> Shape:
        return max((part.problem_shape for part in self.parts), key=len)

    @property
    def device(self) -> torch.device:
        return self.parts[0].device

    @property
    def dtype(self) -> torch.dtype:
        return functools.reduce(torch.promote_types, (part.dtype for part in self.parts))

    def to(self, target: torch.device | torch.dtype | str) -> LinearOperator:
        return self._moved(super().to(target), lambda part: part.to(target))

    def select(self, index: Index) -> LinearOperator:
        return self._moved(
            super().select(index),
            lambda part: part.select(index) if part.problem_shape else part,
        )

    def _moved(
        self, new: LinearOperator, change: Callable[[LinearOperator], LinearOperator]
    ) -> LinearOperator:
        new = copy.copy(new)
        object.__setattr__(new, "parts", tuple(change(part) for part in self.parts))
        return new

    def group_key(self) -> tuple[Any, ...]:
        own = {key: value for key, value in vars(self).items() if key != "parts"}
        plain = tuple(value for value in own.values() if not isinstance(value, Tensor))
        return (self.name, *plain, *(part.group_key() for part in self.parts))

    def batched(self) -> "Compound":
        """Return this as a batch, of one problem if it is a single operator."""
        count = sum(self.problem_shape) or 1
        parts = tuple(
            part if part.problem_shape else stack_operators([part] * count) for part in self.parts
        )
        return dataclasses.replace(self, parts=parts)  # type: ignore[type-var]

    @classmethod
    def concatenate(cls, parts: Sequence[Any]) -> LinearOperator:
        same(cls.name, "the number of parts", [len(part.parts) for part in parts])
        whole = [part.batched() for part in parts]
        inner = zip(*(part.parts for part in whole), strict=True)
        changes: dict[str, Any] = {"parts": tuple(stack_operators(column) for column in inner)}
        for field in dataclasses.fields(whole[0]):
            values = [getattr(part, field.name) for part in whole]
            if isinstance(values[0], Tensor):
                changes[field.name] = torch.cat(values)
            elif field.name != "parts":
                same(cls.name, field.name, values)
        return dataclasses.replace(whole[0], **changes)


class Wrapper(Compound):
    """An operator around one other; whatever a subclass does not define is that of its part."""

    @property
    def part(self) -> LinearOperator:
        """The one operator."""
        return self.parts[0]

    def __post_init__(self) -> None:
        super().__post_init__()
        require(len(self.parts) == 1, self.name, f"wants one part, got {len(self.parts)}.")

    @property
    def exact_pinv(self) -> bool:  # type: ignore[override]
        return self.part.exact_pinv

    @property
    def in_shape(self) -> Shape:
        return self.part.in_shape

    @property
    def out_shape(self) -> Shape:
        return self.part.out_shape

    @property
    def row_mask(self) -> Tensor | None:
        return self.part.row_mask

    @property
    def singular_value(self) -> float | None:
        return self.part.singular_value

    def rank(self) -> Tensor | None:
        return self.part.rank()
