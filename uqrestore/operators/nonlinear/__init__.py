"""Operators that are not linear, by name; they compose with every linear one."""

from collections.abc import Mapping

from uqrestore.operators.nonlinear.algebra import NonlinearComposed, UncertainComposed, compose
from uqrestore.operators.nonlinear.base import (
    Linearised,
    NonlinearOperator,
    check_jacobian,
    is_homogeneous,
)
from uqrestore.operators.nonlinear.phase_retrieval import magnitude_fourier, phase_retrieval
from uqrestore.operators.nonlinear.pointwise import Affine, BeerLambert, Magnitude, Saturation
from uqrestore.operators.nonlinear.uncertain import UncertainBlur, UncertainGain, UncertainOperator
from uqrestore.operators.nonlinear.uncertain_maps import UncertainMaps
from uqrestore.operators.nonlinear.uncertain_motion import UncertainMotion
from uqrestore.operators.nonlinear.uncertain_phase import UncertainPhase

NONLINEAR_OPERATORS: Mapping[str, type[NonlinearOperator]] = {
    "affine": Affine,
    "beer_lambert": BeerLambert,
    "magnitude": Magnitude,
    "nonlinear_composed": NonlinearComposed,
    "saturation": Saturation,
    "uncertain_blur": UncertainBlur,
    "uncertain_composed": UncertainComposed,
    "uncertain_gain": UncertainGain,
    "uncertain_maps": UncertainMaps,
    "uncertain_motion": UncertainMotion,
    "uncertain_phase": UncertainPhase,
}

__all__ = [
    "NONLINEAR_OPERATORS",
    "Affine",
    "BeerLambert",
    "Linearised",
    "Magnitude",
    "NonlinearComposed",
    "NonlinearOperator",
    "Saturation",
    "UncertainBlur",
    "UncertainComposed",
    "UncertainGain",
    "UncertainMaps",
    "UncertainMotion",
    "UncertainOperator",
    "UncertainPhase",
    "check_jacobian",
    "compose",
    "is_homogeneous",
    "magnitude_fourier",
    "phase_retrieval",
]
