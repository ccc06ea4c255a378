"""Files: posterior files as other formats."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from uqrestore.cli.options import Overwrite
from uqrestore.cli.terminal import DamagedFileError, one_line_faults, out, say


def export(
    path: Annotated[Path, typer.Argument(help="A finished posterior file.")],
    folder: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for the files; else beside it.")
    ] = None,
    *,
    nifti: Annotated[
        bool, typer.Option("--nifti", help="One NIfTI file a map, on the scan's own grid.")
    ] = False,
    dicom: Annotated[
        str | None, typer.Option(help="pmap, series (16 bit, for simpler viewers) or both.")
    ] = None,
    zarr: Annotated[
        bool, typer.Option("--zarr", help="The whole file as a Zarr store (extra zarr).")
    ] = False,
    ome_zarr: Annotated[
        bool,
        typer.Option("--ome-zarr", help="Maps as an OME-Zarr image, for microscopy (extra zarr)."),
    ] = False,
    array: Annotated[
        Path | None,
        typer.Option(help="NumPy file (.npz) of everything, in the array order of the scan."),
    ] = None,
    model_grid: Annotated[
        bool, typer.Option("--model-grid", help="NIfTI on the prior's grid, not the scan's.")
    ] = False,
    maps: Annotated[
        list[str] | None,
        typer.Option("--map", help="Map to write, or draws (4-D); repeat. Else mean and std."),
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option(help="The scan's DICOM series: its patient and study are then the maps'."),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write maps as NIfTI, DICOM, OME-Zarr or NumPy arrays, or all of a file as Zarr."""
    with one_line_faults():
        if not (nifti or zarr or ome_zarr) and dicom is None and array is None:
            raise ValueError(
                "choose what to write: --nifti, --array NAME.npz, --zarr, --ome-zarr, or --dicom "
                "pmap, series or both."
            )
        from uqrestore.posterior import (
            export_array,
            export_dicom,
            export_nifti,
            export_ome_zarr,
            export_zarr,
        )

        stem = path.name.removesuffix(".h5")
        where, chosen = folder or path.parent, tuple(maps or ("mmse", "std"))
        written = []
        if nifti:
            written += export_nifti(
                path, where, maps=chosen, native=not model_grid, overwrite=overwrite
            )
        if dicom is not None:
            written += export_dicom(
                path, where, kind=dicom, maps=chosen, source=source, overwrite=overwrite
            )
        if zarr:
            written.append(export_zarr(path, where / f"{stem}.zarr", overwrite=overwrite))
        if ome_zarr:
            store = where / f"{stem}.ome.zarr"
            written.append(export_ome_zarr(path, store, maps=chosen, overwrite=overwrite))
        if array is not None:
            written.append(export_array(path, array, overwrite=overwrite))
        for file in written:
            say(f"written: {file}")


class Registry(StrEnum):
    """Registries that ``uqrestore list`` shows."""

    OPERATORS = "operators"
    METHODS = "methods"
    PRIORS = "priors"
    BACKBONES = "backbones"
    PIPELINES = "pipelines"


def inspect(
    path: Annotated[Path, typer.Argument(help="A posterior file.")],
) -> None:
    """Validate a posterior file, down to a flipped byte, and show what it holds."""
    with one_line_faults():
        from uqrestore.posterior import inspect as look

        found = look(path)
        out.print(found.table())
        if found.faults:
            raise DamagedFileError(
                f"{path}: {'; '.join(found.faults)}; make it again, or take a sound copy."
            )
        say(f"{path}: sound")


def list_names(
    what: Annotated[Registry | None, typer.Argument(help="What to list; else all names.")] = None,
) -> None:
    """List what a pipeline can name."""
    from rich.table import Table

    with one_line_faults():
        if what is None:
            table = Table("list", "names")
            for kind in Registry:
                table.add_row(kind.value, ", ".join(name for name, _ in _entries(kind)))
            out.print(table)
            say(f"uqrestore list {Registry.METHODS}, for example, describes them")
            return
        table = Table("name", "what it is", title=what.value, title_justify="left")
        for name, text in _entries(what):
            table.add_row(name, text)
        out.print(table)


def _entries(what: Registry) -> list[tuple[str, str]]:
    if what is Registry.PIPELINES:
        from uqrestore.pipeline import describe, list_pipelines

        return [(name, ": ".join(describe(path))) for name, path in list_pipelines().items()]
    if what is Registry.OPERATORS:
        from uqrestore.operators import list_operators

        return [(name, f"{shapes}; pinv: {kind}") for name, shapes, kind in list_operators()]
    if what is Registry.PRIORS:
        from uqrestore.zoo import list_priors, load_card

        return [(name, load_card(name).title) for name in list_priors()]
    if what is Registry.METHODS:
        from uqrestore.methods import METHODS as registry
    else:
        from uqrestore.networks import BACKBONES as registry
    return [(name, (registry[name].__doc__ or "").split("\n")[0]) for name in sorted(registry)]
