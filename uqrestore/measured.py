"""From raw k-space to a problem: coil maps and phase from its sampled centre."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Complex, Float
from torch import Tensor

from uqrestore.acquisition import Acquisition
from uqrestore.operators import CoilFourier, CoilRadial, Composed, Embedding, LinearOperator
from uqrestore.operators.coil_maps import espirit_maps
from uqrestore.operators.iterative import scaled_to_fit
from uqrestore.scans import Placement, RadialScan, RawScan, ScanError
from uqrestore.scans.kspace import to_kspace
from uqrestore.scans.radial import gridded

SMALLEST_CENTER = 4
LARGEST_CENTER = 24  # beyond, maps get no better and the estimate slow
KERNEL = 6


def measured(raw: RawScan | RadialScan, slices: Sequence[int], placement: Placement) -> Acquisition:
    """Return slices of raw k-space as they were acquired.

    The image is taken to be real behind a smooth phase; the phase of the sampled centre is part
    of the operator. Coil maps come from the same centre. Where the field of view is not the one
    that is restored, the operator lays the image on it.

    Args:
        raw: In patient order, with the pixels that are restored.
        slices: Indices of the slices.
        placement: Where the restored slices lie on the field of view.

    Raises:
        ScanError: If the centre of k-space is not sampled densely enough for coil maps.
    """
    rows = list(slices)
    samples = torch.as_tensor(raw.samples[rows])
    center, cartesian = _center(raw), samples
    if isinstance(raw, RadialScan):
        images = gridded(raw.samples[rows], raw.points, raw.shape, raw.source.name)
        cartesian = torch.as_tensor(to_kspace(images).astype(np.complex64))
    maps = torch.stack([_maps(kspace, center) for kspace in cartesian])
    phase = torch.stack([_phase(k, m, center) for k, m in zip(cartesian, maps, strict=True)])
    operator: LinearOperator
    if isinstance(raw, RadialScan):
        points = torch.as_tensor(raw.points, dtype=torch.float32).clamp(-torch.pi, torch.pi)
        operator = CoilRadial(points, maps=maps, phase=phase)
    else:
        mask = torch.as_tensor(raw.sampled).expand(len(rows), *raw.sampled.shape)
        operator = CoilFourier(mask=mask, maps=maps, phase=phase)
    (width, height), sides = placement.model.shape[:2], raw.shape
    if (height, width) != sides or any(placement.offset):
        across, down = placement.offset
        operator = operator @ Embedding(
            (1, height, width), field_shape=sides, offset=(down, across)
        )
    y = torch.view_as_real(samples).movedim(-1, 1)
    return Acquisition(
        operator, y.contiguous(), raw.noise_std, raw.intensity, tuple(rows), raw.noise.mixing
    )


def coil_combined(acquisition: Acquisition) -> Float[Tensor, " slice *image"]:
    """Return the zero-filled image: coils weighed by their maps, which have unit norm.

    Of radial k-space the gridded one, as bright as fits the samples.
    """
    operator, y = acquisition.operator, acquisition.y
    inner = operator.parts[0] if isinstance(operator, Composed) else operator
    if not isinstance(inner, CoilRadial):
        return operator.adjoint(y)
    return scaled_to_fit(operator, operator.adjoint(inner.density.to(y.dtype) * y), y)


def _center(raw: RawScan | RadialScan) -> int:
    """Return the side of the square around zero frequency that is fully sampled."""
    if isinstance(raw, RadialScan):
        # Neighbouring spokes are a frequency apart at a radius of spokes / pi.
        return _enough(raw, min(LARGEST_CENTER, 2 * int(raw.spokes / np.pi), *raw.shape))
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
    return _enough(raw, 2 * half)


def _enough(raw: RawScan | RadialScan, center: int) -> int:
    if center < SMALLEST_CENTER:
        raise ScanError(
            f"{raw.source.name}: only {center} x {center} samples around zero frequency are "
            f"complete; coil maps and phase need {SMALLEST_CENTER} or more."
        )
    return center


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
