"""Raw k-space: samples as the scanner measured them, where they lie, and how noisy they are."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Complex, Float

from uqrestore.scans.errors import ScanError
from uqrestore.scans.scan import Intensity, Scan, Source, scan_from_array

AXES = (-2, -1)
CORNER = 0.8  # of the highest frequency, on both axes: there noise is nearly all there is
FEWEST_CORNER_SAMPLES = 50
MEDIAN_TO_STD = 1.4826  # median absolute deviation to standard deviation, for Gaussian numbers
DARK = 0.1  # of the bright tissue; darker is background in a zero-filled image
SAME_SIZE = 0.02  # relative, as for images

KSpace = Complex[np.ndarray, "slice coil row column"]


@dataclass(frozen=True, eq=False)
class CoilNoise:
    """The noise of samples of k-space.

    Attributes:
        std: Standard deviation per real component, alike in all coils.
        source: How it was found.
        mixing: The coils as they were acquired are this matrix times those of the samples; None
            where the samples are as acquired.
    """

    std: float
    source: str
    mixing: Complex[np.ndarray, "coil coil"] | None = None


class FromScan:
    """What samples of k-space, on any trajectory, take from their image and their noise."""

    scan: Scan
    noise: CoilNoise

    @property
    def noise_std(self) -> float:
        """Standard deviation of the noise of the samples, per real component."""
        return self.noise.std

    @property
    def source(self) -> Source:
        """Where the scan came from."""
        return self.scan.source

    @property
    def intensity(self) -> Intensity:
        """Map between the units of the samples and the network's."""
        return self.scan.intensity


@dataclass(frozen=True, eq=False)
class RawScan(FromScan):
    r"""Cartesian k-space of a stack of slices, in patient order.

    Zero frequency stands in the middle, the transform is orthonormal, zeros stand where nothing
    was sampled. Row and column frequencies belong to the rows (towards anterior) and columns
    (towards the right) of the slices.

    Attributes:
        samples: In the file's units.
        sampled: Which frequencies were measured; the same for all slices and coils.
        noise: Of ``samples``.
        scan: The zero-filled image, root of the sum of squares over coils: its grid is where the
            slices lie, its mask roughly where there is tissue.
    """

    samples: KSpace
    sampled: Bool[np.ndarray, "row column"]
    noise: CoilNoise
    scan: Scan

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the image."""
        return self.sampled.shape[0], self.sampled.shape[1]

    def at(self, voxel_size: float) -> "RawScan":
        """Return the scan at other pixels: nothing is interpolated.

        For larger pixels the outer frequencies are left out; smaller ones have outer frequencies
        that were not measured. The field of view stays; it must hold a whole number of the new
        pixels, to 2 %.

        Raises:
            ScanError: If the field of view does not fit.
        """
        sizes = []
        for size, spacing in zip(self.sampled.shape, self.scan.spacing[1::-1], strict=True):
            count = round(size * spacing / voxel_size)
            exact = abs(count * voxel_size / (size * spacing) - 1) <= SAME_SIZE
            if not count or not exact:
                raise ScanError(
                    f"{self.source.name}: a field of view of {size * spacing:.1f} mm in {size} "
                    f"samples cannot be brought to pixels of {voxel_size:g} mm; choose a prior of "
                    "a pixel size that fits."
                )
            sizes.append(count)
        rows, columns = sizes
        samples = _about_zero(self.samples, rows, columns)
        # Pixels that hold more tissue hold more signal in an orthonormal transform.
        gain = np.sqrt(samples[0, 0].size / self.sampled.size)
        new = (samples.shape[-1], samples.shape[-2], self.scan.shape[2])
        return raw_scan(
            gain * samples,
            _about_zero(self.sampled, rows, columns),
            self.scan.grid.sampled(new).affine,
            source=self.source,
            noise=replace(self.noise, std=gain * self.noise_std),
        )


def raw_scan(
    samples: KSpace,
    sampled: Bool[np.ndarray, "row column"],
    affine: Float[np.ndarray, "4 4"],
    *,
    source: Source,
    noise: CoilNoise | None = None,
) -> RawScan:
    """Check k-space, turn it to patient order, find its noise and its zero-filled image.

    Args:
        samples: Zero frequency in the middle.
        sampled: Which of them were measured.
        affine: Of the image: (column, row, slice) to RAS+ mm, where the image is the centred
            transform of ``samples``.
        source: Named in every complaint.
        noise: None takes it from the corners of k-space, where there is next to no signal.

    Raises:
        ScanError: If nothing was sampled, samples are NaN, or slices are not the image's plane.
    """
    name = source.name
    if not np.isfinite(samples).all():
        raise ScanError(f"{name}: holds k-space samples that are NaN or infinite.")
    if not sampled.any() or not np.abs(samples).any():
        raise ScanError(f"{name}: every k-space sample is zero; was the file written to the end?")
    noise = _corner_noise(samples, sampled, name) if noise is None else noise
    images = to_image(samples)
    rss = np.sqrt((np.abs(images) ** 2).sum(axis=1)).transpose(2, 1, 0).astype(np.float32)
    scan = scan_from_array(rss, affine, source=source, mask=tissue(rss))
    axes, flips = scan.orientation.axes, scan.orientation.flips
    if axes[2] != 2:
        raise ScanError(
            f"{name}: its slices are not axial; a prior of axial slices cannot restore them."
        )
    # The same turns, on images: they are exact there, and so is the way back to k-space.
    if axes[:2] == (1, 0):
        images, sampled = images.swapaxes(-1, -2), sampled.T
    for axis, flip in ((-1, flips[0]), (-2, flips[1])):
        if flip:
            images, sampled = np.flip(images, axis), _opposite(sampled, axis)
    if flips[2]:
        images = images[::-1]
    turned = np.where(sampled, to_kspace(images), 0).astype(np.complex64)
    intensity = Intensity.from_range(0.0, scan.intensity.shift + scan.intensity.scale)
    found = replace(scan.source, given_mask=False, note=f"noise from the {noise.source}")
    return RawScan(
        samples=turned,
        sampled=np.ascontiguousarray(sampled),
        noise=noise,
        # The mask is our own guess, not one that came with the scan.
        scan=replace(scan, intensity=intensity, source=found),
    )


def to_image(kspace: Complex[np.ndarray, "*lead row column"]) -> np.ndarray:
    """Apply the centred orthonormal inverse transform."""
    shifted = np.fft.ifftshift(kspace, axes=AXES)
    return np.fft.fftshift(np.fft.ifft2(shifted, norm="ortho"), axes=AXES)


def to_kspace(image: np.ndarray) -> np.ndarray:
    """Apply the centred orthonormal transform."""
    shifted = np.fft.ifftshift(image, axes=AXES)
    return np.fft.fftshift(np.fft.fft2(shifted, norm="ortho"), axes=AXES)


def _about_zero(kspace: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Cut the outer frequencies, or add some that were not measured."""
    for axis, count in zip(AXES, (rows, columns), strict=True):
        first = kspace.shape[axis] // 2 - count // 2
        last = first + count - kspace.shape[axis]
        widths = [(0, 0)] * kspace.ndim
        widths[axis] = (max(-first, 0), max(last, 0))
        padded = np.pad(kspace, widths)
        kspace = np.take(padded, range(max(first, 0), max(first, 0) + count), axis=axis)
    return kspace


