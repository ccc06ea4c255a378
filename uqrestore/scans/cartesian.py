"""Cartesian k-space as it was acquired, from a file or from arrays."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Complex, Float

from uqrestore.scans.coil_noise import (
    CoilNoise,
    estimate_noise,
    noise_from_covariance,
    whiten,
)
from uqrestore.scans.errors import ScanError
from uqrestore.scans.kspace import RawScan, raw_scan, require_signal
from uqrestore.scans.sampling import (
    KSpace,
    Pattern,
    crop_readout,
    sampled_by_mask,
    sampled_by_zeros,
)
from uqrestore.scans.scan import Source

Spacing = float | Sequence[float]
"""Pixel size in mm: one number, (row, column) or (slice, row, column)."""


def scan_from_kspace(
    kspace: Any,  # noqa: ANN401 - a NumPy array or a torch tensor
    *,
    spacing: Spacing,
    mask: Any = None,  # noqa: ANN401
    maps: Any = None,  # noqa: ANN401
    noise_cov: Any = None,  # noqa: ANN401
    noise_std: float | None = None,
    affine: Float[np.ndarray, "4 4"] | None = None,
    name: str = "k-space",
) -> RawScan:
    """Make a scan of arrays: Cartesian k-space of one slice or a stack of slices.

    Args:
        kspace: Complex samples ``([slice,] coil, row, column)``, zero frequency in the middle, of
            an orthonormal transform. Rows run to anterior, columns to the right and slices to
            superior, unless ``affine`` says otherwise.
        spacing: Pixel size in mm: one number, (row, column) or (slice, row, column).
        mask: Measured samples, ``(row, column)`` or ``(column,)``; None takes those that are
            not zero.
        maps: Coil sensitivities, shape of ``kspace``, or ``(coil, row, column)`` for all slices;
            None estimates them when the scan is restored.
        noise_cov: Noise covariance ``E[n n^H]``, shape ``(coil, coil)``; the coils are whitened.
        noise_std: Standard deviation of the noise per real component, the same in all coils,
            instead of a covariance. None of both estimates the noise.
        affine: Voxel index (column, row, slice) to RAS+ mm; replaces ``spacing``.
        name: Name in messages and in the file.

    Raises:
        ScanError: If shapes disagree, values are not finite, the mask contradicts the samples, or
            the noise cannot be estimated.
    """
    samples = _complex(kspace, "kspace", name)
    samples = samples[None] if samples.ndim == 3 else samples
    if samples.ndim != 4:
        raise ScanError(
            f"{name}: kspace must be ([slice,] coil, row, column) but has shape {samples.shape}."
        )
    slices, coils, rows, columns = samples.shape
    if maps is not None:
        maps = _complex(maps, "maps", name)
        if maps.shape not in {samples.shape, samples.shape[1:]} or not np.abs(maps).any():
            raise ScanError(
                f"{name}: maps must have the shape {samples.shape[1:]} of the coils' images, or "
                f"one such for each of {slices} slices, and not be zero; they have {maps.shape}."
            )
        maps = np.broadcast_to(maps, samples.shape)
    if mask is None:
        sampled = sampled_by_zeros(samples, name)
    else:
        sampled = np.asarray(mask).astype(bool)
        if sampled.shape not in {(rows, columns), (columns,)}:
            raise ScanError(
                f"{name}: the mask has shape {sampled.shape}, but k-space has {rows} rows and "
                f"{columns} columns."
            )
        sampled = sampled_by_mask(samples, np.broadcast_to(sampled, (rows, columns)), name)
    if affine is None:
        affine = _upright(spacing, (rows, columns), name)
    return cartesian_scan(
        samples,
        sampled,
        np.asarray(affine, np.float64),
        source=Source(name, format="k-space", space_code=0),
        noise=_given_noise(noise_cov, noise_std, coils, name),
        maps=maps,
    )


def cartesian_scan(
    kspace: KSpace,
    sampled: Pattern,
    affine: Float[np.ndarray, "4 4"],
    *,
    source: Source,
    noise: CoilNoise | None = None,
    readout: tuple[int, int] | None = None,
    maps: Complex[np.ndarray, "slice coil _ _"] | None = None,
    calibration: KSpace | None = None,
) -> RawScan:
    """Whiten k-space as it was acquired, crop its readout and turn it to patient order.

    Args:
        kspace: Zero frequency in the middle.
        sampled: Which samples were measured.
        affine: Of the image: (column, row, slice) to RAS+ mm, where the image is the centred
            transform of ``kspace``.
        source: Origin, named in error messages.
        noise: Noise of ``kspace``; None estimates it.
        readout: Axis of the readout and its pixels in the image; None crops nothing.
        maps: Coil sensitivities, if known.
        calibration: Separate lines of the same coils, zero where there are none.

    Raises:
        ScanError: As :func:`raw_scan`, and if the noise cannot be estimated.
    """
    name = source.name
    require_signal(kspace, sampled, name)
    kspace = np.where(sampled, kspace, 0)
    axis, size = (-1, kspace.shape[-1]) if readout is None else readout
    if noise is None:
        image = [*sampled.shape]
        image[axis] = min(size, image[axis])
        noise = estimate_noise(kspace, sampled, (image[0], image[1]), name)
    lines = None
    if calibration is not None:
        there = (calibration != 0).any(axis=(0, 1))
        lines, _, _ = crop_readout(whiten(calibration, noise), there, affine, axis, size)
    maps = None if maps is None else whiten(maps, noise)
    coils = kspace.shape[1]
    kspace, sampled, affine = crop_readout(whiten(kspace, noise), sampled, affine, axis, size)
    if (factor := kspace.shape[1] // coils) > 1:
        if lines is not None:
            raise ScanError(
                f"{name}: has an asymmetric echo and separate calibration lines, which are not "
                "read together; leave the calibration lines out."
            )
        mixing = np.eye(coils, dtype=complex) if noise.mixing is None else noise.mixing
        noise = replace(noise, mixing=np.kron(np.eye(factor), mixing))
    return raw_scan(
        kspace, sampled, affine, source=source, noise=noise, maps=maps, calibration=lines
    )


def _complex(values: Any, what: str, name: str) -> np.ndarray:  # noqa: ANN401
    array = np.asarray(values)
    if array.dtype.kind != "c" or not np.isfinite(array).all():
        raise ScanError(f"{name}: {what} must be finite complex numbers, got {array.dtype}.")
    return array.astype(np.complex64)


def _given_noise(
    covariance: Any,  # noqa: ANN401
    std: float | None,
    coils: int,
    name: str,
) -> CoilNoise | None:
    if covariance is not None and std is not None:
        raise ScanError(f"{name}: give noise_cov or noise_std, not both.")
    if std is not None:
        return CoilNoise(float(std), "standard deviation given")
    if covariance is None:
        return None
    matrix = np.asarray(covariance).astype(np.complex128)
    if matrix.shape != (coils, coils) or not np.isfinite(matrix).all():
        raise ScanError(
            f"{name}: noise_cov must be a finite matrix of {coils} x {coils}, one row a coil, but "
            f"has shape {matrix.shape}."
        )
    try:
        return noise_from_covariance(matrix, "covariance given")
    except ScanError as error:
        raise ScanError(f"{name}: {error}") from error


def _upright(spacing: Spacing, shape: tuple[int, int], name: str) -> np.ndarray:
    sides = np.atleast_1d(np.asarray(spacing, np.float64))
    if sides.shape not in {(1,), (2,), (3,)} or not (np.isfinite(sides) & (sides > 0)).all():
        raise ScanError(
            f"{name}: spacing is a pixel size in mm, (row, column) or (slice, row, column), above "
            f"0, but got {spacing}."
        )
    *through, row, column = (sides[0], sides[0]) if len(sides) == 1 else sides
    affine = np.diag([column, row, through[0] if through else row, 1.0])
    affine[:2, 3] = -column * (shape[1] // 2), -row * (shape[0] // 2)
    return affine
