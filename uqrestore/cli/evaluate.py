"""Commands that evaluate and calibrate the uncertainty of restorations."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from uqrestore.cli.options import (
    AllowGaps,
    BatchSize,
    Device,
    Draws,
    Masks,
    Memory,
    Overwrite,
    References,
    Resample,
    Seed,
    Slices,
    Volume,
    restore_pipeline,
    run_options,
)
from uqrestore.cli.terminal import one_line_faults, out, say

if TYPE_CHECKING:
    from uqrestore.conformal.study import Study

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
    seed: Seed = None,
    mask: Masks = None,
    reference: References = None,
    volume: Volume = None,
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
        from uqrestore.conformal.study import save_evaluation, table_of

        if table is not None and table.exists() and not overwrite:
            raise ValueError(f"{table}: exists; give another --out, or --overwrite.")
        study = _study(
            folder,
            pipeline,
            restored,
            {"mask": mask, "reference": reference, "volume": volume},
            draws=draws,
            seed=seed,
            slices=slices,
            resample=resample,
            allow_gaps=allow_gaps,
            batch_size=batch_size,
            device=device,
            memory=memory,
        )
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
        typer.Option(help="Risk of an unlucky calibration set, for rcps and learn_then_test."),
    ] = 0.1,
    share: Annotated[
        float, typer.Option(help="Share of pixels that must be inside, for split_conformal.")
    ] = 0.95,
    slices: Slices = None,
    draws: Draws = None,
    seed: Seed = None,
    mask: Masks = None,
    reference: References = None,
    volume: Volume = None,
    batch_size: BatchSize = None,
    device: Device = "cpu",
    resample: Resample = False,
    memory: Memory = None,
    allow_gaps: AllowGaps = False,
    overwrite: Overwrite = False,
) -> None:
    """Make a guarantee for intervals from scans whose truth is known."""
    with one_line_faults(guarantee):
        if guarantee.exists() and not overwrite:
            raise ValueError(f"{guarantee}: exists; give another --out, or --overwrite.")
        study = _study(
            folder,
            pipeline,
            restored,
            {"mask": mask, "reference": reference, "volume": volume},
            draws=draws,
            seed=seed,
            slices=slices,
            resample=resample,
            allow_gaps=allow_gaps,
            batch_size=batch_size,
            device=device,
            memory=memory,
        )
        if method == "component_box":
            made = study.calibrate_box(alpha=alpha)
        else:
            options = {"share": share} if method == "split_conformal" else {}
            made = study.calibrate(method=method, alpha=alpha, delta=delta, **options)
        made.save(guarantee)
        say(made.statement)
        say(made.size)
        say(f"guarantee: {guarantee}")


def _study(
    folder: Path,
    pipeline: str | None,
    restored: Path | None,
    scans: Mapping[str, Any],
    *,
    draws: int | None,
    seed: int | None,
    **options: object,
) -> "Study":
    """Return the scenes of posterior files, restored first where a pipeline is named.

    Args:
        folder: Posterior files, or scans.
        pipeline: Name of the pipeline that restores the scans.
        restored: Folder of their posterior files, where an earlier run resumes.
        scans: How scans are found and read, as ``find_tasks`` takes it.
        draws: Draws instead of the pipeline's.
        seed: Seed instead of the pipeline's.
        options: Fields of ``RunOptions``.
    """
    from uqrestore.batch import Job, find_tasks, run_batch
    from uqrestore.batch.progress import board
    from uqrestore.conformal.study import find_files, read_study

    if pipeline is None:
        return read_study(find_files(folder))
    tasks = find_tasks(str(folder), **scans)
    if restored is None:
        raise ValueError("--pipeline restores scans and needs --restored FOLDER for their files.")
    job = Job(
        pipeline=restore_pipeline(pipeline, draws=draws, seed=seed),
        out=restored,
        options=run_options(**options),  # type: ignore[arg-type]
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
    return read_study([job.posterior(record.name) for record in outcome.records])
