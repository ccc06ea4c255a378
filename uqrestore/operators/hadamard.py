"""Structured compressed sensing: a fast Walsh-Hadamard transform of shuffled pixels."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor

from uqrestore.operators._checks import Shape, full_precision, require, same
from uqrestore.operators.base import LinearOperator
from uqrestore.operators.spectrum import Spectrum

PADDING = -1


@dataclass(frozen=True, eq=False)
class Hadamard(LinearOperator):
    r"""Permute the pixels, transform, keep some coefficients: :math:`A x = S H P x`.

    :math:`H` is the orthonormal Walsh-Hadamard matrix, so :math:`A^+ = A^T`; nothing is stored
    and a transform costs :math:`O(n \log n)`. All channels are measured with the same rows.

    Args:
        order: The shuffle, a permutation of the pixels of one channel, ``(*problem, pixel)``.
        kept: Indices of the coefficients kept, ``(*problem, rows)``; -1 is padding, for batches
            of different row counts.
        shape: Image shape ``(channel, row, column)``; ``row * column`` is a power of two.

    Raises:
        ValueError: If the number of pixels is not a power of two, the order is no permutation,
            or the kept coefficients repeat or do not exist.
    """

    name: ClassVar[str] = "hadamard"
    shapes: ClassVar[str] = "(channel, row, column) -> (channel, rows)"

    order: Int[Tensor, "*problem pixel"]
    kept: Int[Tensor, "*problem rows"]
    shape: Shape

    def __post_init__(self) -> None:
        super().__post_init__()
        pixels = self.shape[-2] * self.shape[-1]
        require(
            pixels & (pixels - 1) == 0,
            self.name,
            f"rows times columns must be a power of two but {self.shape[-2:]} make {pixels}; crop "
            "or pad the image.",
        )
        require(
            self.order.shape[-1] == pixels
            and bool((self.order.sort(-1).values == torch.arange(pixels).to(self.order)).all()),
            self.name,
            f"order must be a permutation of the {pixels} pixels, got shape "
            f"{tuple(self.order.shape)}.",
        )
        ranked = self.kept.sort(-1).values
        repeated = (ranked.diff(dim=-1) == 0) & (ranked[..., 1:] != PADDING)
        require(
            not bool(repeated.any())
            and int(ranked.min()) >= PADDING
            and int(ranked.max()) < pixels
            and bool((ranked[..., -1] >= 0).all()),
            self.name,
            f"kept must hold at least one coefficient of 0 to {pixels - 1} per problem and none "
            "twice.",
        )

    @classmethod
    def draw(cls, shape: Shape, rows: int, generator: Generator) -> "Hadamard":
        """Draw a permutation and a choice of coefficients; the mean of the image is always kept."""
        pixels = shape[-2] * shape[-1]
        require(1 <= rows <= pixels, cls.name, f"rows must be 1 to {pixels}, got {rows}.")
        order = torch.randperm(pixels, generator=generator)
        others = 1 + torch.randperm(pixels - 1, generator=generator)[: rows - 1]
        return cls(order, torch.cat([torch.zeros(1, dtype=torch.long), others]), shape)

    @property
    def in_shape(self) -> Shape:
        return self.shape

    @property
    def out_shape(self) -> Shape:
        return (self.shape[0], self.kept.shape[-1])

    @property
    def problem_shape(self) -> Shape:
        return tuple(self.order.shape[:-1])

    @property
    def row_mask(self) -> Tensor:
        return (self.kept != PADDING).unsqueeze(-2)

    @property
    def singular_value(self) -> float:
        return 1.0

    @full_precision
    def forward(self, x: Tensor) -> Float[Tensor, "*batch channel rows"]:
        shuffled = _take(x.flatten(-2), self.order)
        return self.row_mask * _take(walsh_hadamard(shuffled), self.kept.clamp(min=0))

    @full_precision
    def adjoint(self, y: Float[Tensor, "*batch channel rows"]) -> Tensor:
        index = self.kept.clamp(min=0).unsqueeze(-2).expand(y.shape)
        spread = y.new_zeros(*y.shape[:-1], self.order.shape[-1])
        spread = spread.scatter_add(-1, index, self.row_mask * y)
        return _take(walsh_hadamard(spread), self.order.argsort(-1)).unflatten(-1, self.shape[-2:])

    @full_precision
    def pinv(self, y: Float[Tensor, "*batch channel rows"]) -> Tensor:
        return self.adjoint(y)

    def spectral(self) -> Spectrum:
        s = self.row_mask.expand(*self.problem_shape, *self.out_shape).flatten(-2).float()

        def vt(x: Tensor) -> Tensor:
            return self.forward(x).flatten(-2)

        def v(c: Tensor) -> Tensor:
            return self.adjoint(c.unflatten(-1, self.out_shape))

        def ut(y: Tensor) -> Tensor:
            return (self.row_mask * y).flatten(-2)

        def u(c: Tensor) -> Tensor:
            return self.row_mask * c.unflatten(-1, self.out_shape)

        return Spectrum(s, vt, v, ut, u)

    def group_key(self) -> tuple[Any, ...]:
        return (self.name, self.shape)

    @classmethod
    def concatenate(cls, parts: Sequence[Any]) -> LinearOperator:
        same(cls.name, "shape", [part.shape for part in parts])
        most = max(part.kept.shape[-1] for part in parts)
        kept = [
            torch.nn.functional.pad(part.kept, (0, most - part.kept.shape[-1]), value=PADDING)
            for part in parts
        ]
        return dataclasses.replace(
            parts[0],
            order=torch.cat([part.order.reshape(-1, part.order.shape[-1]) for part in parts]),
            kept=torch.cat([row.reshape(-1, most) for row in kept]),
        )


def walsh_hadamard(x: Float[Tensor, "*batch pixel"]) -> Float[Tensor, "*batch pixel"]:
    """Apply the orthonormal Walsh-Hadamard matrix, in Sylvester's order, to the last axis.

    The matrix is a Kronecker product of 2 x 2 ones. Taking up to five of them at once makes the
    passes over memory few and each of them a small matrix product.
    """
    pixels = x.shape[-1]
    y, done = x, 1
    while done < pixels:
        size = min(32, pixels // done)
        y = y.reshape(*x.shape[:-1], -1, size, done)
        y = _small_hadamard(size).to(y) @ y
        done *= size
    return y.reshape(x.shape) / pixels**0.5


def _small_hadamard(size: int) -> Tensor:
    """Entry (i, j) is -1 to the number of ones that the binary i and j have in common."""
    shared = torch.arange(size)[:, None] & torch.arange(size)
    ones = sum((shared >> bit) & 1 for bit in range(size.bit_length()))
    return 1.0 - 2.0 * (torch.as_tensor(ones) % 2)


def _take(x: Tensor, index: Tensor) -> Tensor:
    """Take entries of the last axis of ``(*batch, *problem, channel, pixel)``."""
    if index.ndim == 1:
        return x[..., index]
    index = index.unsqueeze(-2).expand(*x.shape[:-1], index.shape[-1])
    return x.gather(-1, index)
