"""An image in another field of view: cut where it is larger, zeros where it is smaller."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from uqrestore.operators._checks import Shape, require
from uqrestore.operators.identity import PlainOperator
from uqrestore.operators.spectrum import Spectrum

Image = Float[Tensor, "*batch channel row column"]
Field = Float[Tensor, "*batch channel field_row field_column"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Embedding(PlainOperator):
    """Embed an image in a field of view of another size, pixel by pixel.

    Pixel ``(i, j)`` of the image is pixel ``(i + offset[0], j + offset[1])`` of the field; what
    falls outside is not measured, and the field is 0 outside the image. Before a transform
    (``A @ Embedding(...)``) it models a scanner with a larger field of view that is empty
    outside the image, or with a smaller one than is restored.

    Args:
        shape: Image shape, ``(channel, row, column)``.
        problems: Batch of problems, ``()`` or ``(b,)``.
        field_shape: Rows and columns of the field.
        offset: First row and column of the image on the field; negative where it begins outside.

    Raises:
        ValueError: If image and field do not overlap.
    """

    name: ClassVar[str] = "embedding"
    shapes: ClassVar[str] = "(channel, row, column) -> (channel, other row, other column)"

    field_shape: tuple[int, int]
    offset: tuple[int, int]

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            len(self.shape) == 3,
            self.name,
            f"wants an image (channel, row, column), but got shape {self.shape}.",
        )
        on_image = self._overlap()[0]
        require(
            all(part.stop > part.start for part in on_image),
            self.name,
            f"an image {self.shape} at {self.offset} does not overlap a field {self.field_shape}.",
        )

    @property
    def out_shape(self) -> Shape:
        return (self.shape[0], *self.field_shape)

    @property
    def row_mask(self) -> Tensor | None:
        if self._pixels() == self.out_shape[1] * self.out_shape[2]:
            return None
        mask = torch.zeros(self.out_shape, dtype=torch.bool, device=self._unit.device)
        mask[(..., *self._overlap()[1])] = True
        return mask

    @property
    def singular_value(self) -> float:
        return 1.0

    def forward(self, x: Image) -> Field:
        on_image, on_field = self._overlap()
        return _laid(x[(..., *on_image)], on_field, self.field_shape)

    def adjoint(self, y: Field) -> Image:
        on_image, on_field = self._overlap()
        rows, columns = self.shape[1:]
        return _laid(y[(..., *on_field)], on_image, (rows, columns))

    def pinv(self, y: Field) -> Image:
        return self.adjoint(y)

    def spectral(self) -> Spectrum:
        on_image, on_field = self._overlap()
        rows, columns = self.shape[1:]
        size = [part.stop - part.start for part in on_image]

        def take(where: tuple[slice, slice], image: Tensor) -> Tensor:
            return image[(..., *where)].flatten(-3)

        def lay(where: tuple[slice, slice], shape: tuple[int, int], c: Tensor) -> Tensor:
            return _laid(c.unflatten(-1, (self.shape[0], *size)), where, shape)

        return Spectrum(
            self._unit.new_ones((*self.problems, self.shape[0] * self._pixels())),
            lambda x: take(on_image, x),
            lambda c: lay(on_image, (rows, columns), c),
            lambda y: take(on_field, y),
            lambda c: lay(on_field, self.field_shape, c),
        )

    def group_key(self) -> tuple[Any, ...]:
        return (*super().group_key(), self.field_shape, self.offset)

    def _pixels(self) -> int:
        rows, columns = (part.stop - part.start for part in self._overlap()[0])
        return rows * columns

    def _overlap(self) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """Return the overlap of image and field, in the coordinates of each."""
        on_image, on_field = [], []
        for size, wide, offset in zip(self.shape[1:], self.field_shape, self.offset, strict=True):
            start, stop = max(0, offset), min(wide, offset + size)
            on_field.append(slice(start, stop))
            on_image.append(slice(start - offset, stop - offset))
        return (on_image[0], on_image[1]), (on_field[0], on_field[1])


def _laid(part: Tensor, where: tuple[slice, slice], shape: tuple[int, int]) -> Tensor:
    """Embed a part at its place in a field of zeros."""
    rows, columns = where
    around = (columns.start, shape[1] - columns.stop, rows.start, shape[0] - rows.stop)
    return torch.nn.functional.pad(part, around)
