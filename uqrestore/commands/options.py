"""Options that several commands share."""

from typing import Annotated

import typer

Device = Annotated[str, typer.Option(help="Where the prior runs: cpu, cuda, cuda:1, mps.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")]
Draws = Annotated[int | None, typer.Option(min=2, help="Posterior samples a slice.")]
BatchSize = Annotated[
    int | None, typer.Option(min=1, help="Images in one network call; changes no result.")
]
