"""Priors of the zoo and methods at work on acquired slices; shared by restore and benchmarks."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from uqrestore.diffusion.denoiser import Denoiser
from uqrestore.diffusion.wrapped import Counting
from uqrestore.methods import METHODS
from uqrestore.networks.weights import sha256
from uqrestore.noise import ALONE, Coherence, CoherentNoise, SampleNoise
from uqrestore.pipeline import MethodPart, RestorePipeline
from uqrestore.pipeline.check import typed_options
from uqrestore.priors.closed_form import ClosedForm
from uqrestore.problem import Problem
from uqrestore.restoration.acquisition import Acquisition
from uqrestore.zoo import load_card, load_prior, locate
from uqrestore.zoo.card import PriorCard

# Slices whose linear MMSE estimate is computed at once; its matrices are float64.
_LINEAR_AT_ONCE = 16


def load_denoiser(name: str, device: str = "cpu") -> tuple[Denoiser, PriorCard]:
    """Return a prior of the zoo, ready on a device, and its card.

    Raises:
        ValueError: If the device does not exist here.
    """
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"device {device!r} cannot be used here ({reason}); use --device cpu."
        ) from None
    denoiser = load_prior(name)
    if isinstance(denoiser, torch.nn.Module):
        denoiser = denoiser.eval().requires_grad_(False).to(device)
    return denoiser, load_card(name)


class PriorCache:
    """Priors that are loaded once and kept, for work on many scans."""

    def __init__(self) -> None:
        self._denoisers: dict[tuple[str, str], tuple[Denoiser, PriorCard]] = {}
        self._laws: dict[str, object] = {}

    def denoiser(self, name: str, device: str) -> tuple[Denoiser, PriorCard]:
        """Return a prior and its card, as :func:`load_denoiser` loads them."""
        if (name, device) not in self._denoisers:
            self._denoisers[name, device] = load_denoiser(name, device)
        return self._denoisers[name, device]

    def law(self, name: str) -> object:
        """Return a prior of the zoo on the CPU."""
        if name not in self._laws:
            self._laws[name] = load_prior(name)
        return self._laws[name]


def weights_of(pipeline: RestorePipeline) -> dict[str, tuple[str, str]]:
    """Return name and SHA-256 of the weights of every network or law that a pipeline names.

    The hash is that of the card, or where the card has none that of the file. The name is without
    the folder it lies in.
    """
    keys = ("prior", "predictor", "predictor_base", "baseline")
    named = {key: getattr(pipeline, key) for key in keys}
    return {
        key: (Path(name).name, load_card(name).sha256 or sha256(locate(name)))
        for key, name in named.items()
        if name is not None
    }


def draw(
    part: MethodPart,
    problem: Problem,
    denoiser: Denoiser,
    *,
    seed: int,
    scan: int,
    slices: Sequence[int],
    draws: Sequence[int],
    coherence: Coherence = ALONE,
    classes: Sequence[int] | None = None,
) -> tuple[Float[Tensor, " draw slice *image"], int]:
    """Draw posterior samples with a method.

    Args:
        part: The method and its options.
        problem: One problem a slice, in network units.
        denoiser: The prior.
        seed: Of the run.
        scan: Key of the scan.
        slices: Index of every problem on the model grid.
        draws: Indices of the samples.
        coherence: How alike the noise of neighbouring slices is.
        classes: Class of every slice by its height, for a method that says ``label: height``.

    Returns:
        Images in network units, and how often the denoiser was called.

    Raises:
        FloatingPointError: If a sample holds NaN or infinity.
        ValueError: If the method asks for classes by height, which the prior does not know.
    """
    method = METHODS[part.name]
    options = typed_options(("method",), part.name, part.options, method)
    if options.get("label") == "height":
        if classes is None:
            raise ValueError(
                "method.label: this prior was not trained with classes by height; leave label out, "
                "or train one with data.heights."
            )
        options["label"] = tuple(classes)
    counted = Counting(denoiser)
    noise = (
        CoherentNoise(seed, draws, coherence=coherence, scan=scan, slices=slices)
        if coherence.length
        else SampleNoise(seed, draws, scan=scan, slices=slices)
    )
    images = method(problem, counted, noise, **options)
    return images, counted.calls


def linear_mmse(
    name: str, acquisition: Acquisition, cache: PriorCache | None = None
) -> Float[np.ndarray, "slice channel row column"]:
    """Return the exact posterior mean under a Gaussian prior of the zoo, in file units.

    It is the best estimate that is linear in the measurement, for images with the mean and the
    covariance of that prior.

    Raises:
        ValueError: If the prior has no closed-form posterior, or makes images of another shape.
    """
    prior = (cache or PriorCache()).law(name)
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


def chunks(items: Sequence[int], size: int) -> Iterator[tuple[int, ...]]:
    """Yield runs of ``size`` items, the last one shorter."""
    for start in range(0, len(items), size):
        yield tuple(items[start : start + size])
