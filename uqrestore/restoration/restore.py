"""Restore a scan: prepare, acquire, draw, write one file."""

import dataclasses
import functools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from torch import Tensor

from uqrestore._shared.memory import Budget
from uqrestore.conformal.component_box import predicted_residual
from uqrestore.conformal.guarantee import Guarantee, OutOfScopeError
from uqrestore.conformal.predictions import floored_std
from uqrestore.conformal.scope import Setting
from uqrestore.metrics.image import NETWORK_RANGE, SSIM_WINDOW, magnitude, psnr, ssim
from uqrestore.pipeline import RestorePipeline
from uqrestore.posterior import (
    ComponentBox,
    Interval,
    PosteriorFile,
    PosteriorWriter,
    Predicted,
    Summary,
)
from uqrestore.posterior.acquisition import Acquisition
from uqrestore.posterior.data_fit import WARNING, chain_warning, chi_squares, fit_line
from uqrestore.problem import GeneralProblem, Problem
from uqrestore.restoration.draw import beside, draw, draw_in_detail, judged_as_a_whole
from uqrestore.restoration.linear_rounds import linearised
from uqrestore.restoration.measure import measure_slices, with_unknown_parameters
from uqrestore.restoration.options import DEFAULTS, RunOptions
from uqrestore.restoration.predict import predicted_moments
from uqrestore.restoration.prepare import prepare_scan
from uqrestore.restoration.prior_cache import PriorCache
from uqrestore.restoration.record import Restoration
from uqrestore.restoration.references import baseline_images, reference_images
from uqrestore.restoration.refine_maps import refine_coil_maps
from uqrestore.restoration.trained_operators import verdict_with_operator
from uqrestore.scans import Input
from uqrestore.scans.scan import BRIGHT_PERCENTILE

Images = Float[np.ndarray, "slice channel row column"]

SUMMARY_VOLUMES = 7  # figures, and the intervals of a guarantee, are made of whole volumes


