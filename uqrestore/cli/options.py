"""Options that several commands share."""

import dataclasses
import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from uqrestore.batch import Task
    from uqrestore.pipeline import RestorePipeline
    from uqrestore.restoration.options import RunOptions

Device = Annotated[str, typer.Option(help="Where the prior runs: cpu, cuda, cuda:1, mps.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")]
Pipeline = Annotated[
    str, typer.Option("--pipeline", "-p", help="Name of a pipeline, or a YAML file.")
]
Names = Annotated[
    str | None,
    typer.Option(
        help="Names of the regions: dlmuse, freesurfer or a table (number and name a line); "
        "else a table beside the labels."
    ),
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


@dataclass(frozen=True, kw_only=True)
class RunArguments:
    """Options of every command that restores: what to draw, where, and in which memory."""

    slices: Slices = None
    draws: Draws = None
    seed: Seed = None
    batch_size: BatchSize = None
    device: Device = "cpu"
    resample: Resample = False
    memory: Memory = None

    def pipeline(self, name: str) -> "RestorePipeline":
        """Return a pipeline that restores, with what the command line changes of it."""
        from uqrestore.pipeline import RestorePipeline, change, load_pipeline

        return change(load_pipeline(name, RestorePipeline), draws=self.draws, seed=self.seed)

    def options(
        self,
        file: "FileArguments | None" = None,
        *,
        allow_gaps: bool = False,
        overwrite: bool = False,
    ) -> "RunOptions":
        """Return the options of a run as the command line states them."""
        from uqrestore._shared.memory import read_size
        from uqrestore.conformal.guarantee import Guarantee
        from uqrestore.posterior import Storage
        from uqrestore.restoration.options import RunOptions

        file = file or FileArguments()
        return RunOptions(
            slices=self.slices,
            resample=self.resample,
            allow_gaps=allow_gaps,
            batch_size=self.batch_size,
            device=self.device,
            memory=None if self.memory is None else read_size(self.memory),
            overwrite=overwrite,
            storage=Storage(file.keep, file.bits),
            guarantee=None if file.guarantee is None else Guarantee.load(file.guarantee),
        )


@dataclass(frozen=True, kw_only=True)
class FileArguments:
    """Options of commands whose posterior files are the result."""

    keep: Keep = "all"
    bits: Bits = None
    guarantee: Guarantee = None


@dataclass(frozen=True, kw_only=True)
class ReadArguments:
    """Options of commands that read scans; ``allow_gaps`` aside, those of ``find_tasks``."""

    volume: Volume = None
    noise_std: NoiseStd = None
    coils: Coils = None
    allow_gaps: AllowGaps = False


@dataclass(frozen=True, kw_only=True)
class ScansArguments(ReadArguments):
    """Options of commands that read several scans, each with its files beside it."""

    mask: Masks = None
    reference: References = None

    def tasks(self, source: str) -> "list[Task]":
        """Return the scans of a folder, a pattern or a list."""
        from uqrestore.batch import find_tasks

        return find_tasks(
            source,
            mask=self.mask,
            reference=self.reference,
            volume=self.volume,
            noise_std=self.noise_std,
            coils=self.coils,
        )


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command with one option for each field of its dataclass parameters.

    Args:
        command: Its parameters whose annotation is a dataclass stand for the fields of it.
    """
    signature = inspect.signature(command)
    groups: dict[str, Any] = {
        name: parameter.annotation
        for name, parameter in signature.parameters.items()
        if dataclasses.is_dataclass(parameter.annotation)
    }
    parameters: list[inspect.Parameter] = []
    for name, parameter in signature.parameters.items():
        if name not in groups:
            parameters.append(parameter)
            continue
        parameters += [
            inspect.Parameter(
                field.name, parameter.KEYWORD_ONLY, default=field.default, annotation=field.type
            )
            for field in dataclasses.fields(groups[name])
        ]

    @functools.wraps(command)
    def run(**given: Any) -> None:  # noqa: ANN401 - the options of the command
        for name, group in groups.items():
            values = {field.name: given.pop(field.name) for field in dataclasses.fields(group)}
            given[name] = group(**values)
        command(**given)

    vars(run)["__signature__"] = signature.replace(parameters=parameters)
    return run
