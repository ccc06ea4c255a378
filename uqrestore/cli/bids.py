"""Command `bids`: the anatomical images of a BIDS dataset, as a BIDS App."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from uqrestore.cli.options import Pipeline, RunArguments, grouped
from uqrestore.cli.terminal import FAILURE, one_line_faults, out, say


class Level(StrEnum):
    """Levels of analysis of a BIDS App."""

    PARTICIPANT = "participant"
    GROUP = "group"


@grouped
def bids(
    dataset: Annotated[Path, typer.Argument(help="Folder of a raw BIDS dataset.")],
    folder: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of the derivative.")],
    level: Annotated[Level, typer.Argument(help="participant: restore; group: compare.")],
    more: Annotated[
        list[str] | None, typer.Argument(metavar="LABEL", help="Further participants.")
    ] = None,
    pipeline: Pipeline = "brain-cs4-invfussion",
    *,
    participants: Annotated[
        list[str] | None,
        typer.Option("--participant-label", "--participant_label", help="Participants; else all."),
    ] = None,
    sessions: Annotated[
        list[str] | None,
        typer.Option("--session-label", "--session_label", help="Sessions; repeat. Else all."),
    ] = None,
    suffixes: Annotated[
        list[str] | None,
        typer.Option("--suffix", help="Images: T1w, T2w, FLAIR; repeat. Else all."),
    ] = None,
    masks: Annotated[
        Path | None,
        typer.Option(help="Derivative with *_desc-brain_mask; else those in derivatives/."),
    ] = None,
    workers: Annotated[
        int, typer.Option(min=1, help="Processes on this machine; above 1 needs the extra batch.")
    ] = 1,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Repeat images that failed.")
    ] = False,
    run: RunArguments,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace finished files of other runs.")
    ] = False,
) -> None:
    """Restore the T1w, T2w and FLAIR images of a BIDS dataset into a BIDS derivative.

    The measurement of an image is simulated as the pipeline states. The same command resumes.
    """
    with one_line_faults(folder):
        from uqrestore.batch import Job
        from uqrestore.batch.bids import SUFFIXES, find_scans, restore_group, restore_participants
        from uqrestore.batch.progress import board

        failed = 0
        if level is Level.GROUP:
            written = restore_group(folder)
            for _, reason in written.failures:
                say(reason)
            failed = len(written.failures)
            say(f"group: {written.page or written.reports[0].page}")
        else:
            labels = [*(participants or ()), *(more or ())]
            if more and not participants:
                raise ValueError(f"{more[0]}: write --participant-label before participants.")
            scans = find_scans(
                dataset,
                participants=[label for text in labels for label in text.split()],
                sessions=sessions or (),
                suffixes=suffixes or SUFFIXES,
                masks=masks,
            )
            job = Job(
                pipeline=run.pipeline(pipeline),
                out=folder,
                options=run.options(overwrite=overwrite),
                retry_failed=retry_failed,
            )
            with board(out) as tell:
                failed = restore_participants(scans, job, workers=workers, tell=tell, say=say)
            say(f"{len(scans) - failed} of {len(scans)} images restored in {folder}")
    if failed:
        raise typer.Exit(FAILURE)
