"""The command line: every command under the name ``uqrestore``."""

import typer

from uqrestore.cli import (
    axial,
    batch,
    benchmark,
    bids,
    demo,
    evaluate,
    files,
    report,
    restore,
    train,
)
from uqrestore.cli.process import set_up_process

app = typer.Typer(
    name="uqrestore",
    help="Restore medical images with calibrated uncertainty. Research use only.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(demo.demo)
app.command()(restore.reconstruct)
app.command()(batch.batch)
app.command()(batch.catalogue)
app.command()(bids.bids)
app.command()(train.train)
app.command()(train.average)
app.command()(benchmark.benchmark)
app.command("run", hidden=True)(benchmark.benchmark)
app.command()(files.inspect)
app.command()(report.report)
app.command()(files.export)
app.command()(evaluate.evaluate)
app.command()(evaluate.calibrate)
app.command()(axial.fit_axial)
app.command("list")(files.list_names)


def main() -> None:
    """Run the command line; the entry point of the installed ``uqrestore``."""
    set_up_process()
    app()