def crop_readout(kspace: np.ndarray, size: int, axis: int) -> np.ndarray:
    """Leave out the oversampled rim of the field of view along the readout.

    Exact, since every readout is sampled whole; noise keeps its standard deviation.
    """
    if kspace.shape[axis] <= size:
        return kspace

    def along(transform: Any, value: np.ndarray) -> np.ndarray:  # noqa: ANN401 - numpy's fft
        shifted = np.fft.ifftshift(value, axes=axis)
        return np.fft.fftshift(transform(shifted, axis=axis, norm="ortho"), axes=axis)

    image = along(np.fft.ifft, kspace)
    start = kspace.shape[axis] // 2 - size // 2
    return along(np.fft.fft, np.take(image, range(start, start + size), axis=axis))


def _opposite(sampled: np.ndarray, axis: int) -> np.ndarray:
    """Return the pattern of the image flipped along an axis: every frequency at its opposite."""
    flipped = np.flip(sampled, axis)
    return np.roll(flipped, 1, axis) if sampled.shape[axis] % 2 == 0 else flipped


def _corner_noise(samples: KSpace, sampled: np.ndarray, name: str) -> CoilNoise:
    high = [np.abs(np.linspace(-1, 1, n)) > CORNER for n in sampled.shape]
    for place, how in (
        (high[0][:, None] & high[1], "corners of k-space"),
        (high[0][:, None] | high[1], "rim of k-space"),
    ):
        values = np.asarray(samples[..., place & sampled], np.complex64)
        if values.size >= FEWEST_CORNER_SAMPLES:
            parts = np.stack([np.real(values), np.imag(values)])
            return CoilNoise(float(MEDIAN_TO_STD * np.median(np.abs(parts))), how)
    raise ScanError(
        f"{name}: too few high frequencies are sampled to tell the noise; the file needs a noise "
        "scan."
    )


def tissue(rss: Float[np.ndarray, "x y z"]) -> Bool[np.ndarray, "x y z"]:
    """Return roughly where there is tissue: the largest bright part, its holes filled."""
    from scipy.ndimage import binary_fill_holes, binary_opening, label

    bright = binary_opening(rss > DARK * np.percentile(rss, 99.5), np.ones((3, 3, 1)))
    parts, count = label(bright)  # type: ignore[misc]
    if count > 1:
        bright = parts == 1 + int(np.argmax(np.bincount(parts.ravel())[1:]))
    filled = [np.asarray(binary_fill_holes(bright[:, :, k])) for k in range(rss.shape[2])]
    mask = np.stack(filled, axis=-1)
    return mask if mask.any() else rss > 0
