"""The command line: the commands of ``uqrestore.commands`` under one name."""

import typer

from uqrestore.commands import (
    axial,
    batch,
    evaluating,
    files,
    looking,
    report,
    restoring,
    studies,
    training,
)

app = typer.Typer(
    name="uqrestore",
    help="Restore medical images, and say how uncertain the result is. Research use only.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(restoring.demo)
app.command()(restoring.reconstruct)
app.command()(batch.batch)
app.command()(batch.catalogue)
app.command()(training.train)
app.command()(training.average)
app.command()(studies.run)
app.command()(studies.card)
app.command()(studies.page)
app.command()(studies.overhead)
app.command()(looking.inspect)
app.command()(report.report)
app.command()(files.export)
app.command()(evaluating.evaluate)
app.command()(evaluating.calibrate)
app.command()(axial.fit_axial)
app.command("list")(looking.list_names)


def main() -> None:
    """Run the command line; the entry point of the installed ``uqrestore``."""
    app()
