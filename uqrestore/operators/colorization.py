"""Mix the channels of each voxel: grey from colour, echoes from tissues."""

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from uqrestore.operators._checks import Shape, full_precision, require
from uqrestore.operators.base import LinearOperator
from uqrestore.operators.spectrum import Spectrum

Image = Float[Tensor, "*batch channel row column"]
Measurement = Float[Tensor, "*batch out row column"]


@dataclass(frozen=True, eq=False)
class Colorization(LinearOperator):
    r"""Multiply the channels of every voxel by one small matrix: :math:`y_{oij} = W_{oc} x_{cij}`.

    The mean of three channels is ``weights = torch.full((1, 3), 1 / 3)``.

    Args:
        weights: The matrix, shape ``(*problem, out, channel)``.
        space: Rows and columns of the image.

    Raises:
        ValueError: If the weights are NaN or all zero.
    """

    name: ClassVar[str] = "colorization"
    shapes: ClassVar[str] = "(channel, row, column) -> (out, row, column)"

    weights: Float[Tensor, "*problem out channel"]
    space: tuple[int, int]
    _inverse: Float[Tensor, "*problem channel out"] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            self.weights.ndim in (2, 3) and bool(torch.isfinite(self.weights).all()),
            self.name,
            "wants finite weights (out, channel), or one such matrix per problem, but got shape "
            f"{tuple(self.weights.shape)} with "
            f"{int((~torch.isfinite(self.weights)).sum())} values NaN or infinite.",
        )
        require(
            (self.weights != 0).flatten(-2).any(-1),
            self.name,
            "the weights of a problem are all zero; use the zero operator.",
        )
        rounding = torch.finfo(self.weights.dtype).eps * max(self.weights.shape[-2:])
        inverse = torch.linalg.pinv(self.weights.double(), rtol=rounding).to(self.weights.dtype)
        object.__setattr__(self, "_inverse", inverse)

    @property
    def in_shape(self) -> Shape:
        return (self.weights.shape[-1], *self.space)

    @property
    def out_shape(self) -> Shape:
        return (self.weights.shape[-2], *self.space)

    @property
    def problem_shape(self) -> Shape:
        return tuple(self.weights.shape[:-2])

    @property
    def singular_value(self) -> float | None:
        s = torch.linalg.svdvals(self.weights.double())
        kept = s[s > 1e-6 * s.max()]
        return float(kept.mean()) if kept.max() - kept.min() <= 1e-6 * s.max() else None

    @full_precision
    def forward(self, x: Image) -> Measurement:
        return self._mix(self.weights, x)

    @full_precision
    def adjoint(self, y: Measurement) -> Image:
        return self._mix(self.weights.mT, y)

    @full_precision
    def pinv(self, y: Measurement) -> Image:
        return self._mix(self._inverse, y)

    def spectral(self) -> Spectrum:
        left, s, right = torch.linalg.svd(self.weights.double(), full_matrices=False)
        s = torch.where(s > 1e-6 * s.amax(-1, keepdim=True), s, 0).to(self.dtype)
        left, right = left * (s > 0)[..., None, :], right * (s > 0)[..., :, None]
        voxels = self.space[0] * self.space[1]

        def ut(y: Tensor) -> Tensor:
            return self._mix(left.mT, y).flatten(-3)

        def u(c: Tensor) -> Tensor:
            return self._mix(left, c.unflatten(-1, (-1, *self.space)))

        def vt(x: Tensor) -> Tensor:
            return self._mix(right, x).flatten(-3)

        def v(c: Tensor) -> Tensor:
            return self._mix(right.mT, c.unflatten(-1, (-1, *self.space)))

        return Spectrum(s.repeat_interleave(voxels, -1), vt, v, ut, u)

    def _mix(self, matrix: Tensor, x: Tensor) -> Tensor:
        return (matrix.to(x) @ x.flatten(-2)).unflatten(-1, self.space)
