"""Fit the axial correlation of draws: how alike the noise of neighbouring slices should be."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from uqrestore.evaluation.variogram import LAGS, level_crossing, variogram
from uqrestore.pipeline import RestorePipeline
from uqrestore.sampling import Shelf, chunks, draw
from uqrestore.scans import Scan, ScanError
from uqrestore.work import Work, prepare

LENGTHS_MM = (0.0, 2.0, 4.0, 6.0, 9.0, 13.0)
DRAWS = 3
"""Draws of a volume: its voxels are many, so that few do."""


@dataclass(frozen=True, eq=False)
class AxialFit:
    r"""How the variogram of draws along the axis compares with the truth's.

    Attributes:
        lengths_mm: The lengths tried, rising.
        ratio: Variogram of draws over that of the truth, for each length and lag; 1 is right,
            more is too rough from slice to slice.
        axial_mm: The length at which the mean of :math:`\ln` ratio over the lags is 0; the largest
            tried where draws stay rougher than the truth.
        reached: Whether it is 0 there.
    """

    lengths_mm: tuple[float, ...]
    ratio: Float[np.ndarray, "length lag"]
    axial_mm: float
    reached: bool


def fit_axial(
    pipeline: RestorePipeline,
    scans: Sequence[Scan],
    *,
    lengths_mm: Sequence[float] = LENGTHS_MM,
    draws: int = DRAWS,
    slices: int | None = None,
    resample: bool = False,
    batch_size: int | None = None,
    device: str = "cpu",
    shelf: Shelf | None = None,
    tell: Callable[[str], None] | None = None,
) -> AxialFit:
    """Find the ``axial_mm`` at which draws change along the axis as fast as the truth does.

    The law of a single slice does not depend on it, so nothing else about a pipeline changes.
    Use scans that neither prior nor pipeline were made on.

    Args:
        pipeline: Its own ``axial_mm`` does not matter.
        scans: Their images are the truth.
        lengths_mm: Lengths to try, rising.
        draws: Draws of every volume at every length.
        slices: Neighbouring slices in the middle of the brain; None takes all of it.
        resample: As in ``restore``.
        batch_size: As in ``restore``.
        device: As in ``restore``.
        shelf: Keeps the prior for the next call.
        tell: Called with a line for every volume and length.

    Raises:
        ScanError: If a scan does not fit the prior, or has too few slices.
        ValueError: If the lengths do not rise from 0 or more.
    """
    tried = np.asarray(lengths_mm, np.float64)
    if len(tried) < 2 or tried[0] < 0 or (np.diff(tried) <= 0).any():
        raise ValueError(f"lengths_mm must rise from 0 or more, got {list(lengths_mm)}.")
    shelf, say = shelf or Shelf(), tell or (lambda _: None)
    ratios = []
    for scan in scans:
        work = prepare(pipeline, scan, resample, None, device, shelf)
        chosen = _middle(work.slices, slices, scan.source.name)
        rows = [work.slices.index(k) for k in chosen]
        mask = work.mask[rows]
        truth = variogram(work.reference["truth"][rows, 0], mask)
        found = []
        for length in tried:
            images = _volumes(work, chosen, draws, float(length), batch_size, device)
            found.append(variogram(images, mask) / truth)
            words = ", ".join(f"{value:.2f}" for value in found[-1])
            say(f"{scan.source.name}: axial_mm {length:g}: variogram / truth's {words}")
        ratios.append(found)
    ratio = np.exp(np.log(np.asarray(ratios)).mean(axis=0))
    best = level_crossing(tried, np.log(ratio).mean(axis=1))
    reached = best is not None
    return AxialFit(tuple(tried), ratio, float(tried[-1]) if best is None else best, reached)


def _middle(slices: tuple[int, ...], count: int | None, name: str) -> tuple[int, ...]:
    """Return neighbouring slices from the middle, checked to be neighbours."""
    count = len(slices) if count is None else min(count, len(slices))
    first = (len(slices) - count) // 2
    chosen = slices[first : first + count]
    if len(chosen) <= LAGS or chosen[-1] - chosen[0] != len(chosen) - 1:
        raise ScanError(
            f"{name}: has {len(chosen)} slices with brain that are no stack of at least "
            f"{LAGS + 1} neighbours; nothing can be said of how it changes along the axis."
        )
    return chosen


def _volumes(
    work: Work,
    slices: tuple[int, ...],
    draws: int,
    axial_mm: float,
    batch_size: int | None,
    device: str,
) -> Float[np.ndarray, "draw slice row column"]:
    """Draw volumes, in file units."""
    pipeline, parts = work.pipeline, []
    for group in chunks(slices, max(1, (batch_size or pipeline.batch_size) // draws)):
        images, _ = draw(
            pipeline.method,
            work.acquisition.problem(group).to(device),
            work.denoiser,
            seed=pipeline.seed,
            scan=work.scan.key,
            slices=group,
            draws=range(draws),
            axial_length=axial_mm / work.scan.spacing[2],
            classes=work.classes(group),
        )
        parts.append(work.acquisition.intensity.to_file(images[:, :, 0]).cpu().numpy())
    return np.concatenate(parts, axis=1)
