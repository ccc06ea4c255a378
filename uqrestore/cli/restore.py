"""Restore one scan."""

import shlex
import time
from pathlib import Path
from typing import Annotated

import typer

from uqrestore.cli.options import (
    AllowGaps,
    BatchSize,
    Bits,
    Coils,
    Device,
    Draws,
    Guarantee,
    Keep,
    Memory,
    NoiseStd,
    Overwrite,
    Pipeline,
    Resample,
    Seed,
    Slices,
    Volume,
    restore_pipeline,
    run_options,
)
from uqrestore.cli.terminal import one_line_faults, psnr_line, restoration_bar, say


def reconstruct(
    scan: Annotated[Path, typer.Argument(help="NIfTI, a DICOM series' folder, or raw k-space.")],
    posterior: Annotated[Path, typer.Option("--out", "-o", help="Posterior file to write.")],
    pipeline: Pipeline = "brain-cs4-ssd",
    *,
    mask: Annotated[
        Path | None, typer.Option(help="Brain mask, for a scan that still has its skull.")
    ] = None,
    volume: Volume = None,
    noise_std: NoiseStd = None,
    coils: Coils = None,
    reference: Annotated[
        Path | None, typer.Option(help="Fully sampled file of the same raw k-space.")
    ] = None,
    slices: Slices = None,
    draws: Draws = None,
    seed: Seed = None,
    batch_size: BatchSize = None,
    device: Device = "cpu",
    resample: Resample = False,
    guarantee: Guarantee = None,
    native: Annotated[
        bool, typer.Option("--native", help="Also write NIfTI maps on the scan's own grid.")
    ] = False,
    keep: Keep = "all",
    bits: Bits = None,
    memory: Memory = None,
    allow_gaps: AllowGaps = False,
    overwrite: Overwrite = False,
) -> None:
    """Restore a scan: simulate the pipeline's acquisition, draw its posterior, write one file."""
    start = time.perf_counter()
    with one_line_faults(Path(f"{posterior}.part")):
        from uqrestore.posterior import PosteriorFile, export_nifti
        from uqrestore.restoration.restore import restore
        from uqrestore.scans import Scan, read_input

        if native and resample and keep != "all":
            raise ValueError(
                f"--native after --resample needs every draw for the standard deviation, but "
                f"--keep {keep} does not keep them; use --keep all, or leave out --native and "
                "export on the model's grid (uqrestore export --nifti --model-grid)."
            )
        plan = restore_pipeline(pipeline, draws=draws, seed=seed)
        options = run_options(
            slices=slices,
            resample=resample,
            allow_gaps=allow_gaps,
            batch_size=batch_size,
            device=device,
            memory=memory,
            overwrite=overwrite,
            keep=keep,
            bits=bits,
            guarantee=guarantee,
        )
        with restoration_bar() as advance:
            given = read_input(
                scan,
                mask=mask,
                volume=volume,
                allow_gaps=allow_gaps,
                noise_std=noise_std,
                coils=coils,
                reference=reference,
            )
            written = restore(plan, given, posterior, options, progress=advance, notify=say)
        with PosteriorFile(written) as file:
            psnr = file.psnr
        if psnr:
            say(psnr_line(psnr, psnr.pop("data_range"), measured=not isinstance(given, Scan)))
        say(f"posterior: {written}")
        if options.guarantee is not None:
            say(f"guarantee: {options.guarantee.statement}")
        if native:
            for path in export_nifti(written, written.parent, native=True, overwrite=overwrite):
                say(f"native:    {path}")
        seconds, file = time.perf_counter() - start, shlex.quote(str(written))
        say(f"{seconds:.0f} s; now: uqrestore report {file}")
