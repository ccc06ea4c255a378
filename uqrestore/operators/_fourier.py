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


def fold_sign(weight: Tensor, sign: Tensor | None) -> Complex[Tensor, "*problem row column"]:
    """Fold the k-space half of the sign pattern into a weight that multiplies k-space anyway.

    The result is complex because complex numbers times real ones are not vectorised in torch.
    """
    if sign is not None:
        weight = weight * sign.real * (-1) ** (sum(sign.shape) // 2)
    return weight.to(weight.dtype.to_complex())


def fft2c(z: Tensor, sign: Tensor | None) -> Grid:
    """Transform an image multiplied by :func:`centre_sign`; :func:`fold_sign` completes it."""
    if sign is not None:
        return torch.fft.fft2(z, norm="ortho")
    z = torch.fft.fft2(torch.fft.ifftshift(z, dim=AXES), norm="ortho")
    return torch.fft.fftshift(z, dim=AXES)


def ifft2c(z: Grid, sign: Tensor | None) -> Grid:
    """Invert :func:`fft2c`: k-space and the image both carry their sign patterns."""
    if sign is not None:
        return torch.fft.ifft2(z, norm="ortho")
    z = torch.fft.ifft2(torch.fft.ifftshift(z, dim=AXES), norm="ortho")
    return torch.fft.fftshift(z, dim=AXES)


def as_complex(x: Pairs) -> Grid:
    """Read two channels (real, imaginary) as complex; a view where :func:`as_pairs` made them."""
    pairs = x.movedim(-3, -1)
    if pairs.is_contiguous():
        return torch.view_as_complex(pairs)
    return torch.complex(*x.unbind(-3))


def as_pairs(z: Grid) -> Pairs:
    """Write complex numbers as two channels (real, imaginary), without a copy."""
    return torch.view_as_real(z).movedim(-1, -3)


def times(z: Tensor, weight: Tensor | None) -> Tensor:
    """Multiply by a weight of any precision, in the precision of ``z``."""
    if weight is None:
        return z
    complex_weight = weight.is_complex() and not z.is_complex()
    return z * weight.to(z.dtype.to_complex() if complex_weight else z.dtype)


def reflect(mask: Shaped[Tensor, "*problem row column"]) -> Shaped[Tensor, "*problem row column"]:
    """Return ``mask[-k]``: each frequency replaced by its opposite, zero frequency centred."""
    flipped = torch.flip(mask, AXES)
    even = [axis for axis in AXES if mask.shape[axis] % 2 == 0]
    return torch.roll(flipped, [1] * len(even), even) if even else flipped
