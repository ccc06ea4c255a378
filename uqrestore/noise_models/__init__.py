r"""Noise models: distributions of a measurement about its noise-free signal.

Each is a frozen value with the density :math:`p(y \mid s)` of one entry of the measurement given
its noise-free value, its derivative (the score), its Fisher information, and simulation. Parameters
are numbers, or tensors that broadcast against measurements: shape ``(b, 1, 1, 1)`` for one value
per problem of measurements ``(b, channel, row, column)``.
"""

from collections.abc import Mapping

from uqrestore.noise_models.base import NoiseModel
from uqrestore.noise_models.gaussian import Gaussian, UncertainGaussian
from uqrestore.noise_models.poisson import Poisson
from uqrestore.noise_models.rician import Rician
from uqrestore.noise_models.student_t import StudentT

NOISE_MODELS: Mapping[str, type[NoiseModel]] = {
    "gaussian": Gaussian,
    "poisson": Poisson,
    "rician": Rician,
    "student_t": StudentT,
    "uncertain_gaussian": UncertainGaussian,
}

__all__ = [
    "NOISE_MODELS",
    "Gaussian",
    "NoiseModel",
    "Poisson",
    "Rician",
    "StudentT",
    "UncertainGaussian",
]
