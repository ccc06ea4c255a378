"""One small operator of each kind, odd and non-square where it can be; one line for a new one."""

from collections.abc import Callable

import torch
from torch import Generator

from uqrestore.operators import Identity, Inpainting, LinearOperator, MaskedFourier, Zero


def mask(g: Generator, *shape: int, fraction: float = 0.5) -> torch.Tensor:
    return torch.rand(shape, generator=g) < fraction


CASES: dict[str, Callable[[Generator], LinearOperator]] = {
    "identity": lambda g: Identity((3, 7, 6)),
    "inpainting": lambda g: Inpainting(mask(g, 3, 7, 6)),
    "masked_fourier": lambda g: MaskedFourier(mask(g, 7, 6)),
    "zero": lambda g: Zero((3, 7, 6)),
}

# More of the same kinds, where a kind has more than one path through its code.
VARIANTS: dict[str, Callable[[Generator], LinearOperator]] = {
    "masked_fourier, real": lambda g: MaskedFourier(mask(g, 7, 6), channels=1),
    "masked_fourier, even": lambda g: MaskedFourier(mask(g, 8, 6)),
    "masked_fourier, real, even": lambda g: MaskedFourier(mask(g, 6, 10), channels=1),
    "masked_fourier, batch": lambda g: MaskedFourier(mask(g, 2, 4, 6), channels=1),
}
