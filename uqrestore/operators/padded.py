"""An operator with a measurement padded to a vector of a given length."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from uqrestore.operators._checks import Shape, require
from uqrestore.operators._compound import Wrapper
from uqrestore.operators.algebra import flat_row_mask
from uqrestore.operators.base import LinearOperator, stack_operators
from uqrestore.operators.spectrum import Spectrum

Rows = Float[Tensor, "*batch rows"]


@dataclass(frozen=True, eq=False)
class Padded(Wrapper):
    """An operator whose measurement is written as one vector with zeros at the end.

    One problem of a :class:`Mixed` batch is such an operator.

    Args:
        parts: The one operator.
        rows: Length of the vector.

    Raises:
        ValueError: If there is not exactly one part, or it measures more than ``rows``.
    """

    name: ClassVar[str] = "padded"
    shapes: ClassVar[str] = "that of its part -> (rows,)"

    parts: tuple[LinearOperator, ...]
    rows: int

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            self._count <= self.rows,
            self.name,
            f"{self.part.name} measures {self._count} rows, more than the {self.rows} given.",
        )

    @property
    def _count(self) -> int:
        return torch.Size(self.part.out_shape).numel()

    @property
    def out_shape(self) -> Shape:
        return (self.rows,)

    @property
    def row_mask(self) -> Tensor:
        return self._pad(flat_row_mask(self.part, self.problem_shape))

    def forward(self, x: Tensor) -> Rows:
        y = self.part.forward(x)
        return self._pad(y.flatten(y.ndim - len(self.part.out_shape)))

    def adjoint(self, y: Rows) -> Tensor:
        return self.part.adjoint(self._unpad(y))

    def pinv(self, y: Rows) -> Tensor:
        return self.part.pinv(self._unpad(y))

    def spectral(self) -> Spectrum | None:
        spectrum = self.part.spectral()
        if spectrum is None:
            return None

        def ut(y: Tensor) -> Tensor:
            return spectrum.ut(self._unpad(y))

        def u(c: Tensor) -> Tensor:
            y = spectrum.u(c)
            return self._pad(y.flatten(y.ndim - len(self.part.out_shape)))

        return Spectrum(spectrum.s, spectrum.vt, spectrum.v, ut, u)

    def _pad(self, flat: Tensor) -> Tensor:
        return torch.nn.functional.pad(flat, (0, self.rows - flat.shape[-1]))

    def _unpad(self, y: Tensor) -> Tensor:
        return y[..., : self._count].unflatten(-1, self.part.out_shape)

    def group_key(self) -> tuple[Any, ...]:
        return (self.name, self.part.group_key())

    @classmethod
    def concatenate(cls, parts: Sequence[Any]) -> LinearOperator:
        rows = max(part.rows for part in parts)
        return cls((stack_operators([part.part for part in parts]),), rows)
