"""From raw k-space to a problem: coil maps and phase from its sampled centre."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Complex, Float
from torch import Tensor

from uqrestore.acquisition import Acquisition
from uqrestore.operators import CoilFourier, LinearOperator
from uqrestore.operators.coil_maps import espirit_maps
from uqrestore.scans import RawScan, ScanError

SMALLEST_CENTER = 4
LARGEST_CENTER = 24  # beyond, maps get no better and the estimate slow
KERNEL = 6


def measured(raw: RawScan, slices: Sequence[int]) -> Acquisition:
    """Return slices of raw k-space as they were acquired.

    The image is taken to be real behind a smooth phase; the phase of the sampled centre is part
    of the operator. Coil maps come from the same centre.

    Args:
        raw: In patient order, on the grid that is restored.
        slices: Indices of the slices.

    Raises:
        ScanError: If the centre of k-space is not sampled densely enough for coil maps.
    """
    center = _center(raw)
    rows = list(slices)
    samples = torch.as_tensor(raw.samples[rows])
    maps = torch.stack([_maps(kspace, center) for kspace in samples])
    phase = torch.stack([_phase(k, m, center) for k, m in zip(samples, maps, strict=True)])
    mask = torch.as_tensor(raw.sampled).expand(len(rows), *raw.sampled.shape)
    operator = CoilFourier(mask=mask, maps=maps, phase=phase)
    y = torch.view_as_real(samples).movedim(-1, 1)
    return Acquisition(operator, y.contiguous(), raw.noise_std, raw.intensity, tuple(rows))


def coil_combined(acquisition: Acquisition) -> Float[Tensor, " slice *image"]:
    """Return the zero-filled image: coils weighed by their maps, which have unit norm."""
    operator: LinearOperator = acquisition.operator
    return operator.adjoint(acquisition.y)


def _center(raw: RawScan) -> int:
    """Return the side of the square around zero frequency that is fully sampled."""
    half = 0
    rows, columns = (n // 2 for n in raw.sampled.shape)
    while half < LARGEST_CENTER // 2:
        wider = half + 1
        block = raw.sampled[
            max(rows - wider, 0) : rows + wider, max(columns - wider, 0) : columns + wider
        ]
        if wider > min(rows, columns) or not block.all():
            break
        half = wider
    if 2 * half < SMALLEST_CENTER:
        raise ScanError(
            f"{raw.source.name}: only {2 * half} x {2 * half} samples around zero frequency are "
            f"complete; coil maps and phase need {SMALLEST_CENTER} or more."
        )
    return 2 * half


def _maps(
    kspace: Complex[Tensor, "coil row column"], center: int
) -> Complex[Tensor, "coil row column"]:
    if len(kspace) == 1:
        return torch.ones_like(kspace)
    return espirit_maps(kspace, center=center, kernel=min(KERNEL, max(3, center // 2)), crop=0.0)


def _phase(
    kspace: Complex[Tensor, "coil row column"], maps: Tensor, center: int
) -> Float[Tensor, "row column"]:
    """Return the phase of the coil-combined image of the sampled centre, smoothly cut off."""
    window = [_taper(n, center).to(kspace.real.dtype) for n in kspace.shape[-2:]]
    low = kspace * window[0][:, None] * window[1]
    axes = (-2, -1)
    image = torch.fft.fftshift(
        torch.fft.ifft2(torch.fft.ifftshift(low, dim=axes), norm="ortho"), dim=axes
    )
    return (maps.conj() * image).sum(0).angle()


def _taper(size: int, center: int) -> Tensor:
    distance = torch.as_tensor(np.abs(np.arange(size) - size // 2) / (center / 2))
    return torch.where(distance < 1, (0.5 * torch.pi * distance).cos().square(), 0.0)
