r"""Noise models, and the random streams of draws.

Noise models are distributions of a measurement about its noise-free signal.

Each is a frozen value with the density :math:`p(y \mid s)` of one entry of the measurement given
its noise-free value, its derivative (the score), its Fisher information, and simulation. Parameters
are numbers, or tensors that broadcast against measurements: shape ``(b, 1, 1, 1)`` for one value
per problem of measurements ``(b, channel, row, column)``.
"""

from collections.abc import Mapping

from uqrestore.noise.base import NoiseModel
from uqrestore.noise.gaussian import Gaussian, UncertainGaussian
from uqrestore.noise.noncentral_chi import NoncentralChi
from uqrestore.noise.poisson import Poisson
from uqrestore.noise.quantised import Quantised
from uqrestore.noise.rician import Rician
from uqrestore.noise.streams import (
    ALONE,
    MEASUREMENT_STREAM,
    REFINEMENT_STREAM,
    Coherence,
    CoherentNoise,
    SampleNoise,
)
from uqrestore.noise.student_t import StudentT

NOISE_MODELS: Mapping[str, type[NoiseModel]] = {
    "gaussian": Gaussian,
    "noncentral_chi": NoncentralChi,
    "poisson": Poisson,
    "quantised": Quantised,
    "rician": Rician,
    "student_t": StudentT,
    "uncertain_gaussian": UncertainGaussian,
}

__all__ = [
    "ALONE",
    "MEASUREMENT_STREAM",
    "NOISE_MODELS",
    "REFINEMENT_STREAM",
    "Coherence",
    "CoherentNoise",
    "Gaussian",
    "NoiseModel",
    "NoncentralChi",
    "Poisson",
    "Quantised",
    "Rician",
    "SampleNoise",
    "StudentT",
    "UncertainGaussian",
]
