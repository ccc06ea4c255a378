"""Slices of a scan as they were acquired: measured in file units, restored in network units."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Complex, Float
from torch import Tensor

from uqrestore.noise import MEASUREMENT_STREAM, SampleNoise
from uqrestore.operators import LinearOperator
from uqrestore.operators.nonlinear import NonlinearOperator
from uqrestore.problem import Problem, simulate
from uqrestore.scans import Intensity


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
    coil_mixing: Complex[np.ndarray, "scanner coil"] | None = None

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
        return axis_names(self.operator)


def axis_names(operator: LinearOperator | NonlinearOperator) -> tuple[str, ...]:
    """Return the names of the dimensions of measurements, that of the slices first."""
    rank = len(operator.out_shape)
    return ("z", *(_axes(operator) or (f"measurement_{i}" for i in range(rank))))


def _axes(operator: LinearOperator | NonlinearOperator) -> tuple[str, ...]:
    """Return the axes of an operator; of one made of others, those of the last that names any."""
    if isinstance(operator, LinearOperator):
        return operator.axes
    parts = getattr(operator, "parts", (getattr(operator, "part", None),))
    inside = [part for part in parts if part is not None and part.out_shape == operator.out_shape]
    return next(filter(None, map(_axes, inside)), ())


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
        noise_std: In network units, as pipelines state it.
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
