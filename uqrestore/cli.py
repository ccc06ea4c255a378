"""The command line: every command reads its arguments, calls one function, says what came out.

Nothing here imports torch at the top: ``uqrestore --help`` answers at once.
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from uqrestore.terminal import (
    DamagedFileError,
    count_bar,
    one_line_faults,
    out,
    restoration_bar,
    say,
)

app = typer.Typer(
    name="uqrestore",
    help="Restore medical images, and say how uncertain the result is. Research use only.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
Device = Annotated[str, typer.Option(help="Where the prior runs: cpu, cuda, cuda:1, mps.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")]
Draws = Annotated[int | None, typer.Option(min=2, help="Posterior samples a slice.")]
BatchSize = Annotated[
    int | None, typer.Option(min=1, help="Images in one network call; changes no result.")
]


class Registry(StrEnum):
    """What ``uqrestore list`` can list."""

    OPERATORS = "operators"
    METHODS = "methods"
    BACKBONES = "backbones"
    PIPELINES = "pipelines"


@app.command()
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
    """Restore the brain that ships: 12 slices, 32 posterior draws each, and a picture."""
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
        say(f"{result.seconds:.0f} s")


@app.command()
def reconstruct(
    scan: Annotated[Path, typer.Argument(help="A NIfTI file (.nii, .nii.gz).")],
    posterior: Annotated[Path, typer.Option("--out", "-o", help="Posterior file to write.")],
    pipeline: Annotated[
        str, typer.Option("--pipeline", "-p", help="Name of a pipeline, or a YAML file.")
    ] = "brain-cs4-ssd",
    *,
    mask: Annotated[
        Path | None, typer.Option(help="Brain mask, for a scan that still has its skull.")
    ] = None,
    volume: Annotated[int | None, typer.Option(min=0, help="Volume of a 4-D file, from 0.")] = None,
    slices: Annotated[
        int | None, typer.Option(min=1, help="So many slices, spread evenly; else all.")
    ] = None,
    draws: Draws = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of the samples.")] = None,
    batch_size: BatchSize = None,
    device: Device = "cpu",
    resample: Annotated[
        bool, typer.Option("--resample", help="Allow a change to the prior's pixel size.")
    ] = False,
    native: Annotated[
        bool, typer.Option("--native", help="Also write NIfTI maps on the scan's own grid.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Restore a scan: simulate the pipeline's acquisition, draw its posterior, write one file."""
    with one_line_faults(Path(f"{posterior}.part")):
        from uqrestore.pipeline import RestorePipeline, change, load_pipeline
        from uqrestore.posterior import export_nifti
        from uqrestore.restore import restore
        from uqrestore.scans import read_scan

        plan = change(load_pipeline(pipeline, RestorePipeline), draws=draws, seed=seed)
        with restoration_bar() as advance:
            written = restore(
                plan,
                read_scan(scan, mask=mask, volume=volume),
                posterior,
                overwrite=overwrite,
                resample=resample,
                slices=slices,
                batch_size=batch_size,
                device=device,
                progress=advance,
                notify=say,
            )
        say(f"posterior: {written}")
        if native:
            for path in export_nifti(written, written.parent, native=True, overwrite=overwrite):
                say(f"native:    {path}")


@app.command()
def train(
    pipeline: Annotated[str, typer.Argument(help="Name of a training pipeline, or a YAML file.")],
    data: Annotated[Path, typer.Option(help="Folder of the training data.")],
    folder: Annotated[Path, typer.Option("--out", "-o", help="Folder for weights and card.")],
    *,
    device: Device = "cpu",
) -> None:
    """Train a prior."""
    with one_line_faults(folder / "state.safetensors"):
        from uqrestore.pipeline import TrainPipeline, load_pipeline
        from uqrestore.train import run_training

        plan = load_pipeline(pipeline, TrainPipeline)
        with count_bar("samples") as advance:
            weights = run_training(
                plan,
                Path(pipeline).stem,
                data,
                folder,
                device=device,
                report=lambda now: advance(now.seen, now.samples),
            )
        say(f"weights: {weights}")


@app.command()
def run(
    pipeline: Annotated[str, typer.Argument(help="Name of a benchmark, or a YAML file.")],
    report: Annotated[
        Path | None, typer.Option("--out", "-o", help="JSON file for the table.")
    ] = None,
    *,
    device: Device = "cpu",
    overwrite: Overwrite = False,
) -> None:
    """Run a benchmark pipeline: methods x operators x noise on one scan."""
    with one_line_faults():
        from uqrestore.pipeline import BenchmarkPipeline, load_pipeline

        plan = load_pipeline(pipeline, BenchmarkPipeline)
        from uqrestore.benchmark import as_table, check_free, run_benchmark, write_report

        if report is not None:
            check_free(report, overwrite=overwrite)
        with count_bar("rows") as advance:
            rows = run_benchmark(plan, device=device, progress=advance)
        out.print(as_table(plan, rows))
        if report is not None:
            say(f"table: {write_report(plan, rows, report)}")


@app.command()
def inspect(
    path: Annotated[Path, typer.Argument(help="A posterior file.")],
) -> None:
    """Validate a posterior file, down to a flipped byte, and show what it holds."""
    with one_line_faults():
        from uqrestore.posterior import inspect as look

        found = look(path)
        out.print(found.table())
        if found.faults:
            raise DamagedFileError(
                f"{path}: {'; '.join(found.faults)}; make it again, or take a sound copy."
            )
        say(f"{path}: sound")


@app.command("list")
def list_names(
    what: Annotated[Registry, typer.Argument(help="What to list.")],
) -> None:
    """List what a pipeline can name."""
    from rich.table import Table

    with one_line_faults():
        table = Table("name", "what it is", title=what.value, title_justify="left")
        for name, text in _entries(what):
            table.add_row(name, text)
        out.print(table)


def _entries(what: Registry) -> list[tuple[str, str]]:
    if what is Registry.PIPELINES:
        from uqrestore.pipeline import describe, list_pipelines

        return [(name, ": ".join(describe(path))) for name, path in list_pipelines().items()]
    if what is Registry.OPERATORS:
        from uqrestore.operators import list_operators

        return [(name, f"{shapes}; pinv: {kind}") for name, shapes, kind in list_operators()]
    if what is Registry.METHODS:
        from uqrestore.methods import METHODS as registry
    else:
        from uqrestore.networks import BACKBONES as registry
    return [(name, (registry[name].__doc__ or "").split("\n")[0]) for name in sorted(registry)]


def main() -> None:
    """Run the command line; the entry point of the installed ``uqrestore``."""
    app()
