"""Coil maps of raw k-space, re-estimated from all samples with draws of the image."""

from collections.abc import Callable
from dataclasses import replace

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from uqrestore.noise import REFINEMENT_STREAM
from uqrestore.operators import CoilFourier, Composed, LinearOperator
from uqrestore.operators.joint_maps import refine_maps
from uqrestore.pipeline import RestorePipeline
from uqrestore.problem import Problem
from uqrestore.restoration.acquisition import Acquisition
from uqrestore.restoration.draw import draw
from uqrestore.restoration.prepare import PreparedScan

DRAWS = range(REFINEMENT_STREAM, REFINEMENT_STREAM + 2)
"""Samples of a round; more would cost more time than they add accuracy."""
ENOUGH = 1.02
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
    images. Each round draws the image with the present maps, and estimates the maps again from
    their mean (:func:`uqrestore.operators.joint_maps.refine_maps`), until draws fit the data to
    the noise or ``pipeline.refine_maps`` rounds are over. One slice at a time, so that the maps do
    not depend on the batch size. Uncertainty of the maps is not part of the draws.

    Args:
        pipeline: Prior, method, and the rounds.
        prepared: Slices of the scan.
        acquisition: Their measurement; returned as it is where there are no estimated maps of
            several coils of a complex image on a Cartesian grid.
        device: Device of the prior.
        notify: Called with a line on the data fit before and after.
    """
    raw, operator = prepared.kspace, acquisition.operator
    coils = operator.parts[0] if isinstance(operator, Composed) else operator
    if not pipeline.refine_maps or raw is None or getattr(raw, "maps", None) is not None:
        return acquisition
    if not isinstance(coils, CoilFourier) or coils.phase is not None or coils.maps.shape[-3] == 1:
        return acquisition
    fits: list[tuple[float, float]] = []
    for place, index in enumerate(acquisition.slices):
        reached: list[float] = []
        for _ in range(pipeline.refine_maps):
            problem = acquisition.problem([index]).to(device)
            images, _ = draw(
                pipeline.method,
                problem,
                prepared.denoiser,
                seed=pipeline.seed,
                scan=prepared.scan.key,
                slices=[index],
                draws=DRAWS,
                classes=prepared.classes([index]),
            )
            reached.append(float(problem.chi_square(images).mean()))
            if reached[-1] <= ENOUGH:
                break
            acquisition = _with_maps(acquisition, place, _refined(problem, images, reached[-1]))
        fits.append((reached[0], reached[-1]))
    before, after = (max(fit[i] for fit in fits) for i in (0, 1))
    notify(f"coil maps: refined with draws of the image; chi-square {before:.2f} -> {after:.2f}")
    return acquisition


def _refined(
    problem: Problem, images: Float[Tensor, "draw 1 2 row column"], chi_square: float
) -> Complex[Tensor, "1 coil row column"]:
    """Return the maps of one slice given draws of its image.

    The noise counts as large as the misfit, since the image is not known to the noise either.
    """
    operator, mean = problem.operator, images.mean(0)
    coils = operator
    if isinstance(operator, Composed):
        coils = operator.parts[0]
        for part in reversed(operator.parts[1:]):
            mean = part(mean)
    assert isinstance(coils, CoilFourier)
    noise_std = problem.noise_std_like(problem.y).reshape(-1) * max(chi_square, 1) ** 0.5
    return refine_maps(
        torch.view_as_complex(problem.y.movedim(1, -1).contiguous()),
        coils.mask,
        coils.maps,
        torch.view_as_complex(mean.movedim(1, -1).contiguous()),
        noise_std.expand(len(mean)),
    )


def _with_maps(acquisition: Acquisition, place: int, maps: Tensor) -> Acquisition:
    """Return an acquisition with other maps of the slice at a place."""
    operator = acquisition.operator
    coils = operator.parts[0] if isinstance(operator, Composed) else operator
    assert isinstance(coils, CoilFourier)
    changed = coils.maps.clone()
    changed[place] = maps[0].to(changed)
    new: LinearOperator = replace(coils, maps=changed)
    for part in operator.parts[1:] if isinstance(operator, Composed) else ():
        new = new @ part
    return replace(acquisition, operator=new)
