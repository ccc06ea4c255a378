"""Run a benchmark pipeline: methods, operators and noise levels on one scan."""

from pathlib import Path
from typing import Annotated

import typer

from uqrestore.cli.options import Device, Overwrite
from uqrestore.cli.terminal import count_bar, one_line_faults, out, say


def benchmark(
    pipeline: Annotated[str, typer.Argument(help="Name of a benchmark, or a YAML file.")],
    report: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="JSON file for the table; a stopped run is resumed."),
    ] = None,
    *,
    slices: Annotated[int | None, typer.Option(min=2, help="Instead of the pipeline's.")] = None,
    draws: Annotated[int | None, typer.Option(min=2, help="Instead of the pipeline's.")] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Label of an operator or method to run now; may be repeated."),
    ] = None,
    device: Device = "cpu",
    overwrite: Overwrite = False,
) -> None:
    """Run a benchmark pipeline: methods x operators x noise on one scan.

    The table is written after every slice. The same command resumes a run that was stopped.
    """
    with one_line_faults(report):
        from uqrestore.benchmarks import Results, as_table, check_free, run_benchmark
        from uqrestore.pipeline import BenchmarkPipeline, change, load_pipeline

        plan = load_pipeline(pipeline, BenchmarkPipeline)
        plan = change(plan, slices=slices, draws=draws)
        results = Results(plan)
        if report is not None and report.exists() and not overwrite:
            results = Results.read(report, plan)
        elif report is not None:
            check_free(report, overwrite=overwrite)

        def keep(now: Results) -> None:
            if report is not None:
                now.write(report)

        with count_bar("slices") as advance:
            run_benchmark(
                plan, results=results, only=only or (), device=device, keep=keep, progress=advance
            )
        out.print(as_table(results))
        if report is not None:
            say(f"table: {results.write(report)}")
