"""One small operator of each kind, odd and non-square where it can be; one line for a new one."""

from collections.abc import Callable

import torch
from torch import Generator

from uqrestore.operators import (
    Colorization,
    Downsampling,
    Hadamard,
    Identity,
    Inpainting,
    LinearOperator,
    MaskedFourier,
    Matrix,
    StridedBlur,
    Zero,
)


def mask(g: Generator, *shape: int, fraction: float = 0.5) -> torch.Tensor:
    return torch.rand(shape, generator=g) < fraction


def normal(g: Generator, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=g, dtype=torch.float64)


def kernel(g: Generator, *shape: int) -> torch.Tensor:
    values = torch.rand(shape, generator=g, dtype=torch.float64)
    return values / values.sum((-2, -1), keepdim=True)


CASES: dict[str, Callable[[Generator], LinearOperator]] = {
    "colorization": lambda g: Colorization(normal(g, 2, 3), (7, 6)),
    "downsampling": lambda _: Downsampling((3, 6, 9), 3),
    "hadamard": lambda g: Hadamard.draw((3, 4, 8), 13, g),
    "identity": lambda _: Identity((3, 7, 6)),
    "inpainting": lambda g: Inpainting(mask(g, 3, 7, 6)),
    "masked_fourier": lambda g: MaskedFourier(mask(g, 7, 6)),
    "matrix": lambda g: Matrix(normal(g, 11, 42), (1, 7, 6)),
    "strided_blur": lambda g: StridedBlur(kernel(g, 5, 4), 3, (3, 6, 9)),
    "zero": lambda _: Zero((3, 7, 6)),
}

# More of the same kinds, where a kind has more than one path through its code.
VARIANTS: dict[str, Callable[[Generator], LinearOperator]] = {
    "colorization, rank 1": lambda _: Colorization(torch.ones(3, 3).double() / 3, (7, 6)),
    "downsampling, bicubic": lambda _: Downsampling((2, 6, 9), 3, "bicubic"),
    "downsampling, batch": lambda _: Downsampling((1, 12, 24), (2, 4, 3), "bicubic"),
    "masked_fourier, real": lambda g: MaskedFourier(mask(g, 7, 6), channels=1),
    "masked_fourier, even": lambda g: MaskedFourier(mask(g, 8, 6)),
    "masked_fourier, real, even": lambda g: MaskedFourier(mask(g, 6, 10), channels=1),
    "masked_fourier, batch": lambda g: MaskedFourier(mask(g, 2, 4, 6), channels=1),
    "matrix, dependent rows": lambda g: Matrix(
        torch.cat([normal(g, 6, 42), normal(g, 6, 42)[:1].expand(3, 42)]), (1, 7, 6)
    ),
    "matrix, more rows than pixels": lambda g: Matrix(normal(g, 50, 42), (1, 7, 6)),
    "strided_blur, mixed strides": lambda g: StridedBlur(
        kernel(g, 3, 5, 5), torch.tensor([1, 2, 4]), (2, 8, 12)
    ),
    "strided_blur, cut": lambda _: StridedBlur(
        torch.ones(6, 6, dtype=torch.float64) / 36, 2, (1, 12, 16), rcond=0.1, normalize=True
    ),
}
