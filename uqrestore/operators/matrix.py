"""Dense compressed sensing: one matrix per problem, of any number of rows."""

import dataclasses
import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from uqrestore.operators._checks import Shape, full_precision, require, same
from uqrestore.operators.base import LinearOperator
from uqrestore.operators.spectrum import Spectrum


@dataclass(frozen=True, eq=False)
class Matrix(LinearOperator):
    r"""Multiply the flattened image by a dense matrix :math:`B`.

    The pseudo-inverse :math:`B^T (B B^T)^{-1}` is applied through the Cholesky factor of the
    small Gram matrix; the large :math:`B^+` is never stored. A row that is all zero is padding,
    which is how matrices of different row counts share a batch.

    Where rows depend on one another, singular values below ``rcond`` of the largest are cut, in
    :math:`A` as in :math:`A^+`.

    Args:
        matrix: Shape ``(*problem, rows, channel * row * column)``.
        shape: Image shape ``(channel, row, column)``.
        rcond: Smallest singular value kept, relative to the largest.

    Raises:
        ValueError: If a matrix is NaN, of rank 0, or does not fit the image.
    """

    name: ClassVar[str] = "matrix"
    shapes: ClassVar[str] = "(channel, row, column) -> (rows,)"

    matrix: Float[Tensor, "*problem rows pixels"]
    shape: Shape
    rcond: float = 1e-4
    _matrix: Float[Tensor, "*problem rows pixels"] = field(init=False, repr=False)
    _cholesky: Float[Tensor, "*problem rows rows"] = field(init=False, repr=False)
    _rank: Int[Tensor, "*problem"] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        matrix, pixels = self.matrix, torch.Size(self.shape).numel()
        require(
            matrix.ndim in (2, 3) and matrix.shape[-1] == pixels,
            self.name,
            f"wants shape (rows, {pixels}) for images {self.shape}, or one such matrix per "
            f"problem, but got {tuple(matrix.shape)}.",
        )
        require(
            torch.isfinite(matrix),
            self.name,
            f"the matrix holds {int((~torch.isfinite(matrix)).sum())} values that are NaN or "
            "infinite.",
        )
        require(
            (matrix != 0).flatten(-2).any(-1),
            self.name,
            "a matrix of rank 0 measures nothing; use the zero operator.",
        )
        # Far from square, a Gram matrix is well conditioned and float32 will do.
        wide = matrix.shape[-2] <= pixels // 4
        exact = matrix if wide else matrix.double()
        gram = _fill_padding(exact @ exact.mT)
        factor, failed = torch.linalg.cholesky_ex(gram)
        pivots = factor.diagonal(dim1=-2, dim2=-1)
        smallest = pivots.amin(-1) / pivots.amax(-1)
        if failed.any() or (smallest < 10 * self.rcond).any():
            exact, factor, rank = _cut(matrix.double(), self.rcond)
        else:
            rank = (matrix != 0).any(-1).sum(-1)
        object.__setattr__(self, "_matrix", exact.to(matrix.dtype))
        object.__setattr__(self, "_cholesky", factor.to(matrix.dtype))
        object.__setattr__(self, "_rank", rank)

    @classmethod
    def random(
        cls, shape: Shape, *, ratio: Annotated[float, Field(gt=0, le=1)], seed: int = 0
    ) -> "Matrix":
        """Multiply by a dense Gaussian matrix with rows of unit length.

        Args:
            shape: Image shape.
            ratio: Number of measurements over number of pixels.
            seed: Seed of the matrix.
        """
        pixels = torch.Size(shape).numel()
        generator = torch.Generator().manual_seed(seed)
        rows = torch.randn(max(1, round(ratio * pixels)), pixels, generator=generator)
        return cls(rows / rows.norm(dim=-1, keepdim=True), shape)

    @property
    def in_shape(self) -> Shape:
        return self.shape

    @property
    def out_shape(self) -> Shape:
        return (self.matrix.shape[-2],)

    @property
    def problem_shape(self) -> Shape:
        return tuple(self.matrix.shape[:-2])

    @property
    def row_mask(self) -> Tensor:
        return (self.matrix != 0).any(-1)

    @full_precision
    def forward(self, x: Tensor) -> Float[Tensor, "*batch rows"]:
        return _apply(self._matrix, x.flatten(x.ndim - len(self.shape)))

    @full_precision
    def adjoint(self, y: Float[Tensor, "*batch rows"]) -> Tensor:
        return _apply(self._matrix.mT, y).unflatten(-1, self.shape)

    @full_precision
    def pinv(self, y: Float[Tensor, "*batch rows"]) -> Tensor:
        factor = self._cholesky.to(y.dtype)
        if not self.problem_shape:
            solved = torch.cholesky_solve(y.reshape(-1, y.shape[-1]).mT, factor).mT.reshape(y.shape)
        else:
            columns = y.reshape(-1, *y.shape[-2:]).permute(1, 2, 0)
            solved = torch.cholesky_solve(columns, factor).permute(2, 0, 1).reshape(y.shape)
        return self.adjoint(solved)

    def rank(self) -> Tensor:
        return self._rank

    @functools.cached_property
    def _svd(self) -> tuple[Tensor, Tensor, Tensor]:
        left, s, right = torch.linalg.svd(self._matrix.double(), full_matrices=False)
        s = torch.where(s > self.rcond / 2 * s.amax(-1, keepdim=True), s, 0)
        left, right = left * (s > 0)[..., None, :], right * (s > 0)[..., :, None]
        return left.to(self.dtype), s.to(self.dtype), right.to(self.dtype)

    def spectral(self) -> Spectrum:
        """Return the decomposition, computed at first use: dense, so slow for many rows."""
        left, s, right = self._svd

        def vt(x: Tensor) -> Tensor:
            return _apply(right, x.flatten(x.ndim - len(self.shape)))

        def v(c: Tensor) -> Tensor:
            return _apply(right.mT, c).unflatten(-1, self.shape)

        def ut(y: Tensor) -> Tensor:
            return _apply(left.mT, y)

        def u(c: Tensor) -> Tensor:
            return _apply(left, c)

        return Spectrum(s, vt, v, ut, u)

    def group_key(self) -> tuple[Any, ...]:
        return (self.name, self.shape, self.rcond)

    @classmethod
    def concatenate(cls, parts: Sequence[Any]) -> LinearOperator:
        same(cls.name, "shape", [part.shape for part in parts])
        same(cls.name, "rcond", [part.rcond for part in parts])
        most = max(part.out_shape[0] for part in parts)
        rows = [
            torch.nn.functional.pad(part.matrix, (0, 0, 0, most - part.out_shape[0]))
            for part in parts
        ]
        rows = [
            row if part.problem_shape else row[None] for row, part in zip(rows, parts, strict=True)
        ]
        return dataclasses.replace(parts[0], matrix=torch.cat(rows))


