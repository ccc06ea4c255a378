"""Batch: many scans, and the catalogue of their outputs."""

import os
from pathlib import Path
from typing import Annotated

import typer

from uqrestore.cli.options import FileArguments, Pipeline, RunArguments, ScansArguments, grouped
from uqrestore.cli.terminal import FAILURE, one_line_faults, out, say


@grouped
def batch(
    source: Annotated[
        str, typer.Argument(help="A folder, a pattern in quotes, or a list (.txt, .csv, .tsv).")
    ],
    folder: Annotated[Path, typer.Option("--out", "-o", help="Folder of the posterior files.")],
    pipeline: Pipeline = "brain-cs4-ssd",
    *,
    workers: Annotated[
        int, typer.Option(min=1, help="Processes on this machine; above 1 needs the extra batch.")
    ] = 1,
    scheduler: Annotated[
        str | None, typer.Option(help="Address of a dask scheduler, such as tcp://10.0.0.1:8786.")
    ] = None,
    scheduler_file: Annotated[
        Path | None, typer.Option(help="File that 'dask scheduler --scheduler-file' wrote.")
    ] = None,
    shard: Annotated[
        str | None, typer.Option(help="i/N: restore the i-th of N parts, for arrays of jobs.")
    ] = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Repeat scans that failed.")
    ] = False,
    run: RunArguments,
    scans: ScansArguments,
    file: FileArguments,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace finished files of other runs.")
    ] = False,
) -> None:
    """Restore many scans; the same command resumes. Exit code 0 only if all are done."""
    with one_line_faults(folder):
        if scheduler is not None and scheduler_file is not None:
            raise ValueError("--scheduler and --scheduler-file name two schedulers; give one.")
        from uqrestore.batch import Job, parse_shard, run_batch
        from uqrestore.batch.progress import board

        job = Job(
            pipeline=run.pipeline(pipeline),
            out=folder,
            options=run.options(file, allow_gaps=scans.allow_gaps, overwrite=overwrite),
            retry_failed=retry_failed,
        )
        with board(out) as tell:
            outcome = run_batch(
                scans.tasks(source),
                job,
                workers=workers,
                scheduler=scheduler,
                scheduler_file=scheduler_file,
                shard=None if shard is None else parse_shard(shard),
                tell=tell,
            )
        counts = {status: outcome.count(status) for status in ("done", "skipped", "failed")}
        before = outcome.count("failed before")
        hint = f", {before} failed before (--retry-failed repeats them)" if before else ""
        say(
            f"{counts['done']} restored, {counts['skipped']} were done already, "
            f"{counts['failed']} failed{hint}"
        )
        if outcome.catalogue is not None:
            say(f"catalogue: {os.path.relpath(outcome.catalogue)}")
    if not outcome.is_done:
        raise typer.Exit(FAILURE)


def catalogue(
    folder: Annotated[Path, typer.Argument(help="Folder of the outputs of a batch.")],
    table: Annotated[
        Path | None, typer.Option("--out", "-o", help=".csv or .parquet; else catalogue.csv there.")
    ] = None,
) -> None:
    """List all outputs of a batch with their figures in one table."""
    with one_line_faults():
        from uqrestore.batch import write_catalogue

        say(f"catalogue: {write_catalogue(folder, table)}")
