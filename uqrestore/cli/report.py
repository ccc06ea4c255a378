"""Reports of posterior files."""

from pathlib import Path
from typing import Annotated

import typer

from uqrestore.cli.options import Overwrite
from uqrestore.cli.terminal import one_line_faults, say


def report(
    paths: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Posterior files.")],
    folder: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder; else beside each file.")
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(help="NIfTI of numbered regions, on the grid of the scan that was restored."),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(help="Intensity: how probable is it that a region's mean exceeds it?"),
    ] = None,
    *,
    overwrite: Overwrite = False,
) -> None:
    """Write one self-contained page a posterior file, and one over all of them."""
    with one_line_faults():
        from uqrestore.reports.group import write_reports

        written = write_reports(
            paths,
            folder,
            labels=labels,
            threshold=threshold,
            overwrite=overwrite,
            done=lambda page: say(f"report: {page}"),
        )
        if written.page is not None:
            say(f"group:  {written.page}")
        if written.failures:
            lines = "; ".join(reason for _, reason in written.failures)
            raise ValueError(lines)
