"""The demos: a real raw scan, and a brain whose acquisition is simulated."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from uqrestore.cli.options import BatchSize, Device, Draws, Overwrite
from uqrestore.cli.terminal import one_line_faults, psnr_line, restoration_bar, say

if TYPE_CHECKING:
    from uqrestore.demo import DemoResult


def demo(
    folder: Annotated[Path, typer.Option("--out", help="Folder for the files.")] = Path(),
    *,
    brain: Annotated[
        bool, typer.Option("--brain", help="A T1 brain whose acquisition is simulated.")
    ] = False,
    fast: Annotated[
        bool, typer.Option("--fast", help="Five draws; with --brain three slices.")
    ] = False,
    whole: Annotated[bool, typer.Option("--whole", help="With --brain: every slice.")] = False,
    draws: Draws = None,
    batch_size: BatchSize = None,
    device: Device = "cpu",
    overwrite: Overwrite = False,
) -> None:
    """Restore the bundled raw scan of four coils from one line in four, and write a report."""
    with one_line_faults(folder / f"{'brain' if brain else 'head'}.posterior.h5.part"):
        if fast and whole:
            raise ValueError("--fast is three slices and --whole is every one; give one of them.")
        if whole and not brain:
            raise ValueError("--whole is for the slices of the brain; give --brain too.")
        with restoration_bar() as advance:
            if brain:
                from uqrestore.demo.brain import FAST_SLICES, SLICES, run_brain_demo

                result = run_brain_demo(
                    folder,
                    slices=FAST_SLICES if fast else None if whole else SLICES,
                    draws=draws,
                    batch_size=batch_size,
                    device=device,
                    overwrite=overwrite,
                    progress=advance,
                    notify=say,
                )
            else:
                from uqrestore.demo.head import DRAWS, FAST_DRAWS, run_head_demo

                result = run_head_demo(
                    folder,
                    draws=draws or (FAST_DRAWS if fast else DRAWS),
                    batch_size=batch_size,
                    device=device,
                    overwrite=overwrite,
                    progress=advance,
                    notify=say,
                )
        _say_result(result)


def _say_result(result: "DemoResult") -> None:
    """Print figures, files and what to do next."""
    say(psnr_line(result.psnr, result.data_range, measured=result.measured))
    if result.chi_square is None:  # with noise the restoration has stated the data fit
        say(f"largest ||A x - y|| / ||y|| of any draw: {result.residual:.1e}")
    say(f"{result.interval} intervals hold {result.coverage:.1%} of the pixels of the reference")
    say(f"posterior: {result.posterior}")
    say(f"picture:   {result.picture}")
    say(f"report:    {result.report}")
    file = shlex.quote(str(result.posterior))
    say(f"{result.seconds:.0f} s; now: open the report in a browser, or uqrestore inspect {file}")
