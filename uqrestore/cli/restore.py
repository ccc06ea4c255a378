"""Restore: the demo and one scan."""

import shlex
import time
from collections.abc import Mapping
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
from uqrestore.cli.terminal import one_line_faults, restoration_bar, say


def demo(
    folder: Annotated[Path, typer.Option("--out", help="Folder for the files.")] = Path(),
    *,
    fast: Annotated[bool, typer.Option("--fast", help="Three slices.")] = False,
    whole: Annotated[bool, typer.Option("--whole", help="Every slice with brain.")] = False,
    draws: Draws = None,
    batch_size: BatchSize = None,
    device: Device = "cpu",
    overwrite: Overwrite = False,
) -> None:
    """Restore the bundled brain scan: 12 slices, 32 posterior draws each, and a report."""
    with one_line_faults(folder / "brain.posterior.h5.part"):
        if fast and whole:
            raise ValueError("--fast is three slices and --whole is every one; give one of them.")
        from uqrestore.demo import FAST_SLICES, SLICES, run_demo

        slices = FAST_SLICES if fast else None if whole else SLICES
        with restoration_bar() as advance:
            result = run_demo(
                folder,
                slices=slices,
                draws=draws,
                batch_size=batch_size,
                device=device,
                overwrite=overwrite,
                progress=advance,
                notify=say,
            )
        say(psnr_line(result.psnr, result.data_range))
        say(f"largest ||A x - y|| / ||y|| of any draw: {result.residual:.1e}")
        say(f"posterior: {result.posterior}")
        say(f"picture:   {result.picture}")
        say(f"report:    {result.report}")
        say(f"{result.seconds:.0f} s")


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
        from uqrestore.scans import read_input

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
            written = restore(
                plan,
                read_input(
                    scan,
                    mask=mask,
                    volume=volume,
                    allow_gaps=allow_gaps,
                    noise_std=noise_std,
                    coils=coils,
                    reference=reference,
                ),
                posterior,
                options,
                progress=advance,
                notify=say,
            )
        with PosteriorFile(written) as file:
            figures = file.figures
        if figures:
            psnr = {key.removeprefix("psnr_"): value for key, value in figures.items()}
            say(psnr_line(psnr, psnr.pop("data_range")))
        say(f"posterior: {written}")
        if options.guarantee is not None:
            say(f"guarantee: {options.guarantee.statement}")
        if native:
            for path in export_nifti(written, written.parent, native=True, overwrite=overwrite):
                say(f"native:    {path}")
        seconds, file = time.perf_counter() - start, shlex.quote(str(written))
        say(f"{seconds:.0f} s; now: uqrestore report {file}")


def psnr_line(psnr: Mapping[str, float], data_range: float) -> str:
    """Return one line with the PSNR of the images of a posterior file, in dB."""
    names = {
        "zero_filled": "zero-filled",
        "linear_mmse": "linear MMSE",
        "mean": "mean",
        "mmse": "network mean",
    }
    values = ", ".join(f"{names[key]} {psnr[key]:.2f}" for key in names if key in psnr)
    return (
        f"PSNR inside the brain mask: {values} dB "
        f"(peak {data_range:.4g}, that is 2 in network units [-1, 1])"
    )
