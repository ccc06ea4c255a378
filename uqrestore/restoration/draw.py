"""Posterior samples of acquired slices; shared by restore, fit_axial and benchmarks."""

import contextlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from uqrestore._shared.named import find_named
from uqrestore.diffusion.denoiser import Denoiser
from uqrestore.diffusion.wrapped import Counting, Counts
from uqrestore.methods import IN_DETAIL, METHODS, STATISTICS, Method
from uqrestore.noise import ALONE, Coherence, CoherentNoise, SampleNoise
from uqrestore.pipeline import MethodPart
from uqrestore.pipeline.check import METHOD_INPUTS, typed_options
from uqrestore.posterior.acquisition import Acquisition
from uqrestore.posterior.general_acquisition import GeneralAcquisition
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
    images, _, counts = draw_in_detail(
        part,
        problem,
        denoiser,
        seed=seed,
        scan=scan,
        slices=slices,
        draws=draws,
        coherence=coherence,
        classes=classes,
    )
    return images, counts


def draw_in_detail(
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
) -> tuple[Float[Tensor, " draw slice *image"], dict[str, Tensor], Counts]:
    """Draw posterior samples as :func:`draw`; also return what a method finds beside the images.

    Returns:
        Images in network units; unknown parameters and statistics by name, ``(draw, slice, ...)``,
        of methods of ``methods.IN_DETAIL``; and what was asked of the denoiser.
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
    if part.name in IN_DETAIL:
        images, details = IN_DETAIL[part.name](problem, counted, noise, **options)
        return images, details, counted.counts
    return method(problem, counted, noise, **options), {}, counted.counts


def beside(
    acquisition: Acquisition | GeneralAcquisition,
    problem: Problem | GeneralProblem,
    slices: Sequence[int],
    images: Tensor,
    details: Mapping[str, Tensor],
    products: int | None = None,
) -> dict[str, Any]:
    """Return statistics and parameters of samples, as the writer of a file takes them.

    Args:
        acquisition: What was measured.
        problem: Of some slices, as the acquisition poses it.
        slices: Their indices.
        images: Samples in network units.
        details: What :func:`draw_in_detail` returned beside the images.
        products: Vector-Jacobian products of each sample; None leaves them out.
    """
    stats = {} if products is None else {"products": np.full(images.shape[:2], float(products))}
    if isinstance(problem, Problem):
        assert isinstance(acquisition, Acquisition)
        return {"stats": stats | {"residual": acquisition.residual(problem, slices, images)}}
    assert isinstance(acquisition, GeneralAcquisition)
    stats |= {name: details[name].cpu().numpy() for name in STATISTICS if name in details}
    known = {p.name for p in acquisition.parameters}
    drawn = {name: value for name, value in details.items() if name in known}
    stats |= acquisition.stats(problem, images, drawn)
    return {"stats": stats, "parameters": acquisition.to_file(drawn)}


def planned(acquisition: Acquisition | GeneralAcquisition, method: str) -> dict[str, Any]:
    """Return what the plan of a file states about noise, parameters and statistics.

    Args:
        acquisition: What was measured.
        method: Name of the method.
    """
    if not isinstance(acquisition, GeneralAcquisition):
        return {"stats": ("residual",)}
    return {
        "stats": ("residual", "chi_square", *(STATISTICS if method == "local_laplace" else ())),
        "y_unit": acquisition.unit,
        "noise_model": acquisition.noise_data,
        "parameters": acquisition.parameters,
    }


@contextlib.contextmanager
def judged_as_a_whole() -> Iterator[None]:
    """Leave out warnings about the chains of one batch: a file is judged by all its draws."""
    with warnings.catch_warnings():
        for name in IN_DETAIL:
            warnings.filterwarnings("ignore", message=f"{name}: ")
        yield


def find_method(name: str) -> Method:
    """Return a method of the registry or of the user; a plain function becomes a method."""
    found = find_named(name, METHODS, "method")
    return found if isinstance(found, Method) else Method(found, {})


def chunks(items: Sequence[int], size: int) -> Iterator[tuple[int, ...]]:
    """Yield runs of ``size`` items, the last one shorter."""
    for start in range(0, len(items), size):
        yield tuple(items[start : start + size])
