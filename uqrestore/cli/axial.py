"""Fit the axial correlation of draws."""

from typing import Annotated

import typer

from uqrestore.cli.options import (
    AllowGaps,
    BatchSize,
    Device,
    Masks,
    Pipeline,
    Resample,
    RunArguments,
    Volume,
)
from uqrestore.cli.terminal import one_line_faults, say


def fit_axial(
    scans: Annotated[list[str], typer.Argument(help="Scans that nothing was trained on.")],
    pipeline: Pipeline,
    lengths: Annotated[str, typer.Option(help="Lengths to try, in mm, rising.")] = "0,2,4,6,9,13",
    draws: Annotated[int, typer.Option(min=1, help="Draws of a volume at each length.")] = 3,
    slices: Annotated[
        int | None, typer.Option(min=4, help="Slices in the middle of the brain; else all.")
    ] = None,
    *,
    mask: Masks = None,
    volume: Volume = None,
    resample: Resample = False,
    batch_size: BatchSize = None,
    device: Device = "cpu",
    allow_gaps: AllowGaps = False,
) -> None:
    """Find axial_mm and axial_share: draws then change from slice to slice as real scans do."""
    with one_line_faults():
        from uqrestore.batch import find_tasks
        from uqrestore.restoration.axial import fit_axial
        from uqrestore.scans import read_scan

        try:
            tried = [float(length) for length in lengths.split(",")]
        except ValueError:
            raise ValueError(f"--lengths {lengths}: give numbers with commas between.") from None
        run = RunArguments(resample=resample, batch_size=batch_size, device=device)
        found = fit_axial(
            run.pipeline(pipeline),
            [
                read_scan(task.scan, mask=task.mask, volume=task.volume, allow_gaps=allow_gaps)
                for source in scans
                for task in find_tasks(source, mask=mask, volume=volume)
            ],
            lengths_mm=tried,
            draws=draws,
            slices=slices,
            options=run.options(),
            tell=say,
        )
        say(f"axial_mm: {found.axial_mm:.1f}")
        say(f"axial_share: {found.axial_share:.2f}")
        if not found.reached:
            ratio = ", ".join(f"{value:.2f}" for value in found.ratio_found)
            say(f"this is the nearest, but the variogram is still {ratio} of the truth's.")
