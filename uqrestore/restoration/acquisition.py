"""Slices of a scan as they were acquired: measured in file units, restored in network units."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Complex, Float
from torch import Tensor

from uqrestore.noise import MEASUREMENT_STREAM, SampleNoise
from uqrestore.operators import CoilFourier, CoilRadial, Composed, Embedding, LinearOperator
from uqrestore.operators.coil_maps import espirit_maps
from uqrestore.operators.iterative import scaled_to_fit
from uqrestore.problem import Problem, simulate
from uqrestore.scans import Intensity, Placement, RadialScan, RawScan, ScanError
from uqrestore.scans.kspace import to_kspace
from uqrestore.scans.radial import gridded


@dataclass(frozen=True, eq=False)
class Acquisition:
    r"""Slices of one scan as they were measured.

    Attributes:
        operator: One operator for all slices, or a batch with one problem a slice.
        y: Measurement in file units, shape ``(slice, *operator.out_shape)``.
        noise_std: Of ``y``, in file units; per real component where ``y`` is complex.
        intensity: Maps file units to network units.
        slices: Index of every slice on the model grid.
        coil_mixing: The coils of the scanner are this matrix times those of ``y``; None where
            they are those of ``y``.
    """

    operator: LinearOperator
    y: Float[Tensor, " slice *measurement"]
    noise_std: float
    intensity: Intensity
    slices: tuple[int, ...]
    coil_mixing: Complex[np.ndarray, "coil coil"] | None = None

    def problem(self, slices: Sequence[int]) -> Problem:
        r"""Return the problem of some slices in network units.

        .. math:: y_{net} = (y - A(shift)) / scale, \qquad \sigma_{net} = \sigma / scale

        because the intensity map is affine and the operator only linear.
        """
        rows = [self.slices.index(i) for i in slices]
        operator = self.operator.select(rows) if self.operator.problem_shape else self.operator
        shift = self.y.new_full((len(rows), *operator.in_shape), self.intensity.shift)
        y = (self.y[rows] - operator(shift)) / self.intensity.scale
        return Problem(operator, y, self.intensity.std_to_network(self.noise_std))

    def residual(
        self, problem: Problem, slices: Sequence[int], images: Float[Tensor, " draw slice *image"]
    ) -> Float[np.ndarray, "draw slice"]:
        """Return ``||A x - y|| / ||y||`` of samples, in the units of the acquisition.

        Args:
            problem: Of these slices, as :meth:`problem` returned it.
            slices: Their indices on the model grid.
            images: Samples in network units.
        """
        axes = tuple(range(-len(problem.operator.out_shape), 0))
        misfit = (problem.operator(images) - problem.y).square().sum(axes).sqrt().cpu()
        rows = [self.slices.index(i) for i in slices]
        # Squares of intensities of 1e-30 or 1e30 are beyond float32; a power of two is exact.
        unit = 2.0 ** math.frexp(self.intensity.scale)[1]
        size = (self.y[rows] / unit).square().sum(axes).sqrt()
        # A slice without signal is explained exactly or not at all; 0 / 0 is 0 here.
        return (misfit * (self.intensity.scale / unit) / size.clamp(min=1e-30)).numpy()

    def zero_filled(self) -> Float[Tensor, " slice *image"]:
        """Return the minimum-norm image of every measurement, in file units.

        In file units, so that what was not measured is no signal rather than mid-grey.
        """
        return self.operator.pinv(self.y)

    @property
    def axes(self) -> tuple[str, ...]:
        """Names of the dimensions of ``y``."""
        rank = len(self.operator.out_shape)
        return ("z", *(self.operator.axes or (f"measurement_{i}" for i in range(rank))))


def acquire(
    operator: LinearOperator,
    images: Float[np.ndarray, " slice *image"],
    *,
    noise_std: float,
    intensity: Intensity,
    slices: tuple[int, ...],
    seed: int,
    scan: int,
) -> Acquisition:
    """Simulate the acquisition of slices whose images are known.

    Args:
        operator: As ``pipeline.build_operator`` makes it.
        images: The slices, in file units.
        noise_std: In network units, as a pipeline says it.
        intensity: Of the scan.
        slices: Index of every slice on the model grid.
        seed: Of the run.
        scan: Key of the scan.
    """
    x = torch.as_tensor(np.ascontiguousarray(images))
    std = intensity.std_to_file(noise_std)
    noise = SampleNoise(seed, [MEASUREMENT_STREAM], scan=scan, slices=slices)
    y = simulate(operator, x, noise_std=std, noise=noise).y
    return Acquisition(operator, y, std, intensity, slices)


SMALLEST_CENTER = 4
LARGEST_CENTER = 24  # beyond, maps get no better and the estimate slow
KERNEL = 6


def acquisition_from_kspace(
    raw: RawScan | RadialScan, slices: Sequence[int], placement: Placement
) -> Acquisition:
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
