"""The table of a benchmark for a terminal."""

from typing import TYPE_CHECKING

from uqrestore.benchmarks.results import LEVEL, Results, Row
from uqrestore.posterior.intervals import central_interval

if TYPE_CHECKING:
    from rich.console import Group


def as_table(results: Results) -> "Group":
    """Return the table for a terminal, and below it why a method has no numbers."""
    from rich.console import Group
    from rich.markup import escape
    from rich.table import Table

    pipeline, rows = results.pipeline, results.rows()
    table = Table(title=escape(pipeline.title), title_justify="left")
    table.add_column("operator", overflow="fold", min_width=9)
    table.add_column("noise", no_wrap=True, min_width=5)
    table.add_column("method", no_wrap=True)
    for name in (
        "slices",
        "PSNR dB",
        "SSIM",
        f"in {central_interval(pipeline.draws, LEVEL).name}",
        "calls",
        "s/slice",
    ):
        table.add_column(name, justify="right", no_wrap=True)

    def number(value: float | None, form: str) -> str:
        return "-" if value is None else format(value, form)

    for row in rows:
        table.add_row(
            escape(row.operator),
            f"{row.noise_std:g}",
            escape(row.method),
            str(row.slices),
            number(row.psnr, ".2f"),
            number(row.ssim, ".3f"),
            number(row.coverage, ".1%"),
            _calls(row),
            number(row.seconds or None, ".2f"),
        )
    notes = [
        escape(f"{row.method}, {row.operator}, noise {row.noise_std:g}: {row.failed}")
        for row in rows
        if row.failed
    ]
    return Group(table, *notes)


def _calls(row: Row) -> str:
    return f"{row.nfe} + {row.products}" if row.products else str(row.nfe or "-")
