"""Restore one scan."""

import shlex
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from uqrestore.cli.options import (
    FileArguments,
    Overwrite,
    Pipeline,
    ReadArguments,
    RunArguments,
    grouped,
)
from uqrestore.cli.terminal import one_line_faults, psnr_line, restoration_bar, say


@grouped
def reconstruct(
    scan: Annotated[Path, typer.Argument(help="NIfTI, a DICOM series' folder, or raw k-space.")],
    posterior: Annotated[Path, typer.Option("--out", "-o", help="Posterior file to write.")],
    pipeline: Pipeline = "brain-cs4-ssd",
    *,
    mask: Annotated[
        Path | None, typer.Option(help="Brain mask, for a scan that still has its skull.")
    ] = None,
    reference: Annotated[
        Path | None, typer.Option(help="Fully sampled file of the same raw k-space.")
    ] = None,
    reading: ReadArguments,
    run: RunArguments,
    file: FileArguments,
    native: Annotated[
        bool, typer.Option("--native", help="Also write NIfTI maps on the scan's own grid.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Restore a scan: simulate the pipeline's acquisition, draw its posterior, write one file."""
    start = time.perf_counter()
    with one_line_faults(Path(f"{posterior}.part")):
        from uqrestore.posterior import PosteriorFile, export_nifti
        from uqrestore.restoration.finished import NOTHING_TO_DO, is_made
        from uqrestore.restoration.restore import restore
        from uqrestore.scans import Scan, read_input

        if native and run.resample and file.keep != "all":
            raise ValueError(
                f"--native after --resample needs every draw for the standard deviation, but "
                f"--keep {file.keep} does not keep them; use --keep all, or leave out --native and "
                "export on the model's grid (uqrestore export --nifti --model-grid)."
            )
        plan = run.pipeline(pipeline)
        options = run.options(file, allow_gaps=reading.allow_gaps, overwrite=overwrite)
        with restoration_bar() as advance:
            given = read_input(scan, mask=mask, reference=reference, **asdict(reading))
            if not overwrite and is_made(posterior, plan, given, options):
                say(f"{posterior} {NOTHING_TO_DO}")
            else:
                restore(plan, given, posterior, options, progress=advance, notify=say)
        with PosteriorFile(posterior) as opened:
            psnr = opened.psnr
        if psnr:
            say(psnr_line(psnr, psnr.pop("data_range"), measured=not isinstance(given, Scan)))
        say(f"posterior: {posterior}")
        if options.guarantee is not None:
            say(f"guarantee: {options.guarantee.statement}")
        if native:
            for path in export_nifti(posterior, posterior.parent, native=True, overwrite=overwrite):
                say(f"native:    {path}")
        seconds, quoted = time.perf_counter() - start, shlex.quote(str(posterior))
        say(f"{seconds:.0f} s; now: uqrestore report {quoted}")
