"""Posterior samples of acquired slices; shared by restore, fit_axial and benchmarks."""

from collections.abc import Iterator, Sequence

from jaxtyping import Float
from torch import Tensor

from uqrestore._shared.named import find_named
from uqrestore.diffusion.denoiser import Denoiser
from uqrestore.diffusion.wrapped import Counting, Counts
from uqrestore.methods import METHODS, Method
from uqrestore.noise import ALONE, Coherence, CoherentNoise, SampleNoise
from uqrestore.pipeline import MethodPart
from uqrestore.pipeline.check import METHOD_INPUTS, typed_options
from uqrestore.problem import GeneralProblem, Problem


def draw(
    part: MethodPart,
    problem: Problem | GeneralProblem,
    denoiser: Denoiser,
    *,
    seed: int,
    scan: int,
    slices: Sequence[int],
    draws: Sequence[int],
    coherence: Coherence = ALONE,
    classes: Sequence[int] | None = None,
) -> tuple[Float[Tensor, " draw slice *image"], Counts]:
    """Draw posterior samples with a method.

    Args:
        part: The method and its options.
        problem: One problem a slice, in network units.
        denoiser: The prior.
        seed: Seed of the run.
        scan: Key of the scan.
        slices: Index of every problem on the model grid.
        draws: Indices of the samples.
        coherence: Correlation of the noise of neighbouring slices.
        classes: Class of every slice by its height, for methods with ``label: height``.

    Returns:
        Images in network units, and what was asked of the denoiser.

    Raises:
        FloatingPointError: If a sample holds NaN or infinity.
        ValueError: If the method wants classes by height, which the prior does not have.
    """
    method = find_method(part.name)
    options = typed_options(("method",), part.name, part.options, method, METHOD_INPUTS)
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
    return method(problem, counted, noise, **options), counted.counts


def find_method(name: str) -> Method:
    """Return a method of the registry or of the user; a plain function becomes a method."""
    found = find_named(name, METHODS, "method")
    return found if isinstance(found, Method) else Method(found, {})


def chunks(items: Sequence[int], size: int) -> Iterator[tuple[int, ...]]:
    """Yield runs of ``size`` items, the last one shorter."""
    for start in range(0, len(items), size):
        yield tuple(items[start : start + size])
