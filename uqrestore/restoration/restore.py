"""Restore a scan: measure its slices, draw their posterior, write one file."""

import dataclasses
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from uqrestore.conformal.component_box import predicted_residual
from uqrestore.conformal.guarantee import Guarantee, OutOfScopeError
from uqrestore.conformal.predictions import floored_std
from uqrestore.conformal.scope import Setting, setting_of
from uqrestore.diagnostics.scenes import scene_keys
from uqrestore.metrics.image import NETWORK_RANGE, psnr
from uqrestore.pipeline import RestorePipeline
from uqrestore.posterior import (
    ComponentBox,
    Interval,
    PosteriorPlan,
    PosteriorWriter,
    Predicted,
    Storage,
    Summary,
)
from uqrestore.restoration.draw import PriorCache, draw
from uqrestore.restoration.memory import Budget
from uqrestore.restoration.predict import predict
from uqrestore.restoration.prepare import Restoration, Slices, plan, prepare_restoration
from uqrestore.scans import Input

Images = Float[np.ndarray, "slice channel row column"]

SUMMARY_VOLUMES = 7  # figures, and the intervals of a guarantee, are made of whole volumes


@dataclass(frozen=True)
class Progress:
    """How far a restoration has come.

    Attributes:
        slices: Slices to restore.
        slices_done: Of them, those with every sample.
        samples: Samples to draw over all slices.
        samples_done: Of them, those written; after a resume some are there from the start.
    """

    slices: int
    slices_done: int
    samples: int
    samples_done: int


def restore(
    pipeline: RestorePipeline,
    scan: Input,
    out: Path,
    *,
    overwrite: bool = False,
    resample: bool = False,
    slices: Slices = None,
    batch_size: int | None = None,
    device: str = "cpu",
    cache: PriorCache | None = None,
    guarantee: Guarantee | None = None,
    storage: Storage | None = None,
    memory: int | None = None,
    progress: Callable[[Progress], None] | None = None,
    notify: Callable[[str], None] | None = None,
) -> Path:
    """Simulate the pipeline's acquisition of a scan and write the posterior of its slices.

    What is written grows in ``out`` + ``.part``; an interrupted run leaves it there, and the same
    call goes on where it stopped, to the same numbers as a run in one piece.

    Args:
        pipeline: What to simulate, and how to restore it.
        scan: As ``scans.read_scan`` returns it. One that came with a mask is stripped to it.
        out: The posterior file.
        overwrite: Replace ``out`` once the new file is whole.
        resample: Allow a change of the scan's pixel size to the prior's.
        slices: A number of slices spread evenly through the brain, or their indices on the
            model grid, or None for every slice with brain.
        batch_size: Images in one call of the prior; never changes a result. None takes the
            pipeline's.
        device: Where the prior runs.
        cache: Keeps the priors for the next scan.
        guarantee: Widens or narrows the intervals so that they keep its promise.
        storage: What the file keeps of the draws; None keeps all of all.
        memory: Bytes that the process may take; fewer images are then drawn at once.
        progress: Called before the first batch and after every one.
        notify: Called with lines for the user: scope of the prior, changes of grid.

    Returns:
        The path of the posterior file.

    Raises:
        OutOfScopeError: If the guarantee says nothing about this scan or pipeline; nothing is
            drawn.
        ScanError: If the scan does not fit the prior.
        PosteriorError: If ``out`` exists, or its ``.part`` belongs to another run.
        PosteriorWriteError: If the disk is full.
        ValueError: If the pipeline does not fit the prior.
    """
    say = notify or (lambda _: None)
    cache = cache or PriorCache()
    work = prepare_restoration(pipeline, scan, resample, slices, device, cache)
    intended = plan(work, device)
    setting = _setting(work, intended)
    if guarantee is not None:
        guarantee.check(setting)
    predicted = _predicted(work, cache, device)
    if guarantee is not None:
        _check_components(guarantee, pipeline.components, predicted)
    say(str(work.verdict))
    say(f"grid: {work.note}")
    if work.scan.source.note:
        say(f"scan: {work.scan.source.note}")
    reserve = SUMMARY_VOLUMES * 4 * int(np.prod(intended.image_shape))
    budget = Budget(memory, batch_size or pipeline.batch_size, reserve=reserve)
    with PosteriorWriter(out, intended, overwrite=overwrite) as writer:
        if writer.resumed:
            say(f"resuming: {writer.resumed} samples of slices are in {out}.part already")
        tell = progress or (lambda _: None)
        _draw_all(work, writer, budget, device, tell)
        summary = writer.summarise(
            components=pipeline.components,
            predicted=predicted,
            scope=pipeline.component_scope,
        )
        if guarantee is not None:
            promised = _promised(guarantee, summary, setting)
            summary = dataclasses.replace(summary, promised=promised)
        means = {"mean": summary.mean}
        if predicted is not None:
            means["mmse"] = predicted.mmse
        return writer.finish(summary, figures=_figures(work, means), storage=storage)


