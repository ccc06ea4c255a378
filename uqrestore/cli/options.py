"""Options that several commands share."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from uqrestore.pipeline import RestorePipeline
    from uqrestore.restoration.options import RunOptions

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
Masks = Annotated[
    str | None,
    typer.Option(
        "--mask",
        help="Brain mask; of several scans the name beside each, such as '{}_mask.nii.gz'.",
    ),
]
References = Annotated[
    str | None,
    typer.Option(
        "--reference",
        help="Fully sampled file of raw k-space; of several scans the name beside each, such as "
        "'{}_full.h5'.",
    ),
]
Volume = Annotated[int | None, typer.Option(min=0, help="Volume of a 4-D file, from 0.")]
NoiseStd = Annotated[
    float | None,
    typer.Option(help="Noise of raw k-space per real component, in the file's units."),
]
Coils = Annotated[int | None, typer.Option(min=1, help="Coils that raw k-space is compressed to.")]
Guarantee = Annotated[
    Path | None, typer.Option(help="Guarantee made by 'calibrate' that the intervals shall have.")
]


def run_options(
    *,
    keep: str = "all",
    bits: int | None = None,
    memory: str | None = None,
    guarantee: Path | None = None,
    **options: object,
) -> "RunOptions":
    """Return the options of a run as the command line states them.

    Args:
        keep: Draws that stay in the file.
        bits: Bits of their mantissa.
        memory: A size such as ``2GiB``.
        guarantee: File of a guarantee.
        options: The other fields of ``RunOptions``.
    """
    from uqrestore._shared.memory import read_size
    from uqrestore.conformal.guarantee import Guarantee
    from uqrestore.posterior import Storage
    from uqrestore.restoration.options import RunOptions

    return RunOptions(
        storage=Storage(keep, bits),
        memory=None if memory is None else read_size(memory),
        guarantee=None if guarantee is None else Guarantee.load(guarantee),
        **options,  # type: ignore[arg-type]
    )


def restore_pipeline(name: str, **changes: object) -> "RestorePipeline":
    """Return a pipeline that restores, with what the command line changes of it."""
    from uqrestore.pipeline import RestorePipeline, change, load_pipeline

    return change(load_pipeline(name, RestorePipeline), **changes)
