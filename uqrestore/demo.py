"""The demo: a real brain, an acquisition of a quarter of its k-space lines, its posterior."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from uqrestore.pipeline import RestorePipeline, change, load_pipeline
from uqrestore.posterior import PosteriorError, PosteriorFile
from uqrestore.reports.page import write_report
from uqrestore.reports.summary_figure import draw_summary
from uqrestore.restoration.options import RunOptions
from uqrestore.restoration.restore import Progress, restore
from uqrestore.scans import demo_scan_path, read_scan

PIPELINE = "brain-cs4-invfussion"
SLICES, FAST_SLICES = 12, 3
COMPARED = ("zero_filled", "linear_mmse", "mean")


@dataclass(frozen=True)
class DemoResult:
    """Files and figures of the demo.

    Attributes:
        posterior: The posterior file.
        picture: The PNG drawn from it.
        report: The HTML page made from it.
        psnr: Inside the brain mask, in dB: ``zero_filled``, ``linear_mmse``, ``mean``.
        data_range: Peak of the PSNR, in the units of the file; 2 in network intensity.
        residual: Largest ``||A x - y|| / ||y||`` of any sample of any slice.
        seconds: From start to end.
    """

    posterior: Path
    picture: Path
    report: Path
    psnr: dict[str, float]
    data_range: float
    residual: float
    seconds: float


def run_demo(
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
    """Restore slices of the bundled scan, and draw the results.

    Args:
        folder: Where ``brain.posterior.h5``, ``brain.png`` and ``brain.report.html`` go; made if
            missing.
        slices: How many, spread evenly through the brain; None for every one.
        draws: Posterior samples a slice; None takes the pipeline's 32.
        batch_size: Images in one call of the prior.
        device: Where the prior runs.
        overwrite: Replace the demo's earlier files.
        progress: Called after every batch.
        notify: Called with lines for the user.

    Raises:
        PosteriorError: If the files exist and are not to be replaced.
    """
    start = time.perf_counter()
    out, picture = demo_files(folder)
    existing = [str(path) for path in (out, picture) if path.exists()]
    if existing and not overwrite:
        raise PosteriorError(f"{', '.join(existing)}: exists already; pass --overwrite or --out.")
    folder.mkdir(parents=True, exist_ok=True)
    pipeline = change(load_pipeline(PIPELINE, RestorePipeline), draws=draws)
    restore(
        pipeline,
        read_scan(demo_scan_path()),
        out,
        RunOptions(slices=slices, batch_size=batch_size, device=device, overwrite=overwrite),
        progress=progress,
        notify=notify,
    )
    draw_summary(out, picture)
    report = write_report(out, folder, overwrite=True).page
    with PosteriorFile(out) as file:
        figures = file.figures
        residual = float(file["sample_stats/residual"].max())
    return DemoResult(
        posterior=out,
        picture=picture,
        report=report,
        psnr={name: figures[f"psnr_{name}"] for name in COMPARED},
        data_range=figures["psnr_data_range"],
        residual=residual,
        seconds=time.perf_counter() - start,
    )


def demo_files(folder: Path) -> tuple[Path, Path]:
    """Return the posterior file and the picture of a demo in ``folder``."""
    return folder / "brain.posterior.h5", folder / "brain.png"
