"""The demo of a simulated acquisition: a real T1 brain, a quarter of its k-space lines."""

from collections.abc import Callable
from pathlib import Path

from uqrestore.demo.run import DemoResult, run
from uqrestore.pipeline import RestorePipeline, change, load_pipeline
from uqrestore.reports.summary_figure import draw_summary
from uqrestore.restoration.options import RunOptions
from uqrestore.restoration.restore import Progress
from uqrestore.scans import demo_scan_path, read_scan

NAME = "brain"
PIPELINE = "brain-cs4-invfussion"
SLICES, FAST_SLICES = 12, 3


def run_brain_demo(
    folder: Path,
    *,
    slices: int | None = SLICES,
    draws: int | None = None,
    batch_size: int | None = None,
    device: str = "cpu",
    overwrite: bool = False,
    progress: Callable[[Progress], None] | None = None,
    notify: Callable[[str], None] | None = None,
) -> DemoResult:
    """Restore slices of the bundled brain, and draw the results.

    Args:
        folder: Where ``brain.posterior.h5``, ``brain.png`` and ``brain.report.html`` go; made if
            missing.
        slices: Number of slices, spread evenly through the brain; None for every one.
        draws: Posterior samples a slice; None takes the pipeline's 32.
        batch_size: Images in one call of the prior.
        device: Where the prior runs.
        overwrite: Replace the demo's earlier files.
        progress: Called after every batch.
        notify: Called with lines for the user.

    Raises:
        PosteriorError: If the files exist and are not to be replaced.
    """
    return run(
        NAME,
        folder,
        change(load_pipeline(PIPELINE, RestorePipeline), draws=draws),
        read_scan(demo_scan_path()),
        RunOptions(slices=slices, batch_size=batch_size, device=device, overwrite=overwrite),
        draw_summary,
        progress=progress,
        notify=notify,
    )
