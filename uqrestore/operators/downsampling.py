"""Super-resolution: average or bicubic reduction by whole factors, with exact pseudo-inverse."""

import dataclasses
import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from uqrestore.operators._checks import Index, Shape, full_precision, pick, require, same
from uqrestore.operators.base import LinearOperator
from uqrestore.operators.spectrum import Spectrum

Image = Float[Tensor, "*batch channel row column"]
Measurement = Float[Tensor, "*batch channel low_row low_column"]
Matrix = Float[Tensor, "*problem low high"]


@dataclass(frozen=True, eq=False)
class Downsampling(LinearOperator):
    r"""Reduce rows and columns by a factor: :math:`y = R x C^T` with one matrix for each.

    The pseudo-inverse of a Kronecker product is that of its factors, :math:`R^+ y (C^+)^T`; for
    the average it copies each pixel over its block. All singular values of the average are
    ``1 / factor``; those of bicubic reduction differ, which matters to methods for noisy data.

    Args:
        shape: Image shape ``(channel, row, column)``.
        factor: One for a single operator, a tuple for a batch of operators; measurements of
            larger factors are padded with zero rows and columns to those of the smallest.
        kind: ``"average"`` of blocks, or ``"bicubic"``: Keys' kernel with a = -0.5 stretched over
            ``4 factor`` pixels, mirrored at the border.
        low: Rows and columns of the padded measurement; by default the fewest that hold all.

    Raises:
        ValueError: If a factor does not divide the image, the kind is unknown, or ``low`` is too
            small.

    References:
        Keys, "Cubic Convolution Interpolation for Digital Image Processing", IEEE Trans. Acoust.
        29:1153-1160, 1981, equation 15.
    """

    name: ClassVar[str] = "downsampling"
    shapes: ClassVar[str] = "(channel, row, column) -> (channel, row / factor, column / factor)"

    shape: Shape
    factor: int | tuple[int, ...]
    kind: Literal["average", "bicubic"] = "average"
    low: tuple[int, int] | None = None
    _rows: Matrix = field(init=False, repr=False)
    _columns: Matrix = field(init=False, repr=False)
    _rows_pinv: Matrix = field(init=False, repr=False)
    _columns_pinv: Matrix = field(init=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            self.kind in ("average", "bicubic"),
            self.name,
            f"kind must be 'average' or 'bicubic', got {self.kind!r}.",
        )
        bad = [f for f in self._factors if f < 1 or self.shape[-2] % f or self.shape[-1] % f]
        require(
            len(self.shape) == 3 and not bad and bool(self._factors),
            self.name,
            f"a factor must divide the rows and columns of the image {self.shape} but got "
            f"{bad or self.factor}; crop or pad the image, or choose another factor.",
        )
        need = tuple(length // min(self._factors) for length in self.shape[-2:])
        low = self.low or need
        require(
            low[0] >= need[0] and low[1] >= need[1],
            self.name,
            f"low must be at least {need} to hold the measurement but got {low}.",
        )
        object.__setattr__(self, "low", tuple(low))
        self._compute(torch.float32)

    def _compute(self, dtype: torch.dtype) -> None:
        """Fill the tables: exact in float64, then rounded to ``dtype``."""
        for axis, name in ((-2, "_rows"), (-1, "_columns")):
            pairs = [_reduction(self.shape[axis], f, self.kind) for f in self._factors]
            for suffix, matrices in zip(("", "_pinv"), zip(*pairs, strict=True), strict=True):
                padded = [_pad_rows(matrix, self.out_shape[axis]) for matrix in matrices]
                table = torch.stack(padded).to(dtype)
                object.__setattr__(self, name + suffix, table if self.problem_shape else table[0])

    @property
    def _factors(self) -> tuple[int, ...]:
        return self.factor if isinstance(self.factor, tuple) else (self.factor,)

    @property
    def in_shape(self) -> Shape:
        return self.shape

    @property
    def out_shape(self) -> Shape:
        return (self.shape[0], *(self.low or ()))

    @property
    def problem_shape(self) -> Shape:
        return (len(self.factor),) if isinstance(self.factor, tuple) else ()

    @property
    def row_mask(self) -> Tensor | None:
        rows, columns = ((table != 0).any(-1) for table in (self._rows, self._columns))
        return (rows[..., :, None] & columns[..., None, :]).unsqueeze(-3)

    @property
    def singular_value(self) -> float | None:
        equal = self.kind == "average" and len(set(self._factors)) == 1
        return 1 / self._factors[0] if equal else None

    @full_precision
    def forward(self, x: Image) -> Measurement:
        return _both(self._rows, x, self._columns)

    @full_precision
    def adjoint(self, y: Measurement) -> Image:
        return _both(self._rows.mT, y, self._columns.mT)

    @full_precision
    def pinv(self, y: Measurement) -> Image:
        return _both(self._rows_pinv.mT, y, self._columns_pinv.mT)

    def spectral(self) -> Spectrum:
        row_u, row_s, row_vt = torch.linalg.svd(self._rows.double(), full_matrices=False)
        column_u, column_s, column_vt = torch.linalg.svd(
            self._columns.double(), full_matrices=False
        )
        s = (row_s[..., :, None] * column_s[..., None, :]).to(self.dtype)
        s = torch.where(s > 1e-6 * s.amax((-2, -1), keepdim=True), s, 0).unsqueeze(-3)
        s = s.expand(*self.problem_shape, *self.out_shape)
        kept = s > 0

        def vt(x: Tensor) -> Tensor:
            return (kept * _both(row_vt, x, column_vt)).flatten(-3)

        def v(c: Tensor) -> Tensor:
            return _both(row_vt.mT, kept * c.unflatten(-1, self.out_shape), column_vt.mT)

        def ut(y: Tensor) -> Tensor:
            return (kept * _both(row_u.mT, y, column_u.mT)).flatten(-3)

        def u(c: Tensor) -> Tensor:
            return _both(row_u, kept * c.unflatten(-1, self.out_shape), column_u)

        return Spectrum(s.flatten(-3), vt, v, ut, u)

    def to(self, target: torch.device | torch.dtype | str) -> LinearOperator:
        if not isinstance(target, torch.dtype):
            return super().to(target)
        new = dataclasses.replace(self)
        new._compute(target)
        return new._with_tensors(lambda _, value: value.to(self.device))

    def select(self, index: Index) -> LinearOperator:
        factor = pick(self.name, self.problem_shape, self._factors, index)
        return dataclasses.replace(self, factor=factor).to(self.dtype).to(self.device)

    def group_key(self) -> tuple[Any, ...]:
        return (self.name, self.shape, self.kind)

    @classmethod
    def concatenate(cls, parts: Sequence[Any]) -> LinearOperator:
        same(cls.name, "shape", [part.in_shape for part in parts])
        same(cls.name, "kind", [part.kind for part in parts])
        factor = tuple(f for part in parts for f in part._factors)
        low = tuple(max(sizes) for sizes in zip(*(o.low for o in parts), strict=True))
        whole = dataclasses.replace(parts[0], factor=factor, low=low)
        return whole.to(parts[0].dtype).to(parts[0].device)


@functools.cache
def _reduction(length: int, factor: int, kind: str) -> tuple[Tensor, Tensor]:
    """Return the matrix that reduces a line of ``length`` pixels, and its transposed inverse."""
    low = length // factor
    if kind == "average":
        copied = torch.eye(low, dtype=torch.float64).repeat_interleave(factor, -1)
        return copied / factor, copied
    # Centres of the large pixels, in small pixels; the half comes from centring both grids.
    centre = (torch.arange(low, dtype=torch.float64) + 0.5) * factor - 0.5
    tap = torch.arange(-2 * factor, 2 * factor) + (centre.floor() + 1).long()[:, None]
    weight = _keys((tap - centre[:, None]) / factor)
    folded = tap.remainder(2 * length)
    pixel = torch.where(folded < length, folded, 2 * length - 1 - folded)
    matrix = torch.zeros(low, length, dtype=torch.float64).scatter_add(-1, pixel, weight)
    matrix = matrix / matrix.sum(-1, keepdim=True)
    return matrix, torch.linalg.pinv(matrix).mT


def _keys(t: Tensor) -> Tensor:
    """Keys' cubic kernel with a = -1/2, supported on ``|t| < 2``."""
    t = t.abs()
    near = 1.5 * t**3 - 2.5 * t**2 + 1
    far = -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2
    return torch.where(t <= 1, near, torch.where(t < 2, far, 0))


def _pad_rows(matrix: Tensor, rows: int) -> Tensor:
    return torch.nn.functional.pad(matrix, (0, 0, 0, rows - len(matrix)))


def _both(left: Tensor, x: Tensor, right: Tensor) -> Tensor:
    """Return ``left x right^T`` for every channel, each problem with its own matrices."""
    return left.to(x).unsqueeze(-3) @ x @ right.to(x).mT.unsqueeze(-3)
