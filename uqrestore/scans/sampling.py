"""Sampling pattern of Cartesian k-space, and the field of view along the readout."""

from typing import Any

import numpy as np
from jaxtyping import Bool, Complex, Float

from uqrestore.scans.errors import ScanError

DARK = 0.1  # of the bright tissue; darker is background in a zero-filled image
STRAY_ZEROS = 0.01  # share of measured samples that may be exactly zero, as in integer data

KSpace = Complex[np.ndarray, "slice coil row column"]
Pattern = Bool[np.ndarray, "row column"]
Cropped = Complex[np.ndarray, "slice _ _ _"]
CroppedPattern = Bool[np.ndarray, "_ _"]


def sampled_by_zeros(kspace: KSpace, name: str) -> Pattern:
    """Return which samples were measured where no mask says so: those that are not exactly zero.

    Raises:
        ScanError: If slices are sampled differently from one another.
    """
    measured = (kspace != 0).any(axis=1)
    measured = measured[measured.any(axis=(1, 2))]  # a slice of zeros says nothing
    if not len(measured):
        raise ScanError(f"{name}: every k-space sample is zero; was the file written to the end?")
    sampled = measured.any(axis=0)
    _require_measured(measured, sampled, name, "its slices are sampled differently")
    return sampled


def sampled_by_mask(kspace: KSpace, mask: Pattern, name: str) -> Pattern:
    """Return the mask, once the samples agree with it.

    Samples outside the mask may be there: a mask can undersample retrospectively.

    Raises:
        ScanError: If samples inside the mask are zero.
    """
    measured = (kspace != 0).any(axis=1)
    measured = measured[measured.any(axis=(1, 2))]
    if len(measured):
        _require_measured(measured, mask, name, "its mask contradicts its k-space")
    return mask


def _require_measured(measured: np.ndarray, sampled: Pattern, name: str, fault: str) -> None:
    missing = 1 - measured[:, sampled].mean(axis=1) if sampled.any() else np.ones(1)
    if missing.max() > STRAY_ZEROS:
        raise ScanError(
            f"{name}: {fault}: {100 * missing.max():.1f} % of the samples that it says were "
            "measured are exactly zero in a slice; give the mask of what was measured."
        )


def crop_readout(
    kspace: KSpace,
    sampled: Pattern,
    affine: Float[np.ndarray, "4 4"],
    axis: int,
    size: int,
) -> tuple[Cropped, CroppedPattern, Float[np.ndarray, "4 4"]]:
    r"""Leave out the oversampled rim of the field of view along the readout.

    Where readouts are complete this is a crop of the image, and exact. Where they are not (an
    asymmetric echo, discarded samples) the rim must show no object. Every p-th sample then is a
    sample of the cropped image :math:`x` of N pixels, and those between are samples of
    :math:`x_n e^{-2 \pi i q n / (p N)}`, :math:`q < p`: they become further coils, and neither
    noise nor what was not measured is spread. The whole field is kept where neither holds.

    Args:
        kspace: Zero frequency in the middle.
        sampled: Which samples were measured.
        affine: Of the image: (column, row, slice) to mm.
        axis: -1 for columns, -2 for rows.
        size: Pixels to keep.

    Returns:
        Samples, pattern and affine of the cropped field.
    """
    length = kspace.shape[axis]
    if length <= size:
        return kspace, sampled, affine
    start = length // 2 - size // 2
    lines = sampled.any(axis)
    image = _along(np.fft.ifft, kspace, axis)
    if (sampled.all(axis) == lines).all():
        kept = np.take(image, range(start, start + size), axis=axis)
        kspace = _along(np.fft.fft, kept, axis)
        sampled = np.repeat(np.expand_dims(lines, axis), size, axis)
    elif length % size == 0 and _dark_rim(image, axis, start, size):
        kspace, sampled = _interleaves(kspace, sampled, axis, size)
    else:
        return kspace, sampled, affine
    affine = affine.copy()
    affine[:3, 3] += affine[:3, -1 - axis] * start
    return np.where(sampled, kspace, 0), sampled, affine


def _interleaves(
    kspace: KSpace, sampled: Pattern, axis: int, size: int
) -> tuple[Cropped, CroppedPattern]:
    """Return every p-th sample and those between as coils of the field that is p times smaller."""
    length = kspace.shape[axis]
    factor = length // size
    parts, patterns = [], []
    for q in range(factor):
        place = factor * (np.arange(size) - size // 2) + q + length // 2
        there = place < length
        place = np.where(there, place, 0)
        pattern = np.take(sampled, place, axis=axis)
        patterns.append(pattern & (there if axis == -1 else there[:, None]))
        parts.append(np.take(kspace, place, axis=axis))
    both = np.logical_and.reduce(patterns)
    return np.where(both, np.concatenate(parts, axis=1), 0), both


def _dark_rim(image: np.ndarray, axis: int, start: int, size: int) -> bool:
    """Say whether the rim of the readout shows no object."""
    brightness = np.abs(image).max(axis=(0, 1, -3 - axis))
    inside = slice(start, start + size)
    return bool(np.delete(brightness, inside).max() < DARK * brightness[inside].max())


def _along(transform: Any, value: np.ndarray, axis: int) -> np.ndarray:  # noqa: ANN401
    """Apply a centred orthonormal transform of numpy's along one axis."""
    shifted = np.fft.ifftshift(value, axes=axis)
    return np.fft.fftshift(transform(shifted, axis=axis, norm="ortho"), axes=axis)
