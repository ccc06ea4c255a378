"""Command `report`: HTML pages from posterior files alone."""

from pathlib import Path
from typing import Annotated

import typer

from uqrestore.cli.options import Names, Overwrite
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
    names: Names = None,
    threshold: Annotated[
        float | None,
        typer.Option(help="Intensity: the page states how probable a region's mean exceeds it."),
    ] = None,
    guarantee: Annotated[
        Path | None,
        typer.Option(help="Guarantee of region means: 'calibrate --method region_means'."),
    ] = None,
    *,
    tables: Annotated[
        bool, typer.Option("--tables", help="Numbers (.csv) and regions (.tsv) as tables as well.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Write one self-contained page per posterior file, and one that compares them."""
    with one_line_faults():
        from uqrestore.reports.group import write_reports
        from uqrestore.reports.tables import write_tables

        written = write_reports(
            paths,
            folder,
            labels=labels,
            names=names,
            threshold=threshold,
            guarantee=guarantee,
            overwrite=overwrite,
            done=lambda page: say(f"report: {page}"),
        )
        for one in written.reports if tables else ():
            name = one.page.name.removesuffix(".html")
            files = (one.page.with_name(f"{name}.{end}") for end in ("numbers.csv", "regions.tsv"))
            for file in write_tables(one.data, *files):
                say(f"table:  {file}")
        if written.page is not None:
            say(f"group:  {written.page}")
        if written.failures:
            lines = "; ".join(reason for _, reason in written.failures)
            raise ValueError(lines)
