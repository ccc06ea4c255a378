"""Restore a scan: measure its slices, draw their posterior, write one file."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from uqrestore.evaluation.metrics import NETWORK_RANGE, psnr
from uqrestore.pipeline import RestorePipeline
from uqrestore.posterior import PosteriorWriter
from uqrestore.sampling import Shelf, chunks, draw
from uqrestore.scans import Scan
from uqrestore.work import Slices, Work, plan, prepare

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


def restore(
    pipeline: RestorePipeline,
    scan: Scan,
    out: Path,
    *,
    overwrite: bool = False,
    resample: bool = False,
    slices: Slices = None,
    batch_size: int | None = None,
    device: str = "cpu",
    shelf: Shelf | None = None,
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
        shelf: Keeps the priors for the next scan.
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
    work = prepare(pipeline, scan, resample, slices, device, shelf or Shelf())
    say(str(work.verdict))
    say(f"grid: {work.model.note}")
    with PosteriorWriter(out, plan(work, device), overwrite=overwrite) as writer:
        if writer.resumed:
            say(f"resuming: {writer.resumed} samples of slices are in {out}.part already")
        tell = progress or (lambda _: None)
        _draw_all(work, writer, batch_size or pipeline.batch_size, device, tell)
        summary = writer.summarise(components=pipeline.components)
        return writer.finish(summary, figures=_figures(work, summary.mmse))


def _draw_all(
    work: Work,
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


def _figures(work: Work, mean: Images) -> dict[str, float]:
    """Return the PSNR inside the mask, in dB, of the mean and of what it is compared with."""
    data_range = work.scan.intensity.std_to_file(NETWORK_RANGE)
    images = {**work.reference, "mean": mean}
    truth = images.pop("truth")
    figures = {
        f"psnr_{name}": psnr(image, truth, work.mask, data_range=data_range)
        for name, image in images.items()
    }
    return figures | {"psnr_data_range": data_range}
