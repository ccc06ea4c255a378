"""Cartesian k-space of a stack of slices: samples, pattern, noise, geometry."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Complex, Float

from uqrestore.scans.coil_noise import CoilNoise, require_noise
from uqrestore.scans.errors import ScanError
from uqrestore.scans.sampling import DARK, KSpace, Pattern
from uqrestore.scans.scan import Intensity, Scan, Source, scan_from_array

AXES = (-2, -1)
SAME_SIZE = 0.02  # relative, as for images


class FromScan:
    """Intensity, noise and source of k-space on any trajectory."""

    scan: Scan
    noise: CoilNoise

    @property
    def noise_std(self) -> float:
        """Standard deviation of the noise of the samples, per real component."""
        return self.noise.std

    @property
    def source(self) -> Source:
        """Origin of the k-space."""
        return self.scan.source

    @property
    def intensity(self) -> Intensity:
        """Map between the units of the samples and the network's."""
        return self.scan.intensity


@dataclass(frozen=True, eq=False)
class RawScan(FromScan):
    r"""Cartesian k-space of a stack of slices, in patient order.

    Zero frequency is in the middle, the transform is orthonormal, and samples that were not
    measured are zero. Row and column frequencies belong to the rows and columns of the slices: of
    axial ones, towards anterior and the right.

    Attributes:
        samples: Samples in the file's units.
        sampled: Which frequencies were measured; the same for all slices and coils.
        noise: Noise of ``samples``.
        scan: Zero-filled image, root of the sum of squares over coils: its grid is where the
            slices lie, its mask roughly where there is tissue.
        maps: Coil sensitivities of unit norm, if they are known.
        calibration: Separate k-space of the same coils from which maps can be estimated.
        reference: Fully sampled k-space of the same coils, if it is known.
    """

    samples: KSpace
    sampled: Pattern
    noise: CoilNoise
    scan: Scan
    maps: Complex[np.ndarray, "slice coil row column"] | None = None
    calibration: KSpace | None = None
    reference: KSpace | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the image."""
        return self.sampled.shape[0], self.sampled.shape[1]

    def at(self, voxel_size: float) -> "RawScan":
        """Return the scan at other pixels; nothing is interpolated.

        For larger pixels the outer frequencies are left out; smaller ones have outer frequencies
        that were not measured. The field of view stays; it must hold a whole number of the new
        pixels, to 2 %.

        Raises:
            ScanError: If the field of view does not fit, or maps belong to the old pixels.
        """
        if self.maps is not None:
            raise ScanError(
                f"{self.source.name}: its coil maps are of {self.shape[0]} x {self.shape[1]} "
                "pixels; leave them out to restore other pixels."
            )
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

        def resized(kspace: KSpace | None) -> np.ndarray | None:
            return None if kspace is None else gain * _about_zero(kspace, rows, columns)

        changed = raw_scan(
            gain * samples,
            _about_zero(self.sampled, rows, columns),
            self.scan.grid.sampled(new).affine,
            source=self.source,
            noise=replace(self.noise, std=gain * self.noise_std),
            calibration=resized(self.calibration),
        )
        return replace(changed, reference=resized(self.reference))


def raw_scan(
    samples: KSpace,
    sampled: Pattern,
    affine: Float[np.ndarray, "4 4"],
    *,
    source: Source,
    noise: CoilNoise,
    maps: KSpace | None = None,
    calibration: KSpace | None = None,
) -> RawScan:
    """Turn whitened k-space to patient order and find its zero-filled image.

    Args:
        samples: Zero frequency in the middle.
        sampled: Which of them were measured.
        affine: Of the image: (column, row, slice) to RAS+ mm, where the image is the centred
            transform of ``samples``.
        source: Origin, named in error messages.
        noise: Noise of ``samples``.
        maps: Coil sensitivities; they are scaled to unit norm.
        calibration: Separate k-space for coil maps.

    Raises:
        ScanError: If nothing was sampled, samples are NaN, or the noise is next to nothing.
    """
    name = source.name
    require_signal(samples, sampled, name)
    rss = root_sum_of_squares(to_image(samples)).transpose(2, 1, 0)
    scan = scan_from_array(rss, affine, source=source, mask=tissue(rss), slices=2)
    intensity = Intensity.from_range(0.0, scan.intensity.shift + scan.intensity.scale)
    require_noise(noise.std, 2 * intensity.scale, name)
    axes, flips = scan.orientation.axes, scan.orientation.flips

    def turned(image: np.ndarray) -> np.ndarray:
        image = image.swapaxes(-1, -2) if axes[:2] == (1, 0) else image
        for axis, flip in zip((-1, -2, 0), flips, strict=True):
            image = np.flip(image, axis) if flip else image
        return image

    def measured(kspace: np.ndarray, pattern: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Turn images, not samples: that is exact, and so is the way back to k-space."""
        pattern = pattern.T if axes[:2] == (1, 0) else pattern
        for axis, flip in zip(AXES[::-1], flips[:2], strict=True):
            pattern = _opposite(pattern, axis) if flip else pattern
        return np.where(pattern, to_kspace(turned(to_image(kspace))), 0), pattern

    if maps is not None:
        power = np.sqrt(np.square(np.abs(maps)).sum(axis=1, keepdims=True))
        maps = turned(maps / np.where(power > 0, power, 1)).astype(np.complex64)
    if calibration is not None:
        calibration, _ = measured(calibration, (calibration != 0).any(axis=(0, 1)))
        calibration = calibration.astype(np.complex64)
    note = noted(source.note, f"noise from the {noise.source}")
    samples, pattern = measured(samples, sampled)
    return RawScan(
        samples=samples.astype(np.complex64),
        sampled=np.ascontiguousarray(pattern),
        noise=noise,
        scan=replace(
            scan,
            intensity=intensity,
            # The mask was found in the image; it is not one that came with the scan.
            source=replace(scan.source, given_mask=False, note=note),
        ),
        maps=maps,
        calibration=calibration,
    )


