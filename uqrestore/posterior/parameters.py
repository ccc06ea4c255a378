"""Unknown parameters of a measurement: what a posterior file holds of their prior and draws."""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from uqrestore.noise import Gaussian, NoiseModel, SampleNoise, UncertainGaussian
from uqrestore.operators import LinearOperator
from uqrestore.operators.nonlinear import NonlinearOperator, UncertainOperator
from uqrestore.posterior.plan import Parameter
from uqrestore.posterior.view import COORDINATES
from uqrestore.problem import GeneralProblem

NOISE_STD = "noise_std"
"""Name of an unknown noise level."""
PRIOR_DRAWS = 4000
"""Draws of the prior, for its mean and standard deviation."""
LARGEST = 1024
"""Numbers of a parameter, such as a map, beyond which only the coordinates are kept."""


def unknown_parameters(
    operator: LinearOperator | NonlinearOperator,
    noise_model: NoiseModel,
    unit: str,
    truth: Mapping[str, np.ndarray] = MappingProxyType({}),
) -> tuple[Parameter, ...]:
    """Return what is unknown of a measurement, with its prior.

    Args:
        operator: One for all problems, or a batch.
        noise_model: Noise of the measurement.
        unit: Unit of the measurement.
        truth: Values with which a measurement was simulated, for every slice.
    """
    units = {NOISE_STD: unit}
    if isinstance(operator, UncertainOperator):
        units |= dict(zip(operator.parameters, operator.units, strict=True))
    found = []
    for name, values in prior_draws(operator, noise_model).items():
        centre, std = (np.asarray(f(values, axis=0)) for f in (np.median, np.std))
        found.append(Parameter(name, units.get(name) or "1", centre, std, truth.get(name)))
    return tuple(found)


def prior_draws(
    operator: LinearOperator | NonlinearOperator, noise_model: NoiseModel
) -> dict[str, Float[np.ndarray, "draw ..."]]:
    """Return draws of the prior of every parameter that a file holds, by name."""
    noise, found = SampleNoise(0, range(PRIOR_DRAWS)), {}
    if isinstance(operator, UncertainOperator):
        one = operator.select(0) if operator.problem_shape else operator
        one = one.to(torch.float64)
        assert isinstance(one, UncertainOperator)
        theta = noise.normal((operator.count,), torch.zeros((), dtype=torch.float64))
        small = kept(one.values(theta[:1]))
        found = {n: v for n, v in one.values(theta).items() if n in small} if small else {}
        found[COORDINATES] = theta
    if isinstance(noise_model, UncertainGaussian):
        none = torch.zeros(PRIOR_DRAWS, 1, dtype=torch.float64)
        model = noise_model.given(none, none, noise, torch.zeros(1, dtype=torch.bool))
        found[NOISE_STD] = torch.as_tensor(model.std).flatten()
    return {name: value.double().numpy() for name, value in found.items()}


def draw_truth(
    operator: LinearOperator | NonlinearOperator,
    noise_model: NoiseModel,
    x: Tensor,
    noise: SampleNoise,
) -> tuple[Tensor, NoiseModel, dict[str, np.ndarray]]:
    """Measure images without noise with parameters that are drawn from their prior.

    Args:
        operator: Operator.
        noise_model: Noise of the measurement.
        x: Images ``(*problem, *in_shape)``.
        noise: Streams, one sample wide.

    Returns:
        The signal, the noise model at the level that was drawn, and the parameters by name.
    """
    truth: dict[str, Tensor] = {}
    signal = operator.forward(x)
    if isinstance(operator, UncertainOperator):
        theta = noise.normal((operator.count,), x)[0]
        signal = operator.forward_at(x, theta)
        truth = {**kept(operator.values(theta)), COORDINATES: theta}
    if isinstance(noise_model, UncertainGaussian):
        nothing = torch.zeros_like(signal, dtype=torch.bool)
        noise_model = noise_model.given(signal[None], signal[None], noise, nothing)
        truth[NOISE_STD] = torch.as_tensor(noise_model.std).reshape(noise.shape)[0]
        noise_model = Gaussian(torch.as_tensor(noise_model.std)[0])
    return signal, noise_model, {name: v.double().numpy() for name, v in truth.items()}


def kept(values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the parameters that are kept beside their coordinates: those of few numbers.

    Args:
        values: Parameters with one leading dimension or more of draws.
    """
    return {name: v for name, v in values.items() if v[:1].numel() <= LARGEST}


def signal_at(problem: GeneralProblem, images: Tensor, theta: Tensor | None) -> Tensor:
    """Measure images with the parameters that were drawn with them, without noise."""
    if theta is not None and isinstance(problem.operator, UncertainOperator):
        return problem.operator.forward_at(images, theta)
    return problem.operator.forward(images)


def noise_at(problem: GeneralProblem, std: Tensor | None) -> NoiseModel:
    """Return the noise model with the level that was drawn, ``(*batch, *problem)``."""
    if std is None:
        return problem.noise_model
    return Gaussian(std.reshape(*std.shape, *[1] * len(problem.operator.out_shape)))