def _promised(guarantee: Guarantee, summary: Summary, setting: Setting) -> Interval | ComponentBox:
    """Return the region in which the guarantee says the truth is, in file units."""
    text = guarantee.to_json()
    if guarantee.method == "component_box":
        along, rest = guarantee.widths["component"], guarantee.widths["residual"]
        residual = predicted_residual(summary.std, summary.pc_std)
        return ComponentBox(along * summary.pc_std, rest * residual, text)
    scale = floored_std(summary.std.astype(np.float64) ** 2)
    lower, upper = guarantee.interval(summary.mean, scale, setting)
    return Interval(lower, upper, text)


def _check_components(guarantee: Guarantee, wanted: int, predicted: Predicted | None) -> None:
    """Raise if a box is of another number of components than the run has."""
    told = 0 if predicted is None else len(predicted.pc)
    if guarantee.method == "component_box" and guarantee.components != (told or wanted):
        raise OutOfScopeError(
            f"the guarantee is of {guarantee.components} components but the pipeline keeps "
            f"{told or wanted}; set 'components' to the same, or calibrate again."
        )


def _setting(work: Restoration, intended: PosteriorPlan) -> Setting:
    """Say how the scan is measured and restored, for a guarantee."""
    truth = work.reference.get("truth")
    known = truth is not None
    keys = scene_keys(work.scan.intensity.to_network(truth).astype(np.float32)) if known else ()
    columns, rows, _ = work.model.placement.model.spacing
    draws, name = work.pipeline.draws, work.acquisition.operator.name
    return setting_of(intended.provenance, name, draws, (rows, columns), keys)


def _predicted(work: Restoration, cache: PriorCache, device: str) -> Predicted | None:
    """Ask the pipeline's predictor, if it names one."""
    pipeline, scan = work.pipeline, work.scan
    if pipeline.predictor is None:
        return None
    return predict(
        pipeline.predictor,
        work.acquisition,
        cache,
        base=pipeline.predictor_base,
        seed=pipeline.seed,
        scan=scan.key,
        device=device,
    )


def _draw_all(
    work: Restoration,
    writer: PosteriorWriter,
    budget: Budget,
    device: str,
    tell: Callable[[Progress], None],
) -> None:
    """Draw what the file still misses, slice by slice, ``budget.size`` images at a time."""
    pipeline, acquisition = work.pipeline, work.acquisition
    tell(_progress(writer))
    waiting = work.slices
    while waiting:
        here = max(1, budget.size // pipeline.draws)
        group, waiting = waiting[:here], waiting[here:]
        problem, missing = acquisition.problem(group).to(device), writer.missing(group)
        while missing:
            at_once = max(1, budget.size // len(group))
            draws, missing = missing[:at_once], missing[at_once:]
            start = time.perf_counter()
            images, calls = draw(
                pipeline.method,
                problem,
                work.denoiser,
                seed=pipeline.seed,
                scan=work.scan.key,
                slices=group,
                draws=draws,
                coherence=work.coherence,
                classes=work.classes(group),
            )
            writer.write(
                draws,
                group,
                acquisition.intensity.to_file(images).cpu().numpy(),
                nfe=calls,
                wall_s=time.perf_counter() - start,
                stats={"residual": acquisition.residual(problem, group, images)},
            )
            budget.seen()
            tell(_progress(writer))


def _progress(writer: PosteriorWriter) -> Progress:
    draws, slices = writer.valid.shape
    return Progress(
        slices=slices,
        slices_done=int(writer.valid.all(axis=0).sum()),
        samples=draws * slices,
        samples_done=int(writer.valid.sum()),
    )


def _figures(work: Restoration, means: Mapping[str, Images]) -> dict[str, float]:
    """Return the PSNR inside the mask, in dB, of the means and of what they are compared with."""
    data_range = work.scan.intensity.std_to_file(NETWORK_RANGE)
    images = {**work.reference, **means}
    truth = images.pop("truth", None)
    if truth is None:  # measured, not simulated
        return {}
    figures = {
        f"psnr_{name}": psnr(image, truth, work.mask, data_range=data_range)
        for name, image in images.items()
    }
    return figures | {"psnr_data_range": data_range}
