"""Operators whose tensors a file cannot hold, from the few numbers that say how they are made."""

from collections.abc import Callable, Mapping
from typing import Annotated

import torch
from pydantic import Field

from uqrestore.operators import OPERATORS
from uqrestore.operators.base import LinearOperator, Shape
from uqrestore.operators.kernels import gaussian_kernel
from uqrestore.operators.matrix import Matrix
from uqrestore.operators.radon import Radon
from uqrestore.operators.strided_blur import StridedBlur


def gaussian_blur(
    shape: Shape,
    *,
    std: Annotated[float, Field(gt=0)],
    stride: Annotated[int, Field(ge=1)] = 1,
    size: Annotated[int, Field(ge=1)] = 9,
) -> StridedBlur:
    """Blur with a Gaussian kernel, then keep every ``stride``-th row and column.

    Args:
        shape: Image shape.
        std: Standard deviation of the kernel in pixels.
        stride: Of rows and columns kept.
        size: Side of the kernel in pixels.
    """
    return StridedBlur(gaussian_kernel((size, size), std).float(), stride, shape)


def random_matrix(
    shape: Shape, *, ratio: Annotated[float, Field(gt=0, le=1)], seed: int = 0
) -> Matrix:
    """Multiply by a dense Gaussian matrix with rows of unit length.

    Args:
        shape: Image shape.
        ratio: Measurements over pixels.
        seed: Of the matrix.
    """
    pixels = torch.Size(shape).numel()
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(max(1, round(ratio * pixels)), pixels, generator=generator)
    return Matrix(rows / rows.norm(dim=-1, keepdim=True), shape)


def sparse_views(
    shape: Shape,
    *,
    views: Annotated[int, Field(ge=1)],
    detectors: Annotated[int, Field(ge=1)] | None = None,
    tol: Annotated[float, Field(gt=0, lt=1)] = 1e-4,
) -> Radon:
    """Project along parallel rays from few directions, spread evenly over half a turn.

    Args:
        shape: Image shape.
        views: Number of directions.
        detectors: Length of a projection in pixels; by default the diagonal of the image.
        tol: Relative residual at which the iterative inverse stops.
    """
    angles = torch.arange(views) * (180.0 / views)
    return Radon(angles, shape, detectors, tol)


FACTORIES: Mapping[str, Callable[..., LinearOperator]] = {
    "matrix": random_matrix,
    "radon": sparse_views,
    "strided_blur": gaussian_blur,
}
"""By the name of the operator."""


def operator_maker(name: str) -> Callable[..., LinearOperator]:
    """Return what makes an operator of a pipeline: its law where it has one, else its class."""
    return FACTORIES.get(name, OPERATORS[name])
