"""Commands that evaluate and calibrate the uncertainty of restorations."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from uqrestore.cli.options import (
    AllowGaps,
    BatchSize,
    Device,
    Draws,
    Memory,
    Overwrite,
    Pipeline,
    Resample,
    Slices,
    restore_pipeline,
    run_options,
)
from uqrestore.cli.terminal import one_line_faults, out, say

if TYPE_CHECKING:
    from uqrestore.pipeline import RestorePipeline
    from uqrestore.restoration.options import RunOptions

Folder = Annotated[
    Path,
    typer.Argument(help="Folder of posterior files with truth; with --pipeline, of scans."),
]
PipelineName = Annotated[
    str | None,
    typer.Option("--pipeline", "-p", help="First restore the scans of the folder by this."),
]
Restored = Annotated[
    Path | None,
    typer.Option("--restored", help="Where the posterior files go; a second run finds them there."),
]


def evaluate(
    folder: Folder,
    pipeline: PipelineName = None,
    restored: Restored = None,
    table: Annotated[
        Path | None, typer.Option("--out", "-o", help="JSON (.json) or NetCDF (.nc) of the table.")
    ] = None,
    *,
    slices: Slices = None,
    draws: Draws = None,
    level: Annotated[
        float,
        typer.Option(
            min=0.0, max=1.0, help="False-alarm rate: probability of rejecting an ideal sampler."
        ),
    ] = 0.01,
    batch_size: BatchSize = None,
    device: Device = "cpu",
    resample: Resample = False,
    memory: Memory = None,
    allow_gaps: AllowGaps = False,
    overwrite: Overwrite = False,
) -> None:
    """Test draws against known truth: calibration, coverage, scores, image quality."""
    with one_line_faults(table or folder):
        from uqrestore.evaluation import find_files, read_study, save_evaluation, table_of

        if table is not None and table.exists() and not overwrite:
            raise ValueError(f"{table}: exists; give another --out, or --overwrite.")
        if pipeline is not None:
            options = run_options(
                slices=slices,
                resample=resample,
                allow_gaps=allow_gaps,
                batch_size=batch_size,
                device=device,
                memory=memory,
            )
            folder = _restored(
                str(folder), restore_pipeline(pipeline, draws=draws), restored, options
            )
        study = read_study(find_files(folder))
        found = study.evaluate(level=level)
        out.print(table_of(found))
        say(found.battery.verdict)
        people = "scan" if study.scenes.people == 1 else "scans"
        say(f"{len(study.scenes)} slices of {study.scenes.people} {people}; a slice is one scene")
        if table is not None:
            save_evaluation(found, table)
            say(f"table: {table}")


def calibrate(
    folder: Folder,
    guarantee: Annotated[Path, typer.Option("--out", "-o", help="JSON file of the guarantee.")],
    pipeline: PipelineName = None,
    restored: Restored = None,
    *,
    method: Annotated[
        Literal["rcps", "crc", "split_conformal", "learn_then_test", "component_box"],
        typer.Option(help="How widths are chosen; component_box is a region of whole images."),
    ] = "rcps",
    alpha: Annotated[
        float, typer.Option(help="Share of pixels, or of images, that may lie outside.")
    ] = 0.1,
    delta: Annotated[
        float,
        typer.Option(help="Chance of an unlucky calibration set, for rcps and learn_then_test."),
    ] = 0.1,
    share: Annotated[
        float, typer.Option(help="Share of pixels that must be inside, for split_conformal.")
    ] = 0.95,
    slices: Slices = None,
    draws: Draws = None,
    batch_size: BatchSize = None,
    device: Device = "cpu",
    resample: Resample = False,
    memory: Memory = None,
    allow_gaps: AllowGaps = False,
    overwrite: Overwrite = False,
) -> None:
    """Make a guarantee for intervals from scans whose truth is known."""
    with one_line_faults(guarantee):
        from uqrestore.evaluation import find_files, read_study

        if guarantee.exists() and not overwrite:
            raise ValueError(f"{guarantee}: exists; give another --out, or --overwrite.")
        if pipeline is not None:
            options = run_options(
                slices=slices,
                resample=resample,
                allow_gaps=allow_gaps,
                batch_size=batch_size,
                device=device,
                memory=memory,
            )
            folder = _restored(
                str(folder), restore_pipeline(pipeline, draws=draws), restored, options
            )
        study = read_study(find_files(folder))
        if method == "component_box":
            made = study.calibrate_box(alpha=alpha)
        else:
            options = {"share": share} if method == "split_conformal" else {}
            made = study.calibrate(method=method, alpha=alpha, delta=delta, **options)
        made.save(guarantee)
        say(made.statement)
        say(made.size)
        say(f"guarantee: {guarantee}")


def _restored(
    source: str, pipeline: "RestorePipeline", restored: Path | None, options: "RunOptions"
) -> Path:
    """Restore the scans of a folder, a pattern or a list, resuming an earlier run."""
    from uqrestore.batch import Job, run_batch
    from uqrestore.batch.progress import board

    if restored is None:
        raise ValueError("--pipeline restores scans and needs --restored FOLDER for their files.")
    job = Job(pipeline=pipeline, out=restored, options=options, retry_failed=True)
    with board(out) as tell:
        outcome = run_batch(source, job, tell=tell)
    failed = [record for record in outcome.records if not record.is_done]
    if failed:
        first = failed[0]
        raise ValueError(
            f"{len(failed)} of {len(outcome.records)} scans could not be restored, such as "
            f"{first.name}: {str(first.error).rstrip('.')}. A study leaves none out; correct or "
            "remove them."
        )
    return restored


def fit_axial(
    scans: Annotated[list[Path], typer.Argument(help="Scans that nothing was trained on.")],
    pipeline: Pipeline,
    lengths: Annotated[str, typer.Option(help="Lengths to try, in mm, rising.")] = "0,2,4,6,9,13",
    draws: Annotated[int, typer.Option(min=1, help="Draws of a volume at each length.")] = 3,
    slices: Annotated[
        int | None, typer.Option(min=4, help="Slices in the middle of the brain; else all.")
    ] = None,
    *,
    resample: Resample = False,
    batch_size: BatchSize = None,
    device: Device = "cpu",
) -> None:
    """Find axial_mm and axial_share: draws then change from slice to slice as real scans do."""
    with one_line_faults():
        from uqrestore.pipeline import RestorePipeline, load_pipeline
        from uqrestore.restoration.axial import fit_axial
        from uqrestore.restoration.options import RunOptions
        from uqrestore.scans import read_scan

        try:
            tried = [float(length) for length in lengths.split(",")]
        except ValueError:
            raise ValueError(f"--lengths {lengths}: give numbers with commas between.") from None
        found = fit_axial(
            load_pipeline(pipeline, RestorePipeline),
            [read_scan(path) for path in scans],
            lengths_mm=tried,
            draws=draws,
            slices=slices,
            options=RunOptions(resample=resample, batch_size=batch_size, device=device),
            tell=say,
        )
        say(f"axial_mm: {found.axial_mm:.1f}")
        say(f"axial_share: {found.axial_share:.2f}")
        if not found.reached:
            ratio = ", ".join(f"{value:.2f}" for value in found.ratio_found)
            say(f"this is the nearest, but the variogram is still {ratio} of the truth's.")
