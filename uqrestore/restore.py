"""Restore a scan: measure its slices, draw their posterior, write one file."""

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from uqrestore.acquisition import Acquisition, acquire
from uqrestore.diffusion.denoiser import Denoiser
from uqrestore.evaluation.metrics import NETWORK_RANGE, psnr
from uqrestore.pipeline import RestorePipeline
from uqrestore.pipeline.build import build_operator
from uqrestore.posterior import PosteriorPlan, PosteriorWriter
from uqrestore.sampling import chunks, draw, linear_mmse, load_denoiser, pixel_size
from uqrestore.scans import ModelSlices, Scan, Verdict, check_scope, fit_to_model

Images = Float[np.ndarray, "slice channel row column"]


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


@dataclass(frozen=True, eq=False)
class _Work:
    """All that decides the numbers of one run."""

    pipeline: RestorePipeline
    scan: Scan
    model: ModelSlices
    slices: tuple[int, ...]
    denoiser: Denoiser
    card: Mapping[str, Any]
    acquisition: Acquisition
    verdict: Verdict
    reference: Mapping[str, Images]  # in file units: truth, zero_filled and the like

    @property
    def mask(self) -> Bool[np.ndarray, "slice row column"]:
        return self.model.mask[list(self.slices)]


def restore(
    pipeline: RestorePipeline,
    scan: Scan,
    out: Path,
    *,
    overwrite: bool = False,
    resample: bool = False,
    slices: int | Sequence[int] | None = None,
    batch_size: int | None = None,
    device: str = "cpu",
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
        progress: Called before the first batch and after every one.
        notify: Called with lines for the user: scope of the prior, changes of grid.

    Returns:
        The path of the posterior file.

    Raises:
        ScanError: If the scan does not fit the prior.
        PosteriorError: If ``out`` exists, or its ``.part`` belongs to another run.
        PosteriorWriteError: If the disk is full.
        ValueError: If the pipeline does not fit the prior.
    """
    say = notify or (lambda _: None)
    work = _prepare(pipeline, scan, resample, slices, device)
    say(str(work.verdict))
    say(f"grid: {work.model.note}")
    with PosteriorWriter(out, _plan(work, device), overwrite=overwrite) as writer:
        if writer.resumed:
            say(f"resuming: {writer.resumed} samples of slices are in {out}.part already")
        tell = progress or (lambda _: None)
        _draw_all(work, writer, batch_size or pipeline.batch_size, device, tell)
        summary = writer.summarise(components=pipeline.components)
        return writer.finish(summary, figures=_figures(work, summary.mmse))


def _prepare(
    pipeline: RestorePipeline,
    scan: Scan,
    resample: bool,
    slices: int | Sequence[int] | None,
    device: str,
) -> _Work:
    denoiser, card = load_denoiser(pipeline.prior, device)
    given = scan
    if scan.source.given_mask:
        scan = scan.strip()
    in_shape = tuple(denoiser.in_shape)
    _, rows, columns = in_shape
    model = fit_to_model(scan, (rows, columns), voxel_size=pixel_size(card), resample=resample)
    verdict = check_scope(given, card, resampled=model.placement.resampled)
    chosen = _choose(model, slices)
    acquisition = acquire(
        build_operator(pipeline.operator, in_shape, chosen),
        model.images[list(chosen)],
        noise_std=pipeline.noise_std,
        intensity=scan.intensity,
        slices=chosen,
        seed=pipeline.seed,
        scan=scan.key,
    )
    reference = {
        "truth": model.images[list(chosen)],
        "zero_filled": acquisition.zero_filled().numpy(),
    }
    if pipeline.baseline is not None:
        reference["linear_mmse"] = linear_mmse(pipeline.baseline, acquisition)
    return _Work(pipeline, scan, model, chosen, denoiser, card, acquisition, verdict, reference)


def _choose(model: ModelSlices, slices: int | Sequence[int] | None) -> tuple[int, ...]:
    if slices is None or isinstance(slices, int):
        return model.pick(slices)
    count = len(model.images)
    outside = sorted({i for i in slices if not 0 <= i < count})
    if outside or not slices:
        raise ValueError(
            f"slices must be indices from 0 to {count - 1}, got {outside or 'none at all'}."
        )
    return tuple(sorted(set(slices)))


def _plan(work: _Work, device: str) -> PosteriorPlan:
    """Say what the file will hold."""
    pipeline, acquisition = work.pipeline, work.acquisition
    operator = acquisition.operator
    return PosteriorPlan(
        placement=work.model.placement,
        slices=work.slices,
        draws=pipeline.draws,
        channels=operator.in_shape[0],
        unit=work.scan.intensity.unit,
        seed=pipeline.seed,
        fingerprint=_fingerprint(work),
        operator=(operator.name, *operator.to_data()),
        y=(acquisition.axes, acquisition.y.numpy()),
        noise_std=acquisition.noise_std,
        mask=work.mask,
        reference=work.reference,
        stats=("residual",),
        scope=work.verdict.to_data(),
        provenance=_provenance(work, device),
        title=pipeline.title,
    )


def _fingerprint(work: _Work) -> str:
    """Hash all that decides the numbers: pipeline, weights, slices as measured, their units."""
    said = {
        "pipeline": work.pipeline.sha256,
        "prior": work.card.get("sha256"),
        "scan": work.scan.key,
        "slices": work.slices,
        "intensity": work.scan.intensity.to_data(),
        "y": hashlib.sha256(work.acquisition.y.numpy().tobytes()).hexdigest(),
    }
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _provenance(work: _Work, device: str) -> dict[str, Any]:
    """Say how to make the file again; nothing here names a person or a machine."""
    source, pipeline = work.scan.source, work.pipeline
    prior = Path(pipeline.prior).name  # of a path, without the folders that name a machine
    return {
        "pipeline": pipeline.model_dump(mode="json") | {"prior": prior},
        "pipeline_sha256": pipeline.sha256,
        "prior": {"name": prior, "sha256": work.card.get("sha256")},
        "scan": {"name": source.name, "sha256": source.sha256, "key": work.scan.key},
        "intensity": work.scan.intensity.to_data(),
        "grid": work.model.note,
        "acquisition": "simulated from the magnitude image of the scan",
        "random_streams": "one per (seed, scan, slice, sample); see uqrestore.noise.SampleNoise",
        "device": device,
        "dtype": "float32",
    }


def _draw_all(
    work: _Work,
    writer: PosteriorWriter,
    batch_size: int,
    device: str,
    tell: Callable[[Progress], None],
) -> None:
    """Draw what the file still misses, slice by slice, ``batch_size`` images at a time."""
    pipeline, acquisition = work.pipeline, work.acquisition
    tell(_progress(writer))
    for group in chunks(work.slices, max(1, batch_size // pipeline.draws)):
        problem = acquisition.problem(group).to(device)
        for draws in chunks(writer.missing(group), max(1, batch_size // len(group))):
            start = time.perf_counter()
            images, calls = draw(
                pipeline.method,
                problem,
                work.denoiser,
                seed=pipeline.seed,
                scan=work.scan.key,
                slices=group,
                draws=draws,
            )
            writer.write(
                draws,
                group,
                acquisition.intensity.to_file(images).cpu().numpy(),
                nfe=calls,
                wall_s=time.perf_counter() - start,
                stats={"residual": acquisition.residual(problem, group, images)},
            )
            tell(_progress(writer))


def _progress(writer: PosteriorWriter) -> Progress:
    draws, slices = writer.valid.shape
    return Progress(
        slices=slices,
        slices_done=int(writer.valid.all(axis=0).sum()),
        samples=draws * slices,
        samples_done=int(writer.valid.sum()),
    )


def _figures(work: _Work, mean: Images) -> dict[str, float]:
    """Return the PSNR inside the mask, in dB, of the mean and of what it is compared with."""
    data_range = work.scan.intensity.std_to_file(NETWORK_RANGE)
    images = {**work.reference, "mean": mean}
    truth = images.pop("truth")
    figures = {
        f"psnr_{name}": psnr(image, truth, work.mask, data_range=data_range)
        for name, image in images.items()
    }
    return figures | {"psnr_data_range": data_range}
