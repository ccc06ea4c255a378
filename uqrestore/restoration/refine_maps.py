"""Coil maps of raw k-space, re-estimated from all samples with draws of the image."""

from collections.abc import Callable
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from uqrestore.noise import REFINEMENT_STREAM
from uqrestore.operators import CoilFourier, Composed, LinearOperator
from uqrestore.operators._fourier import as_complex
from uqrestore.operators.joint_maps import refine_maps
from uqrestore.pipeline import RestorePipeline
from uqrestore.posterior.acquisition import Acquisition
from uqrestore.posterior.data_fit import GOOD
from uqrestore.problem import Problem
from uqrestore.restoration.draw import draw
from uqrestore.restoration.prepare import PreparedScan
from uqrestore.scans import RadialScan, RawScan

DRAWS = range(REFINEMENT_STREAM, REFINEMENT_STREAM + 2)
"""Samples of a round; more would cost more time than they add accuracy. The first shows whether
rounds are needed: draws of one slice hardly differ in their chi-square."""
ENOUGH = GOOD[1]
"""Chi-square per measurement of draws at which the maps explain the samples."""


def refine_coil_maps(
    pipeline: RestorePipeline,
    prepared: PreparedScan,
    acquisition: Acquisition,
    device: str,
    notify: Callable[[str], None],
) -> Acquisition:
    """Return an acquisition whose coil maps explain all samples, not the calibration lines alone.

    Maps of a few lines are wrong where the coils change fast, and draws follow wrong maps to wrong
    images. Where draws with the first maps miss the data, each round draws the image with the
    present maps, and estimates the maps again from the mean of the draws
    (:func:`uqrestore.operators.joint_maps.refine_maps`). In the first of three rounds the noise
    counts four times as large as it is, then twice, then once: with wrong maps and the true noise
    draws would explain errors of the maps by structure, and the maps would follow that. One slice
    at a time, so that the maps do not depend on the batch size. Uncertainty of the maps is not part
    of the draws.

    Args:
        pipeline: Prior, method, and the rounds.
        prepared: Slices of the scan.
        acquisition: Their measurement; returned as it is where there are no estimated maps of
            several coils of a complex image on a Cartesian grid.
        device: Device of the prior.
        notify: Called with a line on the data fit before and after, or on why maps stay.
    """
    if not pipeline.refine_maps:
        return acquisition
    coils = _coils(acquisition.operator)
    why_not = _nothing_to_refine(prepared.kspace, coils)
    if coils is None or why_not:
        notify(f"coil maps: not refined, for {why_not}")
        return acquisition
    maps, fits = coils.maps.clone(), []
    for place, index in enumerate(acquisition.slices):

        def images(problem: Problem, count: int, index: int = index) -> Tensor:
            return draw(
                pipeline.method,
                problem,
                prepared.denoiser,
                seed=pipeline.seed,
                scan=prepared.scan.key,
                slices=[index],
                draws=DRAWS[:count],
                classes=prepared.classes([index]),
            )[0]

        problem = acquisition.problem([index]).to(device)
        problem, reached = refined_problem(problem, images, pipeline.refine_maps)
        found = _coils(problem.operator)
        assert found is not None
        maps[place] = found.maps[0].to(maps)
        fits.append((reached[0], reached[-1]))
    before, after = (max(fit[i] for fit in fits) for i in (0, 1))
    how = f"refined with draws of the image, chi-square {before:.2f} to {after:.2f}"
    if before <= ENOUGH:
        how = f"those of the calibration lines fit all samples, chi-square {before:.2f}"
    notify(f"coil maps: {how}")
    return replace(acquisition, operator=_with_maps(acquisition.operator, maps))


def refined_problem(
    problem: Problem,
    images: Callable[[Problem, int], Float[Tensor, "draw *problem 2 row column"]],
    rounds: int,
) -> tuple[Problem, list[float]]:
    """Return a problem of several coils with refined maps.

    Args:
        problem: Complex images measured by ``CoilFourier``, perhaps of an embedded image.
        images: So many draws of the image of a problem.
        rounds: Rounds, where there are any.

    Returns:
        The problem, and the mean chi-square per measurement of draws with the first maps, then of
        those of every round.
    """
    noise_std = torch.as_tensor(problem.noise_std)
    reached = [float(problem.chi_square(images(problem, 1)).mean())]
    for factor in (2.0**i for i in reversed(range(rounds))):
        if reached[0] <= ENOUGH:
            break
        draws = images(replace(problem, noise_std=factor * noise_std), len(DRAWS))
        coils = _coils(problem.operator)
        assert coils is not None
        field = draws.mean(0)
        for part in reversed(_beneath(problem.operator)):
            field = part(field)
        # The image is not known to the noise: what the draws miss counts as noise too.
        reached.append(float(problem.chi_square(draws).mean()))
        missed = noise_std.to(field) * max(factor, reached[-1] ** 0.5)
        maps = refine_maps(
            as_complex(problem.y.movedim(-4, -3)),
            coils.mask,
            coils.maps,
            as_complex(field),
            missed.expand(coils.problem_shape),
        )
        problem = replace(problem, operator=_with_maps(problem.operator, maps))
    return problem, reached


def _nothing_to_refine(raw: RawScan | RadialScan | None, coils: CoilFourier | None) -> str:
    """Return why there are no maps to estimate again; empty where there are."""
    if raw is None:
        return "the measurement is simulated"
    if getattr(raw, "maps", None) is not None:
        return "the scan brings its own"
    if coils is None:
        return "only those of Cartesian k-space are"
    if coils.phase is not None:
        return "the prior is of real images, whose phase is estimated along with them"
    return "there is one coil" if coils.maps.shape[-3] == 1 else ""


def _coils(operator: LinearOperator) -> CoilFourier | None:
    """Return the coils of an operator; None where it has none on a Cartesian grid."""
    outer = operator.parts[0] if isinstance(operator, Composed) else operator
    return outer if isinstance(outer, CoilFourier) else None


def _beneath(operator: LinearOperator) -> tuple[LinearOperator, ...]:
    """Return what the image passes before the coils, the last first."""
    return operator.parts[1:] if isinstance(operator, Composed) else ()


def _with_maps(operator: LinearOperator, maps: Tensor) -> LinearOperator:
    """Return an operator with other coil maps."""
    coils = _coils(operator)
    assert coils is not None
    new: LinearOperator = replace(coils, maps=maps)
    for part in _beneath(operator):
        new = new @ part
    return new
