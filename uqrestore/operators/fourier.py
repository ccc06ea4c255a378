"""The orthonormal 2-D Fourier transform with zero frequency and image centre in the middle."""

import torch
from jaxtyping import Complex, Float, Shaped
from torch import Tensor

Pairs = Float[Tensor, "*batch 2 row column"]
Grid = Complex[Tensor, "*batch row column"]
AXES = (-2, -1)


def centre_sign(row: int, column: int) -> Float[Tensor, "row column"] | None:
    r"""Return the sign pattern that replaces the two shifts of a centred transform.

    Where both lengths are even, shifting an image by half its length only flips the sign of
    every second frequency: with :math:`c_{ij} = (-1)^{i+j}` and :math:`F` uncentred, the centred
    transform is :math:`\pm c \odot F (c \odot x)`. Multiplying is free where a mask is multiplied
    anyway; moving memory is not. Odd lengths would need complex phases, hence None: shift.
    """
    if row % 2 or column % 2:
        return None
    parity = torch.arange(row)[:, None] + torch.arange(column)
    return 1.0 - 2.0 * (parity % 2)


def fold_sign(
    weight: Float[Tensor, "*problem row column"], sign: Float[Tensor, "row column"] | None
) -> Float[Tensor, "*problem row column"]:
    """Fold the k-space half of the sign pattern into what multiplies k-space anyway."""
    if sign is None:
        return weight
    return weight * sign * (-1) ** (sum(sign.shape) // 2)


def fft2c(z: Tensor, sign: Tensor | None) -> Grid:
    """Transform an image that :func:`centre_sign` multiplied; result wants :func:`fold_sign`."""
    if sign is not None:
        return torch.fft.fft2(z, norm="ortho")
    z = torch.fft.fft2(torch.fft.ifftshift(z, dim=AXES), norm="ortho")
    return torch.fft.fftshift(z, dim=AXES)


def ifft2c(z: Grid, sign: Tensor | None) -> Grid:
    """Invert :func:`fft2c`; k-space comes with the folded sign, the image goes out with it."""
    if sign is not None:
        return torch.fft.ifft2(z, norm="ortho")
    z = torch.fft.ifft2(torch.fft.ifftshift(z, dim=AXES), norm="ortho")
    return torch.fft.fftshift(z, dim=AXES)


def as_complex(x: Pairs) -> Grid:
    """Read two channels (real, imaginary) as complex numbers."""
    return torch.view_as_complex(x.movedim(-3, -1).contiguous())


def as_pairs(z: Grid) -> Pairs:
    """Write complex numbers as two channels (real, imaginary)."""
    return torch.view_as_real(z).movedim(-1, -3)


def times(weight: Tensor | None, x: Pairs) -> Grid:
    """Multiply complex numbers, given as two channels, by a real weight ``(row, column)``.

    Equals ``weight * as_complex(x)``, but never multiplies complex by complex.
    """
    pairs = x.movedim(-3, -1).contiguous()
    if weight is not None:
        pairs = pairs * weight.to(x.dtype)[..., None]
    return torch.view_as_complex(pairs)


def reflect(mask: Shaped[Tensor, "*problem row column"]) -> Shaped[Tensor, "*problem row column"]:
    """Return ``mask[-k]``: each frequency replaced by its opposite, zero frequency centred."""
    flipped = torch.flip(mask, AXES)
    even = [axis for axis in AXES if mask.shape[axis] % 2 == 0]
    return torch.roll(flipped, [1] * len(even), even) if even else flipped
