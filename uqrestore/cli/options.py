"""Options that several commands share."""

from typing import Annotated

import typer

Device = Annotated[str, typer.Option(help="Where the prior runs: cpu, cuda, cuda:1, mps.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")]
Pipeline = Annotated[
    str, typer.Option("--pipeline", "-p", help="Name of a pipeline, or a YAML file.")
]
Seed = Annotated[int | None, typer.Option(min=0, help="Seed of the samples.")]
Slices = Annotated[
    int | None,
    typer.Option("--slices", min=1, help="So many slices of a scan, spread evenly; else all."),
]
Resample = Annotated[
    bool, typer.Option("--resample", help="Allow a change to the prior's pixel size.")
]
Draws = Annotated[int | None, typer.Option(min=2, help="Posterior samples a slice.")]
BatchSize = Annotated[
    int | None, typer.Option(min=1, help="Images in one network call; changes no result.")
]
Keep = Annotated[str, typer.Option(help="Draws that stay in the file: all, thin (eight) or none.")]
Bits = Annotated[
    int | None, typer.Option(help="Bits of mantissa of the draws; 7 halves the file. Else all.")
]
Memory = Annotated[str | None, typer.Option(help="Memory that the process may take, such as 2GiB.")]
AllowGaps = Annotated[
    bool, typer.Option("--allow-gaps", help="Take a DICOM series in spite of missing slices.")
]