def _apply(matrix: Tensor, x: Tensor) -> Tensor:
    """Multiply ``(*batch, *problem, n)`` by ``(*problem, m, n)``, each problem by its own."""
    matrix = matrix.to(x.dtype)
    if matrix.ndim == 2:
        return x @ matrix.mT
    # Rows times the transpose: the other order is ten times slower for a transposed matrix.
    rows = x.reshape(-1, *x.shape[-2:]).transpose(0, 1)
    y = torch.bmm(rows, matrix.mT).transpose(0, 1)
    return y.reshape(*x.shape[:-1], matrix.shape[-2])


def _fill_padding(gram: Tensor) -> Tensor:
    """Put 1 on the diagonal where a row is padding, so that the matrix can be factored."""
    diagonal = gram.diagonal(dim1=-2, dim2=-1)
    return gram + torch.diag_embed((diagonal == 0).to(gram.dtype))


def _cut(matrix: Tensor, rcond: float) -> tuple[Tensor, Tensor, Tensor]:
    """Cut small singular values; return the new matrix, a factor for its inverse, and its rank.

    The directions that are cut get the largest eigenvalue in the Gram matrix: nothing excites them,
    and the factorisation stays well conditioned.
    """
    power, basis = torch.linalg.eigh(matrix @ matrix.mT)
    top = power.amax(-1, keepdim=True)
    keep = power > rcond**2 * top
    kept = basis * keep[..., None, :]
    gram = basis * torch.where(keep, power, top)[..., None, :] @ basis.mT
    return kept @ (kept.mT @ matrix), torch.linalg.cholesky(gram), keep.sum(-1)
