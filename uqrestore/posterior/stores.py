"""Posterior files as Zarr stores: all of a file, or maps as an OME-Zarr image."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from uqrestore._shared.files import temporary_name
from uqrestore.posterior.errors import PosteriorError
from uqrestore.posterior.export import DRAWS, map_volume
from uqrestore.posterior.view import PosteriorFile

NGFF = "0.5"
AXES = ("c", "z", "y", "x")
SMALLEST = 64
"""Rows or columns at which a pyramid ends."""


def export_zarr(path: Path | str, folder: Path | str, *, overwrite: bool = False) -> Path:
    """Copy a finished posterior file to a Zarr store, for object stores and web viewers.

    Every group, variable and attribute is the same; ``xarray.open_datatree(folder)`` reads it.

    Args:
        path: The posterior file.
        folder: The store, a folder such as ``scan.zarr``; it appears once it is whole.
        overwrite: Replace a store that exists.

    Raises:
        PosteriorError: If the file is not finished, the store exists, or the package zarr is
            missing.
    """
    with _store(Path(folder), overwrite) as temporary, PosteriorFile(Path(path)) as file:
        file.require_sound()
        # The filters of HDF5 are not those of Zarr: every variable gets its default ones.
        # Group by group, for a tree leaves out what it takes for an inherited axis: ``y``.
        for node in file.tree.subtree:
            group = node.to_dataset(inherit=False).drop_encoding()
            group.to_zarr(temporary, group=node.path, mode="a", consolidated=False)
    return Path(folder)


def export_ome_zarr(
    path: Path | str,
    folder: Path | str,
    *,
    maps: Sequence[str] = ("mmse", "std"),
    overwrite: bool = False,
) -> Path:
    """Write maps as the channels of an OME-Zarr image, for napari, Fiji and web viewers.

    The image is ``(channel, z, y, x)`` in float32 on the grid of the prior, with spacings in mm and
    a pyramid of local means. Pixels that were not restored are NaN. OME-Zarr has no patient's
    sides: medical scans belong into NIfTI or DICOM.

    Args:
        path: The posterior file.
        folder: The store, a folder such as ``cells.ome.zarr``; it appears once it is whole.
        maps: Variables of ``/estimate`` or ``/reference``, or ``draws`` for all that are kept.
            Components and quantiles are channels one by one.
        overwrite: Replace a store that exists.

    Raises:
        PosteriorError: If the file is not finished, a map does not exist, the store exists, or the
            package zarr is missing.

    References:
        OME-NGFF 0.5, https://ngff.openmicroscopy.org/0.5. Moore et al., Histochem. Cell Biol.
        160:223-251, 2023.
    """
    with _store(Path(folder), overwrite) as temporary, PosteriorFile(Path(path)) as file:
        import zarr

        file.require_sound()
        if not maps:
            raise PosteriorError(f"{folder}: no maps to write; name some, such as 'mmse'.")
        found = {label: volume for name in maps for label, volume in _channels(file, name)}
        image = xr.DataArray(np.stack(list(found.values())), dims=AXES)
        root = zarr.open_group(temporary, mode="w", zarr_format=3)
        spacing, levels = file.placement.model.spacing[::-1], []
        for level, values in enumerate(_pyramid(image)):
            root.create_array(
                str(level),
                data=values.to_numpy(),
                chunks=(1, 1, *values.shape[-2:]),
                dimension_names=AXES,
            )
            step = 2**level
            scale = [1.0, spacing[0], step * spacing[1], step * spacing[2]]
            centre = [0.0, 0.0, *((step - 1) / 2 * width for width in spacing[1:])]
            levels.append(
                {
                    "path": str(level),
                    "coordinateTransformations": [
                        {"type": "scale", "scale": scale},
                        {"type": "translation", "translation": centre},
                    ],
                }
            )
        root.attrs["ome"] = _metadata(file.stem, found, levels)
    return Path(folder)


def _channels(file: PosteriorFile, name: str) -> Iterator[tuple[str, np.ndarray]]:
    """Yield labels and volumes ``(z, y, x)`` of a map."""
    drawn = name == DRAWS
    variable = file["posterior/image"] if drawn else file.variable(name)
    for channel in range(variable.sizes.get("channel", 1)):
        label = "draw" if drawn else name
        label += f", channel {channel}" if "channel" in variable.dims else ""
        values = map_volume(file, name, channel, native=False).astype(np.float32)
        if values.ndim == 3:
            yield label, values.T
            continue
        for number, volume in enumerate(np.moveaxis(values, -1, 0), 1):
            yield f"{label} {number}", volume.T


def _pyramid(image: xr.DataArray) -> Iterator[xr.DataArray]:
    """Yield the image, and it averaged over pairs of rows and columns until it is small."""
    while True:
        yield image
        if max(image.shape[-2:]) <= SMALLEST:
            return
        image = image.coarsen(y=2, x=2, boundary="pad").mean()  # type: ignore[attr-defined]


def _metadata(name: str, found: dict[str, np.ndarray], levels: list[Any]) -> dict[str, Any]:
    axes: list[dict[str, str]] = [{"name": "c", "type": "channel"}]
    axes += [{"name": axis, "type": "space", "unit": "millimeter"} for axis in AXES[1:]]
    channels = []
    for label, volume in found.items():
        known = volume[np.isfinite(volume)]
        low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
        window = {"min": low, "max": high, "start": low, "end": high}
        channels.append({"label": label, "color": "FFFFFF", "active": True, "window": window})
    return {
        "version": NGFF,
        "multiscales": [{"name": name, "axes": axes, "datasets": levels, "type": "local mean"}],
        "omero": {"channels": channels},
    }


@contextmanager
def _store(folder: Path, overwrite: bool) -> Iterator[Path]:
    """Give a temporary folder that takes the place of the store once it is whole."""
    try:
        import zarr  # noqa: F401 - only whether it is there
    except ModuleNotFoundError:
        raise PosteriorError("Zarr needs its package: pip install 'uqrestore[zarr]'.") from None
    if folder.exists() and not overwrite:
        raise PosteriorError(f"{folder}: exists already; pass --overwrite.")
    temporary = temporary_name(folder)
    shutil.rmtree(temporary, ignore_errors=True)  # of an export that was killed
    try:
        yield temporary
        if folder.exists():
            shutil.rmtree(folder)
        temporary.replace(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
