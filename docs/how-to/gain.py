"""A known gain at every voxel, such as the bias field of a coil: one file, one operator."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from uqrestore.operators._checks import Shape, require
from uqrestore.operators.base import LinearOperator
from uqrestore.operators.spectrum import Spectrum

Image = Float[Tensor, "*batch channel row column"]


@dataclass(frozen=True, eq=False)
class Gain(LinearOperator):
    r"""Multiply each voxel by a known gain: :math:`A = \mathrm{diag}(g)`.

    Args:
        gain: Shape ``(*problem, channel, row, column)``; a voxel of gain 0 is not seen.

    Raises:
        ValueError: If a gain is negative, NaN or infinite.
    """

    name: ClassVar[str] = "gain"
    shapes: ClassVar[str] = "(channel, row, column) -> the same"

    gain: Float[Tensor, "*problem channel row column"]

    def __post_init__(self) -> None:
        super().__post_init__()  # NumPy arrays become tensors
        require(
            torch.isfinite(self.gain) & (self.gain >= 0),
            self.name,
            f"gains must be finite and at least 0, but one is {self.gain.min().item():.3g}.",
        )

    @property
    def in_shape(self) -> Shape:
        return tuple(self.gain.shape[-3:])

    @property
    def out_shape(self) -> Shape:
        return self.in_shape

    @property
    def problem_shape(self) -> Shape:
        return tuple(self.gain.shape[:-3])

    @property
    def row_mask(self) -> Tensor:
        return self.gain > 0

    def forward(self, x: Image) -> Image:
        return self.gain.to(x.dtype) * x

    def adjoint(self, y: Image) -> Image:
        return self.gain.to(y.dtype) * y

    def pinv(self, y: Image) -> Image:
        seen = self.gain > 0
        return torch.where(seen, y / torch.where(seen, self.gain, 1).to(y.dtype), 0)

    def spectral(self) -> Spectrum:
        def flat(x: Tensor) -> Tensor:
            return (self.row_mask * x).flatten(-3)

        def image(c: Tensor) -> Tensor:
            return self.row_mask * c.unflatten(-1, self.in_shape)

        return Spectrum(self.gain.flatten(-3), flat, image, flat, image)
