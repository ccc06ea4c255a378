"""Files: posterior files as other formats."""

from pathlib import Path
from typing import Annotated

import typer

from uqrestore.commands.options import Overwrite
from uqrestore.terminal import one_line_faults, say


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
    model_grid: Annotated[
        bool, typer.Option("--model-grid", help="NIfTI on the prior's grid, not the scan's.")
    ] = False,
    maps: Annotated[
        list[str] | None, typer.Option("--map", help="Map to write; repeat. Else mean and std.")
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option(help="The scan's DICOM series: its patient and study are then the maps'."),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write maps of a posterior file as NIfTI or DICOM."""
    with one_line_faults():
        if not nifti and not zarr and dicom is None:
            raise ValueError("say what to write: --nifti, --zarr, or --dicom pmap, series or both.")
        from uqrestore.posterior import export_dicom, export_nifti, export_zarr

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
            store = where / f"{path.name.removesuffix('.h5')}.zarr"
            written.append(export_zarr(path, store, overwrite=overwrite))
        for file in written:
            say(f"written: {file}")
