"""The demo of a real acquisition: four coils, a whole head, a quarter of its k-space lines."""

import functools
from collections.abc import Callable
from pathlib import Path

from uqrestore.demo.run import DemoResult, run
from uqrestore.pipeline import RestorePipeline, change, load_pipeline
from uqrestore.reports.slice_figure import draw_slice
from uqrestore.restoration.options import RunOptions
from uqrestore.restoration.restore import Progress
from uqrestore.scans import demo_kspace_path, read_input

NAME = "head"
PIPELINE = "raw-brain"
DRAWS, FAST_DRAWS = 16, 5
CREDIT = "k-space: gpuNUFFT, TU Graz, MIT"
BASELINES = ["cg_sense"]  # the linear estimate; the others want sigpy
# The file is fully sampled; these lines of it are kept, and all of them are the reference.
KEPT = {
    "name": "masked_fourier",
    "channels": 2,
    "mask": {"law": "cartesian", "acceleration": 4, "center_lines": 24, "seed": 0},
}


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
    return run(
        NAME,
        folder,
        change(pipeline, operator=KEPT, draws=draws, components=components, baselines=BASELINES),
        read_input(demo_kspace_path()),
        RunOptions(resample=True, batch_size=batch_size, device=device, overwrite=overwrite),
        functools.partial(draw_slice, credit=CREDIT),
        progress=progress,
        notify=notify,
    )
