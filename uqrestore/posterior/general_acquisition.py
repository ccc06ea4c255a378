"""Slices whose measurement is not linear, not Gaussian, or not fully known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Complex, Float
from torch import Tensor

from uqrestore.noise import MEASUREMENT_STREAM, NoiseModel, SampleNoise
from uqrestore.operators import LinearOperator
from uqrestore.operators.nonlinear import Affine, NonlinearOperator, compose, is_homogeneous
from uqrestore.posterior.acquisition import Acquisition, axis_names
from uqrestore.posterior.parameters import (
    NOISE_STD,
    Parameter,
    draw_truth,
    noise_at,
    signal_at,
    unknown_parameters,
)
from uqrestore.posterior.view import COORDINATES
from uqrestore.problem import GeneralProblem
from uqrestore.scans import Intensity


@dataclass(frozen=True, eq=False)
class GeneralAcquisition:
    """Slices of one scan, measured by any operator with any noise.

    Attributes:
        operator: One operator for all slices, or a batch with one problem a slice; it acts on
            images in file units.
        y: Measurement, shape ``(slice, *operator.out_shape)``: in file units where the operator is
            homogeneous, as linear ones are, and in units of its own otherwise, such as counts.
        noise_model: Noise of ``y``, in its units; one for all slices.
        intensity: Maps file units to network units.
        slices: Index of every slice on the model grid.
        coil_mixing: As of :class:`Acquisition`.
        truth: Unknown parameters with which the measurement was simulated, for every slice.
        conventional: The same with the parameters at their first estimate, where that is linear.
    """

    operator: LinearOperator | NonlinearOperator
    y: Float[Tensor, " slice *measurement"]
    noise_model: NoiseModel
    intensity: Intensity
    slices: tuple[int, ...]
    coil_mixing: Complex[np.ndarray, "scanner coil"] | None = None
    truth: Mapping[str, np.ndarray] = field(default_factory=dict)
    conventional: Acquisition | None = None

    def __post_init__(self) -> None:
        GeneralProblem(self.operator, self.y, self.noise_model)  # refuses what cannot be measured

    @property
    def homogeneous(self) -> bool:
        """True if the measurement is in the unit of the image."""
        return is_homogeneous(self.operator)

    @property
    def unit(self) -> str:
        """Unit of the measurement."""
        return self.intensity.unit if self.homogeneous else "1"

    @property
    def noise_std(self) -> float:
        """Root mean square of the standard deviations of ``y``, of noise about ``y`` itself."""
        variance = self.noise_model.variance(self.y)
        return float(variance[torch.isfinite(variance)].double().mean().sqrt().nan_to_num())

    @property
    def noise_data(self) -> dict[str, Any]:
        """Name and parameters of the noise model, for files."""
        return {"model": self.noise_model.name, **self.noise_model.parameters()}

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Unknown parameters that are drawn with the image."""
        return unknown_parameters(self.operator, self.noise_model, self.unit, self.truth)

    @property
    def axes(self) -> tuple[str, ...]:
        """Names of the dimensions of ``y``."""
        return axis_names(self.operator)

    def problem(self, slices: Sequence[int]) -> GeneralProblem:
        """Return the problem of some slices in network units."""
        rows, (shift, scale) = [self.slices.index(i) for i in slices], self._map
        operator = self.operator.select(rows) if self.operator.problem_shape else self.operator
        y, model = self.y[rows], self.noise_model
        if self.homogeneous:  # squares of intensities of 1e-30 or 1e30 are beyond float32
            y, model, shift, scale = y / scale, model.scaled(1 / scale), shift / scale, 1.0
        if shift or scale != 1:
            low, high = shift - scale, shift + scale
            operator = compose(operator, Affine(operator.in_shape, low, high))
        return GeneralProblem(operator, y, model)

    @property
    def _map(self) -> tuple[float, float]:
        return float(self.intensity.shift), float(self.intensity.scale)

    def to_file(self, parameters: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
        """Return draws of parameters of :meth:`problem` in the units of the file."""
        factor = self._map[1] if self.homogeneous else 1.0
        return {
            name: (value * factor if name == NOISE_STD else value).cpu().numpy()
            for name, value in parameters.items()
        }

    def stats(
        self,
        problem: GeneralProblem,
        images: Float[Tensor, " draw slice *image"],
        parameters: Mapping[str, Tensor],
    ) -> dict[str, Float[np.ndarray, "draw slice"]]:
        """Return relative residual and chi-square per measurement of samples.

        Args:
            problem: Of their slices, as :meth:`problem` returned it.
            images: Samples in network units.
            parameters: Drawn with them.
        """
        axes = tuple(range(-len(problem.operator.out_shape), 0))
        signal = signal_at(problem, images, parameters.get(COORDINATES)).double()
        y, mask = problem.y.double(), problem.row_mask
        rows = torch.ones_like(y) if mask is None else mask.to(y).expand_as(y)
        model = noise_at(problem, parameters.get(NOISE_STD)).to(torch.float64)
        chi_square = (rows * model.chi_square(y, signal)).sum(axes) / rows.sum(axes)
        misfit = (rows * (signal - y)).square().sum(axes).sqrt()
        residual = misfit / y.square().sum(axes).sqrt().clamp(min=1e-30)
        return {"residual": residual.cpu().numpy(), "chi_square": chi_square.cpu().numpy()}


def acquire_general(
    operator: LinearOperator | NonlinearOperator,
    images: Float[np.ndarray, " slice *image"],
    noise_model: NoiseModel,
    *,
    intensity: Intensity,
    slices: tuple[int, ...],
    seed: int,
    scan: int,
) -> GeneralAcquisition:
    """Simulate the acquisition of slices whose images are known.

    Unknown parameters are drawn from their prior, for each slice by itself.

    Args:
        operator: Acts on images in file units.
        images: The slices, in file units.
        noise_model: Noise in network units where the operator is homogeneous, otherwise in units
            of the measurement.
        intensity: Of the scan.
        slices: Index of every slice on the model grid.
        seed: Of the run.
        scan: Key of the scan.
    """
    if is_homogeneous(operator):
        noise_model = noise_model.scaled(float(intensity.scale))
    x = torch.as_tensor(np.ascontiguousarray(images))
    noise = SampleNoise(seed, [MEASUREMENT_STREAM], scan=scan, slices=slices)
    signal, model, truth = draw_truth(operator, noise_model, x, noise)
    y = model.simulate(signal[None], noise)[0]
    y = y if operator.row_mask is None else y * operator.row_mask
    return GeneralAcquisition(operator, y, noise_model, intensity, slices, truth=truth)
