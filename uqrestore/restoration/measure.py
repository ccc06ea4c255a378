"""Measurement of prepared slices: simulated as a pipeline states, or the k-space of the scan."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Complex, Float
from torch import Tensor

from uqrestore.noise import Gaussian
from uqrestore.operators import CoilFourier, CoilRadial, Composed, Embedding, LinearOperator
from uqrestore.operators.coil_maps import espirit_maps
from uqrestore.operators.in_pipelines import IN_HU
from uqrestore.operators.iterative import scaled_to_fit
from uqrestore.pipeline import RestorePipeline
from uqrestore.pipeline.build import build_noise, build_operator, with_unknown
from uqrestore.pipeline.physics import is_general
from uqrestore.posterior.acquisition import Acquisition, acquire
from uqrestore.posterior.general_acquisition import GeneralAcquisition, acquire_general
from uqrestore.restoration.prepare import PreparedScan
from uqrestore.scans import Placement, RadialScan, RawScan, ScanError
from uqrestore.scans.kspace import to_kspace
from uqrestore.scans.radial import gridded

SMALLEST_CENTER = 4
LARGEST_CENTER = 24  # beyond, maps get no better and the estimate slow
KERNEL = 6


def acquire_slices(pipeline: RestorePipeline, prepared: PreparedScan) -> Acquisition:
    """Return the measurement of :func:`measure_slices` where it is linear with Gaussian noise.

    Raises:
        ValueError: If it is not, and as :func:`measure_slices`.
    """
    measured = measure_slices(pipeline, prepared)
    if pipeline.unknown is not None and isinstance(measured, Acquisition):
        measured = with_unknown_parameters(pipeline, measured)
    if not isinstance(measured, Acquisition):
        raise ValueError(
            f"a linear measurement with Gaussian noise is needed here, but {pipeline.title!r} has "
            f"{measured.operator.name} with {measured.noise_model.name} noise."
        )
    return measured


def measure_slices(
    pipeline: RestorePipeline, prepared: PreparedScan
) -> Acquisition | GeneralAcquisition:
    """Return the measurement of prepared slices: simulated, or the k-space that was measured.

    Unknown parameters of measured k-space are added by :func:`with_unknown_parameters`, once its
    coil maps have been refined.

    Raises:
        ScanError: If k-space is not sampled densely enough for coil maps.
        ValueError: If the operator does not act on slices of this shape.
    """
    if prepared.kspace is not None:
        placement = prepared.model.placement
        return acquisition_from_kspace(
            prepared.kspace,
            prepared.slices,
            placement,
            complex_image=prepared.in_shape[0] == 2,
        )
    assert pipeline.operator is not None  # as prepare_scan requires
    assert prepared.truth is not None
    operator = build_operator(pipeline.operator, prepared.in_shape, prepared.slices)
    intensity = prepared.scan.intensity
    about: dict[str, Any] = {
        "intensity": intensity,
        "slices": prepared.slices,
        "seed": pipeline.seed,
        "scan": prepared.scan.key,
    }
    if isinstance(operator, LinearOperator) and not is_general(pipeline):
        return acquire(operator, prepared.truth, noise_std=pipeline.noise_std, **about)
    if pipeline.operator.name in IN_HU and intensity.unit != "HU":
        raise ValueError(
            f"operator: {pipeline.operator.name} measures images in HU, but {pipeline.prior} makes "
            f"images in {intensity.unit}; choose a prior of calibrated units, such as ct64-prior."
        )
    model = Gaussian(pipeline.noise_std)
    if pipeline.noise is not None:
        model = build_noise(pipeline.noise)
    operator = with_unknown(pipeline.unknown, operator)
    return acquire_general(operator, prepared.truth, model, **about)


def with_unknown_parameters(pipeline: RestorePipeline, measured: Acquisition) -> GeneralAcquisition:
    """Return measured k-space with the unknown parameters of a pipeline."""
    return GeneralAcquisition(
        with_unknown(pipeline.unknown, measured.operator),
        measured.y,
        Gaussian(measured.noise_std),
        measured.intensity,
        measured.slices,
        coil_mixing=measured.coil_mixing,
        conventional=measured,
    )


def acquisition_from_kspace(
    raw: RawScan | RadialScan,
    slices: Sequence[int],
    placement: Placement,
    *,
    complex_image: bool = False,
) -> Acquisition:
    """Return slices of raw k-space as they were acquired.

    Coil maps are those of the scan if it has any; otherwise they are estimated from its
    calibration lines, or from its fully sampled centre. Where the field of view is not the one
    that is restored, the operator embeds the image in it.

    Args:
        raw: K-space in patient order, with the pixels that are restored.
        slices: Indices of the slices.
        placement: Where the restored slices lie on the field of view.
        complex_image: Whether the image has two channels, real and imaginary. A real image is
            taken to lie behind a smooth phase, that of the sampled centre, which becomes part of
            the operator.

    Raises:
        ScanError: If the centre of k-space is not sampled densely enough for maps and phase.
    """
    rows = list(slices)
    samples = torch.as_tensor(raw.samples[rows])
    cartesian = samples
    if isinstance(raw, RadialScan):
        images = gridded(raw.samples[rows], raw.points, raw.shape, raw.source.name)
        cartesian = torch.as_tensor(to_kspace(images).astype(np.complex64))
    maps = _maps(raw, rows, cartesian)
    phase = None
    if not complex_image:
        center = _center(raw, None if isinstance(raw, RadialScan) else raw.sampled)
        parts = [_phase(k, m, center) for k, m in zip(cartesian, maps, strict=True)]
        phase = torch.stack(parts)
    operator: LinearOperator
    if isinstance(raw, RadialScan):
        points = torch.as_tensor(raw.points, dtype=torch.float32).clamp(-torch.pi, torch.pi)
        operator = CoilRadial(points, maps=maps, phase=phase)
    else:
        mask = torch.tensor(raw.sampled)  # a copy: arrays may be read-only
        mask = mask.expand(len(rows), *raw.sampled.shape)
        operator = CoilFourier(mask=mask, maps=maps, phase=phase)
    (width, height), sides = placement.model.shape[:2], raw.shape
    if (height, width) != sides or any(placement.offset):
        across, down = placement.offset
        operator = operator @ Embedding(
            (operator.in_shape[0], height, width), field_shape=sides, offset=(down, across)
        )
    intensity = raw.intensity
    if complex_image:  # zero is black, and a phase has no preferred direction
        intensity = intensity.of_complex()
    y = torch.view_as_real(samples).movedim(-1, 1)
    return Acquisition(
        operator, y.contiguous(), raw.noise_std, intensity, tuple(rows), raw.noise.mixing
    )


def coil_combined(acquisition: Acquisition) -> Float[Tensor, " slice *image"]:
    """Return the zero-filled image: coils weighted by their maps, which have unit norm.

    Radial k-space is gridded, and scaled to fit the samples.
    """
    operator, y = acquisition.operator, acquisition.y
    inner = operator.parts[0] if isinstance(operator, Composed) else operator
    if not isinstance(inner, CoilRadial):
        return operator.adjoint(y)
    return scaled_to_fit(operator, operator.adjoint(inner.density.to(y.dtype) * y), y)


def fully_sampled_images(
    raw: RawScan | RadialScan, acquisition: Acquisition
) -> Float[Tensor, " slice *image"] | None:
    """Return the images of the reference of k-space, combined by the acquisition's maps and phase.

    Returns:
        Images in file units; None where no reference is known.
    """
    if isinstance(raw, RadialScan) or raw.reference is None:
        return None
    operator = acquisition.operator
    outer = operator.parts[0] if isinstance(operator, Composed) else operator
    assert isinstance(outer, CoilFourier)
    full: LinearOperator = replace(outer, mask=torch.ones_like(outer.mask))
    for part in operator.parts[1:] if isinstance(operator, Composed) else ():
        full = full @ part
    samples = torch.as_tensor(raw.reference[list(acquisition.slices)])
    # Maps have unit norm, so that the adjoint of complete sampling is the least-squares image.
    return full.adjoint(torch.view_as_real(samples).movedim(-1, 1).contiguous())


def calibration_side(raw: RawScan | RadialScan) -> int | None:
    """Return the side of the square of samples that coil maps are estimated from.

    Returns:
        Samples; None where maps came with the scan, or there is a single coil.

    Raises:
        ScanError: If the square is too small for any maps.
    """
    if isinstance(raw, RadialScan):
        center = _center(raw, None)
    elif raw.maps is not None:
        return None
    elif raw.calibration is not None:
        center = _center(raw, (raw.calibration != 0).any(axis=(0, 1)))
    else:
        center = _center(raw, raw.sampled)
    return None if raw.samples.shape[1] == 1 else center


def _center(raw: RawScan | RadialScan, sampled: Bool[np.ndarray, "row column"] | None) -> int:
    """Return the side of the square around zero frequency that is fully sampled."""
    if isinstance(raw, RadialScan):
        # Neighbouring spokes are a frequency apart at a radius of spokes / pi.
        return _enough(raw, min(LARGEST_CENTER, 2 * int(raw.spokes / np.pi), *raw.shape))
    assert sampled is not None
    half = 0
    rows, columns = (n // 2 for n in sampled.shape)
    while half < LARGEST_CENTER // 2:
        wider = half + 1
        block = sampled[
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
    raw: RawScan | RadialScan, rows: list[int], cartesian: Complex[Tensor, "slice coil row column"]
) -> Complex[Tensor, "slice coil row column"]:
    center = calibration_side(raw)
    if not isinstance(raw, RadialScan):
        if raw.maps is not None:
            return torch.as_tensor(raw.maps[rows])
        if raw.calibration is not None:
            cartesian = torch.as_tensor(raw.calibration[rows])
    if center is None:
        return torch.ones_like(cartesian)
    kernel = min(KERNEL, max(3, center // 2))
    return torch.stack([espirit_maps(k, center=center, kernel=kernel, crop=0.0) for k in cartesian])


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
