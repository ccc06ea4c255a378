"""Radial k-space of a stack of slices: samples, trajectory, noise, geometry."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Complex, Float

from uqrestore.scans.coil_noise import CoilNoise, require_noise
from uqrestore.scans.errors import ScanError
from uqrestore.scans.kspace import SAME_SIZE, FromScan, noted, root_sum_of_squares, tissue
from uqrestore.scans.scan import Intensity, Scan, Source, scan_from_array

Samples = Complex[np.ndarray, "slice coil point"]
Points = Float[np.ndarray, "point 2"]


@dataclass(frozen=True, eq=False)
class RadialScan(FromScan):
    r"""Radial k-space of a stack of slices, in patient order.

    .. math:: y_p = \frac{1}{\sqrt{HW}} \sum_n x_n e^{-i k_p \cdot n}

    with :math:`n` counted from the middle of the image, as in ``operators.RadialFourier``.

    Attributes:
        samples: Samples in the file's units.
        points: Positions of the samples: (row, column) in radians per pixel.
        spokes: Number of spokes through the centre, which they sample densely up to a radius.
        noise: Noise of ``samples``.
        scan: Gridded image, root of the sum of squares over coils: its grid is where the slices
            lie, its mask roughly where there is tissue.
    """

    samples: Samples
    points: Points
    spokes: int
    noise: CoilNoise
    scan: Scan

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the image."""
        return self.scan.shape[1], self.scan.shape[0]

    def at(self, voxel_size: float) -> "RadialScan":
        """Return the scan at other pixels; for larger ones the outer samples are left out.

        The field of view stays; it must hold a whole number of the new pixels, to 2 %.

        Raises:
            ScanError: If the field of view does not fit.
        """
        rows, columns = self.shape
        new = [
            round(size * spacing / voxel_size)
            for size, spacing in zip((rows, columns), self.scan.spacing[1::-1], strict=True)
        ]
        old = np.asarray([rows, columns])
        ratio = old / np.maximum(new, 1)
        pixel = ratio * np.asarray(self.scan.spacing[1::-1])
        if not all(new) or np.abs(pixel / voxel_size - 1).max() > SAME_SIZE:
            raise ScanError(
                f"{self.source.name}: its field of view cannot be brought to pixels of "
                f"{voxel_size:g} mm; choose a prior of a pixel size that fits."
            )
        points = self.points * ratio
        kept = (np.abs(points) <= np.pi).all(axis=1)
        gain = float(np.sqrt(np.prod(new) / np.prod(old)))
        grid = self.scan.grid.sampled((new[1], new[0], self.scan.shape[2]))
        return radial_scan(
            gain * self.samples[..., kept],
            points[kept],
            (new[0], new[1]),
            grid.affine,
            spokes=self.spokes,
            noise=replace(self.noise, std=gain * self.noise_std),
            source=self.source,
        )


def radial_scan(
    samples: Samples,
    points: Points,
    shape: tuple[int, int],
    affine: Float[np.ndarray, "4 4"],
    *,
    spokes: int,
    noise: CoilNoise,
    source: Source,
) -> RadialScan:
    """Check radial k-space, turn it to patient order, and grid it.

    Args:
        samples: Whitened samples.
        points: Positions of the samples: (row, column) in radians per pixel of the image.
        shape: Rows and columns of the image.
        affine: Affine of the image: (column, row, slice) to RAS+ mm.
        spokes: Number of spokes.
        noise: Noise of ``samples``.
        source: Origin, named in error messages.

    Raises:
        ScanError: If samples are NaN or all zero, the noise is next to nothing, or the package
            finufft is missing.
    """
    name = source.name
    if not np.isfinite(samples).all() or not np.abs(samples).any():
        raise ScanError(f"{name}: its samples are NaN, infinite or all zero.")
    images = gridded(samples, points, shape, name)
    rss = root_sum_of_squares(images).transpose(2, 1, 0)
    scan = scan_from_array(rss, affine, source=source, mask=tissue(rss), slices=2)
    axes, flips = scan.orientation.axes, scan.orientation.flips
    if axes[:2] == (1, 0):
        points, shape = points[:, ::-1], (shape[1], shape[0])
    for axis, flip in ((1, flips[0]), (0, flips[1])):
        if flip:
            # Pixel n becomes N - 1 - n, and the middle N // 2 need not stay where it is.
            size, sign = shape[axis], np.where(np.arange(2) == axis, -1.0, 1.0)
            samples = samples * np.exp(1j * points[:, axis] * (size - 1 - 2 * (size // 2)))
            points = points * sign
    if flips[2]:
        samples = samples[::-1]
    note = noted(source.note, f"noise from the {noise.source}")
    found = replace(scan.source, given_mask=False, note=note)
    intensity = Intensity.from_range(0.0, scan.intensity.shift + scan.intensity.scale)
    require_noise(noise.std, 2 * intensity.scale, name)
    return RadialScan(
        samples=np.ascontiguousarray(samples, np.complex64),
        points=np.ascontiguousarray(points),
        spokes=spokes,
        noise=noise,
        scan=replace(scan, intensity=intensity, source=found),
    )


def gridded(
    samples: Samples, points: Points, shape: tuple[int, int], name: str
) -> Complex[np.ndarray, "slice coil row column"]:
    """Return the image of every coil: the density-compensated adjoint, a little blurred."""
    import torch

    from uqrestore.operators.radial_fourier import density_weights, to_grid, to_points

    try:
        where = torch.as_tensor(np.ascontiguousarray(points))
        weight = density_weights(where, shape)
        values = torch.as_tensor(np.ascontiguousarray(samples, np.complex128))
        images = to_grid(weight * values, where, shape, 1e-6)
        # Brightness by least squares on the samples.
        seen = to_points(images, where, 1e-6)
        inner = (seen.conj() * values).sum().real / seen.abs().square().sum()
    except ImportError as error:
        raise ScanError(f"{name}: is radial k-space; {error}") from error
    return (inner * images).numpy()
