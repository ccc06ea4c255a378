"""Images that a posterior is compared with: truth, zero-filled, linear MMSE, baselines."""

import inspect
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from uqrestore.baselines import BASELINES, default_weight
from uqrestore.pipeline import RestorePipeline
from uqrestore.pipeline.check import BASELINE_INPUTS, typed_options
from uqrestore.pipeline.parts import BaselinePart
from uqrestore.posterior.acquisition import Acquisition
from uqrestore.posterior.general_acquisition import GeneralAcquisition
from uqrestore.priors.closed_form import ClosedForm
from uqrestore.problem import Problem
from uqrestore.problem.counts import sinogram
from uqrestore.restoration.draw import chunks
from uqrestore.restoration.measure import coil_combined, fully_sampled_images
from uqrestore.restoration.plain_images import without_prior
from uqrestore.restoration.prepare import PreparedScan
from uqrestore.restoration.prior_cache import PriorCache

_LINEAR_AT_ONCE = 16  # slices; the matrices of the linear MMSE estimate are float64


def reference_images(
    pipeline: RestorePipeline,
    prepared: PreparedScan,
    acquisition: Acquisition | GeneralAcquisition,
    cache: PriorCache,
) -> dict[str, Float[np.ndarray, "slice channel row column"]]:
    """Return the images that a restoration is compared with, in file units.

    Returns:
        ``truth`` where it is known, ``zero_filled``, and ``linear_mmse`` where the pipeline names
        a baseline.
    """
    images = {}
    if isinstance(acquisition, GeneralAcquisition) and acquisition.conventional is not None:
        acquisition = acquisition.conventional
    if prepared.kspace is not None and isinstance(acquisition, Acquisition):
        truth = fully_sampled_images(prepared.kspace, acquisition)
        if truth is not None:
            images["truth"] = truth.numpy()
        images["zero_filled"] = coil_combined(acquisition).numpy()
    else:
        images["truth"] = prepared.truth
        images["zero_filled"] = without_prior(acquisition)
    if pipeline.baseline is not None and isinstance(acquisition, Acquisition):
        images["linear_mmse"] = linear_mmse(pipeline.baseline, acquisition, cache)
    return images


def linear_mmse(
    name: str, acquisition: Acquisition, cache: PriorCache
) -> Float[np.ndarray, "slice channel row column"]:
    """Return the exact posterior mean under a Gaussian prior of the zoo, in file units.

    It is the best estimate that is linear in the measurement, for images with the mean and the
    covariance of that prior.

    Raises:
        ValueError: If the prior has no closed-form posterior, or makes images of another shape.
    """
    prior = cache.baseline(name)
    shape = acquisition.operator.in_shape
    if not isinstance(prior, ClosedForm) or tuple(prior.in_shape) != shape:
        raise ValueError(
            f"baseline: {name} must be a Gaussian prior of images of shape {shape}; choose "
            "another, or leave 'baseline' out."
        )
    means = [
        prior.posterior(acquisition.problem(group)).mean
        for group in chunks(acquisition.slices, _LINEAR_AT_ONCE)
    ]
    return acquisition.intensity.to_file(torch.cat(means)).float().numpy()


@dataclass(frozen=True, eq=False)
class Baseline:
    """A conventional reconstruction of the slices of a scan.

    Attributes:
        images: In file units; of one channel or of the two of a complex image, as the posterior's.
        options: All options that it was computed with; a weight that followed from the noise is
            the mean over slices.
    """

    images: Float[np.ndarray, "slice channel row column"]
    options: dict[str, Any]


def baseline_images(
    parts: Sequence[BaselinePart],
    acquisition: Acquisition | GeneralAcquisition,
    notify: Callable[[str], None],
) -> dict[str, Baseline]:
    """Return the baselines of a pipeline by name; the zero-filled image is kept anyway.

    They reconstruct images that are 0 where the scale of the scan begins (air) and 1 where it
    ends, so that a weight means the same for every scan.

    Args:
        parts: Names and options.
        acquisition: The slices.
        notify: Called with a line for every baseline.

    Raises:
        ImportError: If sigpy is needed and not installed (extra ``mri``).
        ValueError: If a baseline does not reconstruct such measurements.
    """
    found = {}
    if isinstance(acquisition, GeneralAcquisition) and acquisition.conventional is not None:
        acquisition = acquisition.conventional
    for index, part in enumerate(parts):
        if part.name == "zero_filled":
            continue
        start, function = time.perf_counter(), BASELINES[part.name]
        key = ("baselines", index)
        given = typed_options(key, part.name, part.options, function, BASELINE_INPUTS)
        found[part.name] = _reconstruct(part.name, given, acquisition)
        seconds = time.perf_counter() - start
        notify(f"baseline: {described(part.name, found[part.name].options)}, {seconds:.1f} s")
    return found


def described(name: str, options: dict[str, Any]) -> str:
    """Return a baseline in words: its name, and its weight where it has one."""
    weight = options.get("weight")
    return name if weight is None else f"{name} with weight {weight:.3g}"


def _reconstruct(
    name: str, given: dict[str, Any], acquisition: Acquisition | GeneralAcquisition
) -> Baseline:
    function = BASELINES[name]
    parameters = inspect.signature(function).parameters.items()
    options = {key: p.default for key, p in parameters if key not in BASELINE_INPUTS} | given
    follows = "weight" in options and options["weight"] is None  # from the noise of each slice
    images, weights = [], []
    for index in range(len(acquisition.slices)):
        chosen, (problem, black, unit) = given, _problem(name, acquisition, index)
        if follows:
            weights.append(default_weight(name, problem))
            chosen = given | {"weight": weights[-1]}
        images.append(black + unit * function(problem, **chosen))
    if follows:
        options["weight"] = float(np.mean(weights))
    return Baseline(torch.stack(images).numpy(), options)


def _scale(acquisition: Acquisition) -> tuple[float, float]:
    """Return black and the distance from it to the brightest, in file units."""
    intensity = acquisition.intensity
    if acquisition.operator.in_shape[0] == 2:  # black is the middle of the scale of complex images
        return intensity.shift, intensity.scale
    return intensity.shift - intensity.scale, 2 * intensity.scale


def _problem(
    name: str, acquisition: Acquisition | GeneralAcquisition, index: int
) -> tuple[Problem, float, float]:
    """Return the problem of one slice, of an image from 0 (black) to about 1; black and the unit.

    Raises:
        ValueError: If the measurement is neither linear nor the counts of a CT scan.
    """
    if isinstance(acquisition, GeneralAcquisition):
        made = sinogram(acquisition.problem([acquisition.slices[index]]).select(0))
        if made is None:
            raise ValueError(
                f"baselines: {name} reconstructs linear measurements or the counts of a CT scan, "
                f"but not {acquisition.operator.name} with {acquisition.noise_model.name} noise; "
                "remove it."
            )
        problem, low, high = made
        ends = [float(acquisition.intensity.to_file(value)) for value in (low, high)]
        return problem, ends[0], ends[1] - ends[0]
    black, unit = _scale(acquisition)
    operator, y = acquisition.operator, acquisition.y[index]
    if operator.problem_shape:
        operator = operator.select(index)
    if black:
        y = y - operator(y.new_full(operator.in_shape, black))
    return Problem(operator, y / unit, acquisition.noise_std / unit), black, unit
