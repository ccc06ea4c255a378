"""Commands that evaluate and calibrate the uncertainty of restorations."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from uqrestore.cli.options import Names, Overwrite, RunArguments, ScansArguments, grouped
from uqrestore.cli.terminal import one_line_faults, out, say

Folder = Annotated[
    Path,
    typer.Argument(
        help="Folder of posterior files with truth; with --pipeline, scans as 'batch' takes them."
    ),
]
PipelineName = Annotated[
    str | None,
    typer.Option("--pipeline", "-p", help="First restore the scans by this pipeline."),
]
Restored = Annotated[
    Path | None,
    typer.Option("--restored", help="Folder of the posterior files; a second run resumes there."),
]


@grouped
def evaluate(
    folder: Folder,
    pipeline: PipelineName = None,
    restored: Restored = None,
    table: Annotated[
        Path | None, typer.Option("--out", "-o", help="JSON (.json) or NetCDF (.nc) of the table.")
    ] = None,
    *,
    run: RunArguments,
    scans: ScansArguments,
    level: Annotated[
        float,
        typer.Option(
            min=0.0, max=1.0, help="False-alarm rate: probability of rejecting an ideal sampler."
        ),
    ] = 0.01,
    overwrite: Overwrite = False,
) -> None:
    """Test draws against known truth: calibration, coverage, scores, image quality."""
    with one_line_faults(table or folder):
        from uqrestore.conformal.study import read_study, save_evaluation, table_of

        if table is not None and table.exists() and not overwrite:
            raise ValueError(f"{table}: exists; give another --out, or --overwrite.")
        study = read_study(_files(folder, pipeline, restored, run, scans))
        found = study.evaluate(level=level)
        out.print(table_of(found))
        say(found.battery.verdict)
        people = "scan" if study.scenes.people == 1 else "scans"
        say(f"{len(study.scenes)} slices of {study.scenes.people} {people}; a slice is one scene")
        if table is not None:
            save_evaluation(found, table)
            say(f"table: {table}")


@grouped
def calibrate(
    folder: Folder,
    guarantee: Annotated[Path, typer.Option("--out", "-o", help="JSON file of the guarantee.")],
    pipeline: PipelineName = None,
    restored: Restored = None,
    *,
    method: Annotated[
        Literal[
            "rcps", "crc", "split_conformal", "learn_then_test", "component_box", "region_means"
        ],
        typer.Option(
            help="How widths are chosen; component_box is a region of whole images, region_means "
            "is for the means of labelled regions."
        ),
    ] = "rcps",
    alpha: Annotated[
        float, typer.Option(help="Share of pixels, or of images, that may lie outside.")
    ] = 0.1,
    delta: Annotated[
        float,
        typer.Option(help="Risk of an unlucky calibration set, for rcps and learn_then_test."),
    ] = 0.1,
    share: Annotated[
        float, typer.Option(help="Share of pixels that must be inside, for split_conformal.")
    ] = 0.95,
    labels: Annotated[
        str | None,
        typer.Option(
            help="Label volume of each posterior file, for region_means, such as "
            "'labels/{}_roi.nii.gz'."
        ),
    ] = None,
    names: Names = None,
    run: RunArguments,
    scans: ScansArguments,
    overwrite: Overwrite = False,
) -> None:
    """Make a guarantee for intervals from scans whose truth is known."""
    with one_line_faults(guarantee):
        from uqrestore.reports.guarantees import make_guarantee

        if guarantee.exists() and not overwrite:
            raise ValueError(f"{guarantee}: exists; give another --out, or --overwrite.")
        made = make_guarantee(
            _files(folder, pipeline, restored, run, scans),
            method,
            alpha=alpha,
            delta=delta,
            share=share,
            labels=labels,
            names=names,
        )
        made.save(guarantee)
        say(made.statement)
        say(made.size)
        say(f"guarantee: {guarantee}")


def _files(
    folder: Path,
    pipeline: str | None,
    restored: Path | None,
    run: RunArguments,
    scans: ScansArguments,
) -> list[Path]:
    """Return posterior files, restored first where a pipeline is named.

    Args:
        folder: Posterior files, or scans.
        pipeline: Name of the pipeline that restores the scans.
        restored: Folder of their posterior files, where an earlier run resumes.
        run: How the scans are restored.
        scans: How they are found and read.
    """
    from uqrestore.batch import Job, run_batch
    from uqrestore.batch.progress import board
    from uqrestore.conformal.study import find_files

    if pipeline is None:
        return find_files(folder)
    tasks = scans.tasks(str(folder))
    if restored is None:
        raise ValueError("--pipeline restores scans and needs --restored FOLDER for their files.")
    job = Job(
        pipeline=run.pipeline(pipeline),
        out=restored,
        options=run.options(allow_gaps=scans.allow_gaps),
        retry_failed=True,
    )
    with board(out) as tell:
        outcome = run_batch(tasks, job, tell=tell)
    failed = [record for record in outcome.records if not record.is_done]
    if failed:
        first = failed[0]
        raise ValueError(
            f"{len(failed)} of {len(outcome.records)} scans could not be restored, such as "
            f"{first.name}: {str(first.error).rstrip('.')}. A study leaves none out; correct or "
            "remove them."
        )
    return [job.posterior(record.name) for record in outcome.records]
