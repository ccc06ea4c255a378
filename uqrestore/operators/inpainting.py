"""In-painting: keep the observed voxels, set the others to zero."""

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from uqrestore.operators._checks import Shape, require
from uqrestore.operators.base import LinearOperator
from uqrestore.operators.spectrum import Spectrum

Image = Float[Tensor, "*batch channel row column"]


@dataclass(frozen=True, eq=False)
class Inpainting(LinearOperator):
    r"""Multiply by a mask: :math:`A = A^T = A^+ = \mathrm{diag}(M)`.

    The measurement keeps the layout of the image, with zeros at unobserved voxels, so masks of
    different counts share a batch.

    Args:
        mask: True, or 1, where a voxel is observed; shape ``(*problem, channel, row, column)``.

    Raises:
        ValueError: If the mask holds anything but 0 and 1, or is empty.
    """

    name: ClassVar[str] = "inpainting"
    shapes: ClassVar[str] = "(channel, row, column) -> the same, zeros where unobserved"
    axes: ClassVar[tuple[str, ...]] = ("channel", "y", "x")

    mask: Float[Tensor, "*problem channel row column"] | Bool[Tensor, "*problem channel row column"]
    _weight: Float[Tensor, "*problem channel row column"] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_mask(self.name, self.mask, 3)
        if not self.mask.is_floating_point():
            object.__setattr__(self, "mask", self.mask.bool())
        # Multiplying by a float mask is twice as fast as by a boolean one.
        weight = self.mask if self.mask.is_floating_point() else self.mask.float()
        object.__setattr__(self, "_weight", weight)

    @property
    def in_shape(self) -> Shape:
        return tuple(self.mask.shape[-3:])

    @property
    def out_shape(self) -> Shape:
        return self.in_shape

    @property
    def problem_shape(self) -> Shape:
        return tuple(self.mask.shape[:-3])

    @property
    def row_mask(self) -> Tensor:
        return self.mask.bool()

    @property
    def singular_value(self) -> float:
        return 1.0

    def forward(self, x: Image) -> Image:
        return self._weight.to(x.dtype) * x

    def adjoint(self, y: Image) -> Image:
        return self._weight.to(y.dtype) * y

    def pinv(self, y: Image) -> Image:
        return self._weight.to(y.dtype) * y

    def spectral(self) -> Spectrum:
        def flat(x: Tensor) -> Tensor:
            return self.forward(x).flatten(-3)

        def image(c: Tensor) -> Tensor:
            return self.forward(c.unflatten(-1, self.in_shape))

        return Spectrum(self._weight.flatten(-3), flat, image, flat, image)


def check_mask(name: str, mask: Tensor, dims: int) -> None:
    """Raise unless a mask holds only 0 and 1 and every problem of it has a 1 somewhere."""
    require(
        mask.ndim in (dims, dims + 1),
        name,
        f"a mask has {dims} dimensions, or {dims + 1} with the batch of problems in front, but "
        f"this one has shape {tuple(mask.shape)}.",
    )
    if mask.dtype != torch.bool:
        values = mask[~((mask == 0) | (mask == 1))]
        require(
            not values.numel(),
            name,
            f"a mask holds 0 and 1 alone but {values.numel()} entries do not, such as "
            f"{values[:1].tolist()}; threshold it first.",
        )
    seen = mask.bool().flatten(mask.ndim - dims).any(-1)
    empty = torch.nonzero(~seen.reshape(-1)).flatten().tolist()
    require(
        not empty,
        name,
        f"the mask of shape {tuple(mask.shape)} is empty in problem {empty}; every problem "
        "needs at least one True entry. For an unconditional problem use the zero operator.",
    )