@dataclass(frozen=True)
class Progress:
    """Progress of a restoration.

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
    options: RunOptions = DEFAULTS,
    *,
    cache: PriorCache | None = None,
    progress: Callable[[Progress], None] | None = None,
    notify: Callable[[str], None] | None = None,
) -> Path:
    """Measure the slices of a scan as the pipeline states, and write their posterior.

    What is written grows in ``out`` + ``.part``; an interrupted run leaves it there, and the same
    call resumes it, to the same numbers as an uninterrupted run.

    Args:
        pipeline: What to simulate, and how to restore it.
        scan: As ``scans.read_input`` returns it. One that came with a mask is stripped to it.
        out: The posterior file.
        options: Slices, device, memory, guarantee and the like.
        cache: Keeps the priors for the next scan.
        progress: Called before the first batch and after every one.
        notify: Called with lines for the user: scope of the prior, changes of grid, data fit.

    Returns:
        The path of the posterior file.

    Raises:
        OutOfScopeError: If the guarantee does not cover this scan or pipeline; nothing is drawn.
        ScanError: If the scan does not fit the prior.
        PosteriorError: If ``out`` exists, or its ``.part`` belongs to another run.
        PosteriorWriteError: If the disk is full.
        ValueError: If the pipeline does not fit the prior.
    """
    cache, say = cache or PriorCache(), notify or (lambda _: None)
    prepared = prepare_scan(pipeline, scan, options, cache)
    acquisition = measure_slices(pipeline, prepared)
    if pipeline.refine_maps and isinstance(acquisition, Acquisition):
        acquisition = refine_coil_maps(pipeline, prepared, acquisition, options.device, say)
    if pipeline.unknown is not None and isinstance(acquisition, Acquisition):
        acquisition = with_unknown_parameters(pipeline, acquisition)
    reference = reference_images(pipeline, prepared, acquisition, cache)
    verdict = verdict_with_operator(pipeline, prepared, acquisition, cache, options.device)
    baselines = baseline_images(pipeline.baselines, acquisition, say)
    reference |= {name: baseline.images for name, baseline in baselines.items()}
    computed = {name: baseline.options for name, baseline in baselines.items()}
    run = Restoration(pipeline, options, prepared, acquisition, verdict, reference, computed)
    guarantee, setting, plan = options.guarantee, run.setting, run.plan()
    if guarantee is not None:
        if guarantee.method == "region_means":
            raise ValueError(
                "a guarantee of region means is for reports, not for restorations: 'uqrestore "
                "report FILE --labels LABELS --guarantee GUARANTEE'."
            )
        guarantee.check(setting)
    predicted = None if pipeline.predictor is None else predicted_moments(run, cache)
    if guarantee is not None:
        _check_components(guarantee, pipeline.components, predicted)
    for line in (str(verdict), f"grid: {prepared.note}"):
        say(line)
    if prepared.scan.source.note:
        say(f"scan: {prepared.scan.source.note}")
    reserve = SUMMARY_VOLUMES * 4 * int(np.prod(plan.image_shape)) + plan.summary_bytes
    budget = Budget(options.memory, options.batch_size or pipeline.batch_size, reserve=reserve)
    with PosteriorWriter(out, plan, overwrite=options.overwrite) as writer:
        if writer.resumed:
            say(f"resuming: {writer.resumed} samples of slices are in {out}.part already")
        _draw_all(run, writer, budget, progress or (lambda _: None))
        summary = writer.summarise(
            components=pipeline.components,
            predicted=predicted,
            scope=pipeline.component_scope,
        )
        if guarantee is not None:
            guaranteed = _guaranteed(guarantee, summary, setting)
            summary = dataclasses.replace(summary, guaranteed=guaranteed)
        means = {"mean": summary.mean}
        if predicted is not None:
            means["mmse"] = predicted.mmse
        written = writer.finish(summary, figures=_figures(run, means), storage=options.storage)
    with PosteriorFile(written) as file:
        fit = chi_squares(file)
        if fit is not None:
            say(fit_line(fit, file.slices, general=file.noise_model() is not None))
        if stuck := chain_warning(file):
            say(f"{WARNING}: chains do not mix: {stuck}.")
    return written


def _guaranteed(
    guarantee: Guarantee, summary: Summary, setting: Setting
) -> Interval | ComponentBox:
    """Return the region that the guarantee claims for the truth, in file units."""
    text = guarantee.to_json()
    if guarantee.method == "component_box":
        along, rest = guarantee.widths["component"], guarantee.widths["residual"]
        residual = predicted_residual(summary.std, summary.pc_std)
        return ComponentBox(along * summary.pc_std, rest * residual, text)
    scale = floored_std(summary.std.astype(np.float64) ** 2)
    lower, upper = guarantee.interval(summary.mean, scale, setting)
    return Interval(lower, upper, text)


def _check_components(guarantee: Guarantee, wanted: int, predicted: Predicted | None) -> None:
    """Raise if a box has another number of components than the run."""
    kept = wanted if predicted is None else len(predicted.pc) or wanted
    if guarantee.method == "component_box" and guarantee.components != kept:
        raise OutOfScopeError(
            f"the guarantee is for {guarantee.components} components but the pipeline keeps "
            f"{kept}; set 'components' to the same, or calibrate again."
        )


def _draw_all(
    run: Restoration,
    writer: PosteriorWriter,
    budget: Budget,
    tell: Callable[[Progress], None],
) -> None:
    """Draw what the file still misses, slice by slice, ``budget.size`` images at a time."""
    pipeline, prepared, acquisition = run.pipeline, run.prepared, run.acquisition
    tell(_progress(writer))
    waiting = prepared.slices
    while waiting:
        here = max(1, budget.size // pipeline.draws)
        group, waiting = waiting[:here], waiting[here:]
        problem, missing = acquisition.problem(group).to(run.options.device), writer.missing(group)
        posed: Problem | GeneralProblem = problem
        if missing and pipeline.linearise and isinstance(problem, GeneralProblem):
            posed = linearised(problem, pipeline.linearise, functools.partial(_round, run, group))
        while missing:
            at_once = max(1, budget.size // len(group))
            draws, missing = missing[:at_once], missing[at_once:]
            start = time.perf_counter()
            with judged_as_a_whole():
                images, details, counts = draw_in_detail(
                    pipeline.method,
                    posed,
                    prepared.denoiser,
                    seed=pipeline.seed,
                    scan=prepared.scan.key,
                    slices=group,
                    draws=draws,
                    coherence=run.coherence,
                    classes=prepared.classes(group),
                )
            writer.write(
                draws,
                group,
                acquisition.intensity.to_file(images).cpu().numpy(),
                nfe=counts.network,
                wall_s=time.perf_counter() - start,
                **beside(acquisition, problem, group, images, details, products=counts.products),
            )
            budget.update_from_peak()
            tell(_progress(writer))


def _round(
    run: Restoration, group: tuple[int, ...], problem: Problem, draws: range, row: int
) -> Tensor:
    """Draw one slice of a group for a round of :func:`linearised`."""
    prepared, index = run.prepared, group[row]
    return draw(
        run.pipeline.method,
        problem,
        prepared.denoiser,
        seed=run.pipeline.seed,
        scan=prepared.scan.key,
        slices=[index],
        draws=draws,
        classes=prepared.classes([index]),
    )[0]


def _progress(writer: PosteriorWriter) -> Progress:
    draws, slices = writer.valid.shape
    return Progress(
        slices=slices,
        slices_done=int(writer.valid.all(axis=0).sum()),
        samples=draws * slices,
        samples_done=int(writer.valid.sum()),
    )


def _figures(run: Restoration, means: Mapping[str, Images]) -> dict[str, float]:
    """Return the quality inside the mask of the means and of what they are compared with.

    PSNR in dB; where the pipeline has baselines, also the structural similarity. Of complex images
    those of their magnitudes. The peak is the network's range; of raw k-space the brightness of the
    reference, for that of the zero-filled image depends on the sampling.
    """
    mask, data_range = run.prepared.mask, run.prepared.scan.intensity.std_to_file(NETWORK_RANGE)
    images = {**run.reference, **means}
    if run.prepared.in_shape[0] == 2:  # real and imaginary part
        images = {name: magnitude(x) for name, x in images.items()}
    truth = images.pop("truth", None)
    if truth is None:  # measured, not simulated
        return {}
    if run.prepared.kspace is not None:
        data_range = float(np.percentile(truth[:, 0][mask], BRIGHT_PERCENTILE))
    similarity = bool(run.baselines) and min(truth.shape[-2:]) >= SSIM_WINDOW
    figures = {}
    for name, image in images.items():
        figures[f"psnr_{name}"] = psnr(image, truth, mask, data_range=data_range)
        if similarity:
            figures[f"ssim_{name}"] = ssim(image, truth, mask, data_range=data_range)
    return figures | {"psnr_data_range": data_range}
