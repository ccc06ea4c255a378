"""Restore: the demo and one scan."""

from pathlib import Path
from typing import Annotated

import typer

from uqrestore.cli.options import (
    AllowGaps,
    BatchSize,
    Bits,
    Device,
    Draws,
    Guarantee,
    Keep,
    Memory,
    Overwrite,
    Pipeline,
    Resample,
    Seed,
    Slices,
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
    """Restore the brain that ships: 12 slices, 32 posterior draws each, and a report."""
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
        names = {"zero_filled": "zero-filled", "linear_mmse": "linear MMSE", "mean": "mean"}
        words = ", ".join(f"{names[k]} {result.psnr[k]:.2f}" for k in names if k in result.psnr)
        say(
            f"PSNR inside the brain mask: {words} dB "
            f"(peak {result.data_range:.4g}, that is 2 in network units [-1, 1])"
        )
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
    volume: Annotated[int | None, typer.Option(min=0, help="Volume of a 4-D file, from 0.")] = None,
    noise_std: Annotated[
        float | None,
        typer.Option(help="Noise of raw k-space per real component, in the file's units."),
    ] = None,
    coils: Annotated[
        int | None, typer.Option(min=1, help="Coils that raw k-space is compressed to.")
    ] = None,
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
    with one_line_faults(Path(f"{posterior}.part")):
        from uqrestore.posterior import export_nifti
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
        say(f"posterior: {written}")
        if options.guarantee is not None:
            say(f"guarantee: {options.guarantee.statement}")
        if native:
            for path in export_nifti(written, written.parent, native=True, overwrite=overwrite):
                say(f"native:    {path}")
