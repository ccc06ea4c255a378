"""One small operator of each kind, odd and non-square where it can be; one line for a new one."""

from collections.abc import Callable

import torch
from torch import Generator

from uqrestore.operators import (
    CoilFourier,
    CoilRadial,
    Colorization,
    Composed,
    Downsampling,
    Embedding,
    Hadamard,
    Identity,
    Inpainting,
    LinearOperator,
    MaskedFourier,
    Matrix,
    Mixed,
    Padded,
    RadialFourier,
    Radon,
    Scaled,
    Stacked,
    StridedBlur,
    Zero,
    mix,
)
from uqrestore.operators.radial_fourier import radial_trajectory


def mask(g: Generator, *shape: int, fraction: float = 0.5) -> torch.Tensor:
    return torch.rand(shape, generator=g) < fraction


def normal(g: Generator, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=g, dtype=torch.float64)


def kernel(g: Generator, *shape: int) -> torch.Tensor:
    values = torch.rand(shape, generator=g, dtype=torch.float64)
    return values / values.sum((-2, -1), keepdim=True)


def coils(g: Generator, *shape: int) -> torch.Tensor:
    return torch.complex(normal(g, *shape), normal(g, *shape))


def half_plane(g: Generator, problems: int, count: int) -> torch.Tensor:
    """Draw points of k-space far from one another and from one another's opposites."""
    grid = torch.cartesian_prod(torch.arange(-2, 3), torch.arange(1, 3)).double()
    jitter = 0.2 * (torch.rand(problems, count, 2, generator=g, dtype=torch.float64) - 0.5)
    return torch.pi * (grid[:count] + jitter) / 2.5


def mixed(g: Generator) -> Mixed:
    return mix(
        [
            Inpainting(mask(g, 1, 6, 8)),
            StridedBlur(kernel(g, 3, 3), 2, (1, 6, 8)),
            Inpainting(mask(g, 1, 6, 8)),
            Matrix(normal(g, 5, 48), (1, 6, 8)),
            Zero((1, 6, 8)),
            StridedBlur(kernel(g, 3, 3), 1, (1, 6, 8)),
            Matrix(normal(g, 7, 48), (1, 6, 8)),
        ]
    )


CASES: dict[str, Callable[[Generator], LinearOperator]] = {
    "coil_fourier": lambda g: CoilFourier(mask(g, 7, 6, fraction=0.7), coils(g, 4, 7, 6)),
    "coil_radial": lambda g: CoilRadial(radial_trajectory(9, 12).double(), coils(g, 3, 7, 6)),
    "colorization": lambda g: Colorization(normal(g, 2, 3), (7, 6)),
    "composed": lambda g: Composed(
        (MaskedFourier(mask(g, 7, 6), channels=1), Colorization(normal(g, 1, 3), (7, 6)))
    ),
    "downsampling": lambda _: Downsampling((3, 6, 9), 3),
    "hadamard": lambda g: Hadamard.draw((3, 4, 8), 13, g),
    "embedding": lambda _: Embedding((2, 7, 6), field_shape=(5, 9), offset=(-1, 2)),
    "identity": lambda _: Identity((3, 7, 6)),
    "inpainting": lambda g: Inpainting(mask(g, 3, 7, 6)),
    "masked_fourier": lambda g: MaskedFourier(mask(g, 7, 6)),
    "matrix": lambda g: Matrix(normal(g, 11, 42), (1, 7, 6)),
    "mixed": mixed,
    "padded": lambda g: Padded((Colorization(normal(g, 2, 3), (7, 6)),), 100),
    "radial_fourier": lambda g: RadialFourier(
        torch.pi * (2 * torch.rand(150, 2, generator=g, dtype=torch.float64) - 1), (7, 6)
    ),
    "radon": lambda g: Radon(
        10 + 10 * torch.rand(1, generator=g, dtype=torch.float64) + torch.tensor([0.0, 90]),
        (2, 7, 6),
        detectors=7,
    ),
    "scaled": lambda g: Scaled((Hadamard.draw((3, 4, 8), 13, g),), -2.5),
    "stacked": lambda g: Stacked(
        (Inpainting(mask(g, 1, 7, 6)), MaskedFourier(mask(g, 7, 6), channels=1))
    ),
    "strided_blur": lambda g: StridedBlur(kernel(g, 5, 4), 3, (3, 6, 9)),
    "zero": lambda _: Zero((3, 7, 6)),
}

# More of the same kinds, where a kind has more than one path through its code.
VARIANTS: dict[str, Callable[[Generator], LinearOperator]] = {
    "coil_fourier, columns": lambda g: CoilFourier(
        torch.tensor([1, 0, 1, 1, 0, 1], dtype=torch.bool).expand(7, 6), coils(g, 4, 7, 6)
    ),
    "coil_fourier, rows, real": lambda g: CoilFourier(
        torch.tensor([1, 0, 1, 1, 0, 1, 1, 1], dtype=torch.bool)[:, None].expand(8, 6),
        coils(g, 3, 8, 6),
        phase=normal(g, 8, 6),
    ),
    "coil_fourier, too few samples": lambda g: CoilFourier(
        mask(g, 2, 4, 6, fraction=0.3), coils(g, 2, 2, 4, 6)
    ),
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
    "radial_fourier, real, too few": lambda g: RadialFourier(
        half_plane(g, 2, 7), (6, 5), channels=1
    ),
    "radon, batch": lambda _: Radon(
        torch.tensor([[20.0, 110], [10, 100]], dtype=torch.float64), (1, 5, 4), 5
    ),
    "strided_blur, mixed strides": lambda g: StridedBlur(
        kernel(g, 3, 5, 5), torch.tensor([1, 2, 4]), (2, 8, 12)
    ),
    "strided_blur, cut": lambda _: StridedBlur(
        torch.ones(6, 6, dtype=torch.float64) / 36, 2, (1, 12, 16), rcond=0.1, normalize=True
    ),
}
