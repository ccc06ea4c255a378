"""The demo of a real acquisition: four coils, a whole head, a quarter of its k-space lines."""

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from uqrestore.demo.run import DemoResult, run
from uqrestore.pipeline import RestorePipeline, change, load_pipeline
from uqrestore.reports.slice_figure import draw_slice
from uqrestore.restoration.options import RunOptions
from uqrestore.restoration.restore import Progress
from uqrestore.scans import RawScan, demo_kspace_path, read_input, undersampled

NAME = "head"
PIPELINE = "raw-head"
DRAWS, FAST_DRAWS = 16, 5
ACCELERATION, CENTER_LINES, SEED = 4, 24, 0
CREDIT = "k-space: gpuNUFFT, TU Graz, MIT"
BASELINES = ["cg_sense"]  # the linear estimate; the others want sigpy


def run_head_demo(
    folder: Path,
    *,
    draws: int = DRAWS,
    batch_size: int | None = None,
    device: str = "cpu",
    overwrite: bool = False,
    progress: Callable[[Progress], None] | None = None,
    notify: Callable[[str], None] | None = None,
) -> DemoResult:
    """Restore the bundled raw scan from one k-space line in four, and draw the results.

    Args:
        folder: Where ``head.posterior.h5``, ``head.png`` and ``head.report.html`` go; made if
            missing.
        draws: Posterior samples.
        batch_size: Images in one call of the prior.
        device: Where the prior runs.
        overwrite: Replace the demo's earlier files.
        progress: Called after every batch.
        notify: Called with lines for the user.

    Raises:
        PosteriorError: If the files exist and are not to be replaced.
    """
    pipeline = load_pipeline(PIPELINE, RestorePipeline)
    components = max(0, min(pipeline.components, draws - 2))
    scan = read_input(demo_kspace_path())
    assert isinstance(scan, RawScan)
    return run(
        NAME,
        folder,
        change(pipeline, draws=draws, components=components, baselines=BASELINES),
        # All of its samples are the reference.
        undersampled(scan, sampled_lines(*scan.shape, ACCELERATION, CENTER_LINES, SEED)),
        RunOptions(batch_size=batch_size, device=device, overwrite=overwrite),
        functools.partial(draw_slice, credit=CREDIT),
        progress=progress,
        notify=notify,
    )


def sampled_lines(
    rows: int, columns: int, acceleration: int, center_lines: int, seed: int
) -> Bool[np.ndarray, "row column"]:
    """Return a mask of random columns with a complete centre, that of the comparison with BART.

    Results compare only on the same lines: of so few, how large a gap is left beside the centre is
    a matter of chance, and changes them by several dB.
    """
    sampled = np.zeros(columns, bool)
    start = columns // 2 - center_lines // 2
    sampled[start : start + center_lines] = True
    more = max(columns // acceleration - center_lines, 4)
    drawn = np.random.default_rng(seed).choice(np.flatnonzero(~sampled), more, replace=False)
    sampled[drawn] = True
    return np.broadcast_to(sampled, (rows, columns)).copy()