def root_sum_of_squares(
    images: Complex[np.ndarray, "slice coil row column"],
) -> Float[np.ndarray, "slice row column"]:
    """Return the root of the sum of squares over coils, whatever the unit of the images."""
    peak = float(np.abs(images).max())
    return peak * np.sqrt(np.square(np.abs(images) / peak).sum(axis=1)).astype(np.float32)


def to_image(kspace: Complex[np.ndarray, "*lead row column"]) -> np.ndarray:
    """Apply the centred orthonormal inverse transform."""
    shifted = np.fft.ifftshift(kspace, axes=AXES)
    return np.fft.fftshift(np.fft.ifft2(shifted, norm="ortho"), axes=AXES)


def to_kspace(image: np.ndarray) -> np.ndarray:
    """Apply the centred orthonormal transform."""
    shifted = np.fft.ifftshift(image, axes=AXES)
    return np.fft.fftshift(np.fft.fft2(shifted, norm="ortho"), axes=AXES)


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


def noted(note: str, more: str) -> str:
    """Add to the note of a source what is not there yet."""
    return note if more in note else "; ".join(filter(None, (note, more)))


def require_signal(samples: np.ndarray, sampled: np.ndarray, name: str) -> None:
    """Refuse k-space that holds NaN, infinity or nothing.

    Raises:
        ScanError: In these cases.
    """
    if not np.isfinite(samples).all():
        raise ScanError(f"{name}: holds k-space samples that are NaN or infinite.")
    if not sampled.any() or not np.abs(samples).any():
        raise ScanError(f"{name}: every k-space sample is zero; was the file written to the end?")


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


def _opposite(sampled: Pattern, axis: int) -> Pattern:
    """Return the pattern of the image flipped along an axis: every frequency at its opposite."""
    flipped = np.flip(sampled, axis)
    return np.roll(flipped, 1, axis) if sampled.shape[axis] % 2 == 0 else flipped
