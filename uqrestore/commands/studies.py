"""Studies: benchmarks of methods."""

from pathlib import Path
from typing import Annotated

import typer

from uqrestore.commands.options import Device, Overwrite
from uqrestore.terminal import count_bar, one_line_faults, out, say


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
