"""Fourier spectra of images of real channels, or of real and imaginary part, and tables of them."""

import math

import torch
from jaxtyping import Complex, Float
from torch import Tensor

Images = Float[Tensor, "*batch channel row column"]
Spectrum = Complex[Tensor, "*batch channel_or_1 row frequency"]
SMALLEST_STEP = 1e-12
"""Distance of two nodes of a table below which they are one."""


def frequencies(count: int) -> Float[Tensor, " frequency"]:
    """Return square roots of the tabulated frequencies, which are dense around zero.

    The frequencies are in cycles a pixel; the last one is that of the corner.
    """
    return torch.linspace(0, 0.5**0.25, count, dtype=torch.float64)


def radial_frequency(rows: int, columns: int, *, half: bool = False) -> Float[Tensor, "row _"]:
    """Return the square root of the radial frequency in cycles a pixel, as :func:`frequencies`.

    Args:
        rows: Of the image.
        columns: Of the image.
        half: Leave out the negative frequencies along the columns.
    """
    down = torch.fft.fftfreq(rows, dtype=torch.float64)[:, None]
    along = torch.fft.rfftfreq if half else torch.fft.fftfreq
    return torch.hypot(down, along(columns, dtype=torch.float64)).sqrt()


def spectrum_of(image: Images) -> Spectrum:
    """Return the Fourier transform: of two channels as one complex image, else of each.

    Two channels are real and imaginary part, whose spectrum has no symmetry. The spectra of real
    channels lack the negative frequencies along the columns; what stands for two frequencies is
    weighted so that the transform keeps inner products.
    """
    if image.shape[-3] == 2:
        pairs = image.movedim(-3, -1).contiguous()
        return torch.fft.fft2(torch.view_as_complex(pairs), norm="ortho").unsqueeze(-3)
    return torch.fft.rfft2(image, norm="ortho") * _half_weights(image.shape[-1]).to(image)


def image_of(spectrum: Spectrum, channels: int, columns: int) -> Images:
    """Return the image of a spectrum, the inverse of :func:`spectrum_of`."""
    if channels == 2:
        image = torch.fft.ifft2(spectrum.squeeze(-3), norm="ortho")
        return torch.view_as_real(image).movedim(-1, -3)
    size, weights = (spectrum.shape[-2], columns), _half_weights(columns).to(spectrum.real)
    return torch.fft.irfft2(spectrum / weights, s=size, norm="ortho")


def _half_weights(columns: int) -> Float[Tensor, " frequency"]:
    """Return the root of the number of frequencies that each column of half a spectrum is."""
    weights = torch.full((columns // 2 + 1,), math.sqrt(2), dtype=torch.float64)
    weights[0] = 1
    if columns % 2 == 0:
        weights[-1] = 1
    return weights


def interpolation(nodes: Float[Tensor, " node"], at: Tensor) -> Tensor:
    """Return positions among ascending nodes, whole numbers at the nodes; clamped at the ends."""
    index = torch.searchsorted(nodes, at.contiguous()).clamp(1, len(nodes) - 1)
    low, high = nodes[index - 1], nodes[index]
    return index - 1 + ((at - low) / (high - low).clamp(min=SMALLEST_STEP)).clamp(0, 1)


def lookup(nodes: Float[Tensor, " node"], values: Float[Tensor, " node"], at: Tensor) -> Tensor:
    """Interpolate a table linearly; beyond its ends, the end values."""
    nodes, values = nodes.to(at), values.to(at)
    place = interpolation(nodes, at)
    whole = place.floor().clamp(max=len(nodes) - 2).long()
    return torch.lerp(values[whole], values[whole + 1], place - whole)
