"""Steps that all demos share: restore a scan, draw a picture, write a report."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from uqrestore.pipeline import RestorePipeline
from uqrestore.posterior import PosteriorError, PosteriorFile
from uqrestore.reports.page import write_report
from uqrestore.restoration.finished import NOTHING_TO_DO, is_made
from uqrestore.restoration.options import RunOptions
from uqrestore.restoration.restore import Progress, restore
from uqrestore.scans import Input, Scan


@dataclass(frozen=True)
class DemoResult:
    """Files and figures of a demo.

    Attributes:
        posterior: Posterior file.
        picture: PNG drawn from it.
        report: HTML page made from it.
        psnr: PSNR inside the mask, in dB, by the name of the image: ``zero_filled``, ``mean`` and
            the linear estimates of the file.
        data_range: Peak of the PSNR, in the units of the file.
        measured: True if k-space was measured; the peak is then the brightness of the reference.
        residual: Largest ``||A x - y|| / ||y||`` of any sample of any slice.
        chi_square: Chi-square per measurement of a typical draw; None without noise.
        interval: Level of the intervals of the pixels, such as ``88.2 %``.
        coverage: Share of the pixels of the mask whose reference lies in its interval.
        seconds: Time from start to end.
    """

    posterior: Path
    picture: Path
    report: Path
    psnr: dict[str, float]
    data_range: float
    measured: bool
    residual: float
    chi_square: float | None
    interval: str
    coverage: float
    seconds: float


def run(
    name: str,
    folder: Path,
    pipeline: RestorePipeline,
    scan: Input,
    options: RunOptions,
    draw_picture: Callable[[Path, Path], object],
    *,
    progress: Callable[[Progress], None] | None = None,
    notify: Callable[[str], None] | None = None,
) -> DemoResult:
    """Restore a scan whose reference is known, and draw the results.

    A finished file of the same run is not made again; picture and report are.

    Args:
        name: First part of the names of the files.
        folder: Where they go; made if missing.
        pipeline: Pipeline of the demo.
        scan: Scan that ships with the package.
        options: Slices, device and the like; ``overwrite`` replaces earlier files of the demo.
        draw_picture: Draws a posterior file into a PNG.
        progress: Called after every batch.
        notify: Called with lines for the user.

    Raises:
        PosteriorError: If the files exist, are of another run, and are not to be replaced.
    """
    start = time.perf_counter()
    out, picture = demo_files(folder, name)
    made = not options.overwrite and is_made(out, pipeline, scan, options)
    existing = [str(path) for path in (out, picture) if path.exists()]
    if existing and not options.overwrite and not made:
        raise PosteriorError(f"{', '.join(existing)}: exists already; pass --overwrite or --out.")
    folder.mkdir(parents=True, exist_ok=True)
    if not made:
        restore(pipeline, scan, out, options, progress=progress, notify=notify)
    elif notify is not None:
        notify(f"{out} {NOTHING_TO_DO}")
    draw_picture(out, picture)
    written = write_report(out, folder, overwrite=True)
    with PosteriorFile(out) as file:
        psnr = file.psnr
        residual = float(file["sample_stats/residual"].max())
    numbers = written.data["numbers"]
    return DemoResult(
        posterior=out,
        picture=picture,
        report=written.page,
        data_range=psnr.pop("data_range"),
        psnr=psnr,
        measured=not isinstance(scan, Scan),
        residual=residual,
        chi_square=numbers["data_fit"] if numbers["data_fit_kind"] == "chi2" else None,
        interval=numbers["interval"],
        coverage=numbers["coverage"],
        seconds=time.perf_counter() - start,
    )


def demo_files(folder: Path, name: str) -> tuple[Path, Path]:
    """Return the posterior file and the picture of a demo in ``folder``."""
    return folder / f"{name}.posterior.h5", folder / f"{name}.png"
