"""Operators that pipelines build from numbers: nonlinear, or with unknown parameters."""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field

from uqrestore.operators._checks import Shape
from uqrestore.operators.algebra import Composed
from uqrestore.operators.base import LinearOperator
from uqrestore.operators.coil_fourier import CoilFourier
from uqrestore.operators.joint_maps import SPREAD
from uqrestore.operators.masked_fourier import MaskedFourier
from uqrestore.operators.nonlinear import (
    Affine,
    BeerLambert,
    NonlinearOperator,
    Saturation,
    UncertainGain,
    UncertainMaps,
    UncertainMotion,
    UncertainOperator,
    compose,
    magnitude_fourier,
)
from uqrestore.operators.radon import Radon

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
WATER_CM = 0.2
"""Attenuation of water at 60 keV, 1/cm."""


def photon_counts(
    shape: Shape,
    *,
    views: Annotated[int, Field(ge=1)],
    photons: Positive,
    pixel_mm: Positive,
    water: Positive = WATER_CM,
    detectors: Annotated[int, Field(ge=1)] | None = None,
) -> NonlinearOperator:
    r"""Expected photon counts behind an image in Hounsfield units, parallel beam.

    .. math:: I_0 \exp(- \textstyle\sum \mu\, \Delta), \qquad \mu = \mu_w (1 + HU / 1000)

    Args:
        shape: Image shape.
        views: Number of directions, spread evenly over half a turn.
        photons: Counts of an unattenuated ray.
        pixel_mm: Side of a pixel, in mm.
        water: Attenuation of water, 1/cm.
        detectors: Length of a projection in pixels; by default the diagonal of the image.
    """
    rays = Radon.sparse_view(shape, views=views, detectors=detectors)
    pixel = water * pixel_mm / 10
    # Air is -1000 HU; the map is stated at -1 and 1 HU.
    attenuation = Affine(shape, pixel * (1 - 1e-3), pixel * (1 + 1e-3))
    return BeerLambert(rays.out_shape, photons) @ rays @ attenuation


NONLINEAR_PIPELINE_OPERATORS: Mapping[str, Callable[..., NonlinearOperator]] = {
    "beer_lambert": photon_counts,
    "magnitude_fourier": magnitude_fourier,
    "saturation": Saturation,
}
"""Constructors for pipelines; what they build acts on images in the unit of the scan."""

IN_HU = frozenset({"beer_lambert"})
"""Operators of images in Hounsfield units."""


def unknown_gain(
    part: LinearOperator | NonlinearOperator, *, gain: Positive = 1.0, relative_std: Positive = 0.1
) -> UncertainOperator:
    """Return an operator with a factor that is known to a fraction.

    Args:
        part: The measurement.
        gain: Centre of the factor.
        relative_std: Standard deviation of its logarithm.
    """
    return UncertainGain(part, gain, relative_std)


def unknown_maps(
    part: LinearOperator | NonlinearOperator, *, std: Positive = SPREAD
) -> UncertainOperator:
    """Return multi-coil sampling whose coil maps differ smoothly from a first estimate.

    Args:
        part: Fourier sampling by coils, of the whole field of view or of a part of it.
        std: Standard deviation of the error of a map, of real and of imaginary part.

    Raises:
        ValueError: If the measurement is not that of coils on a Cartesian grid.
    """
    coils, *before = part.parts if isinstance(part, Composed) else (part,)
    if not isinstance(coils, CoilFourier):
        raise ValueError(f"unknown: {part.name} has no coil maps on a Cartesian grid; remove it.")
    return _before(UncertainMaps(coils, std), before)


def unknown_motion(
    part: LinearOperator | NonlinearOperator,
    *,
    shots: Annotated[int, Field(ge=2)],
    shift_std: Positive = 1.0,
    turn_std: Positive = 2.0,
    order: Literal["interleaved", "sequential"] = "interleaved",
) -> UncertainOperator:
    """Return Fourier sampling in shots, between which the object shifts and turns.

    Args:
        part: Fourier sampling of lines, by coils or without.
        shots: Number of shots.
        shift_std: Standard deviation of a shift along each axis, in pixels.
        turn_std: Standard deviation of a turn, in degrees.
        order: Whether neighbouring lines belong to different shots, or to the same.

    Raises:
        ValueError: If the measurement is not of Cartesian k-space, or there are too few lines.
    """
    fourier, *before = part.parts if isinstance(part, Composed) else (part,)
    if not isinstance(fourier, CoilFourier | MaskedFourier):
        raise ValueError(f"unknown: {part.name} does not sample lines of k-space; remove it.")
    seen = fourier.mask != 0
    seen = seen.flatten(0, -3).any(0) if seen.ndim > 2 else seen
    along = int(bool((seen.all(-1) != seen.any(-1)).any()))  # 0: lines are rows
    lines = seen.any(1 - along)
    count = int(lines.sum())
    if count < shots:
        raise ValueError(f"unknown: {shots} shots need as many lines, but {count} are sampled.")
    place = lines.cumsum(0) - 1
    number = place % shots if order == "interleaved" else place * shots // count
    number = torch.where(lines, number, -1)
    number = number if along else number[:, None]
    moved = UncertainMotion(fourier, torch.where(seen, number, -1), shift_std, turn_std)
    return _before(moved, before)


def _before(
    outer: UncertainOperator, inner: Sequence[LinearOperator | NonlinearOperator]
) -> UncertainOperator:
    made = compose(outer, *inner) if inner else outer
    assert isinstance(made, UncertainOperator)  # as the first part is
    return made


UNKNOWN_PARAMETERS: Mapping[str, Callable[..., UncertainOperator]] = {
    "gain": unknown_gain,
    "maps": unknown_maps,
    "motion": unknown_motion,
}
"""Constructors of operators with unknown parameters around a measurement, by their name."""
