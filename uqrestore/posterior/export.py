"""Maps of a posterior file as NIfTI, on the model's grid or on that of the scan's own file."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from uqrestore.posterior._native import place, placed_draws, placed_std
from uqrestore.posterior.errors import PosteriorError
from uqrestore.posterior.view import PosteriorFile
from uqrestore.scans.nifti import holds_map, write_nifti

STACKED = {"pc": "component", "quantile": "q"}  # maps with an axis of their own, last in NIfTI
DRAWS = "draws"
"""Name of all draws that a file keeps, as a map whose last axis is the draw."""


def export_nifti(
    path: Path | str,
    folder: Path | str,
    *,
    maps: Sequence[str] | None = None,
    native: bool = False,
    overwrite: bool = False,
) -> list[Path]:
    """Write maps of a finished posterior file, one NIfTI file each.

    Voxels outside the restored slices are NaN, never 0: a standard deviation of 0 would say that
    they are certain.

    Where the scan was resampled for the model, the way to its own grid interpolates. The mean
    and the components are linear and may be interpolated; the standard deviation is recomputed
    from draws brought to the native grid one by one, and refused where the file does not keep
    all of them; quantiles are refused.

    Args:
        path: The posterior file.
        folder: Folder of the files; made if missing.
        maps: Variables of ``/estimate`` or ``/reference``, or ``draws`` for a 4-D file of all
            draws that are kept; None takes mean, standard deviation and the components that the
            file holds.
        native: Use the grid, axis order and affine of the scan's own file.
        overwrite: Replace files that exist; one that holds the same map already stays.

    Returns:
        The files of the maps.

    Raises:
        PosteriorError: If a map does not exist or cannot be brought to the native grid, or a
            file with other values exists.
    """
    folder = Path(folder)
    with PosteriorFile(Path(path)) as file:
        file.require_sound()
        folder.mkdir(parents=True, exist_ok=True)
        placement, written = file.placement, []
        if maps is None:
            maps = ("mmse", "std", "pc") if file.component_count else ("mmse", "std")
        for name in maps:
            variable = file["posterior/image"] if name == DRAWS else file.variable(name)
            for channel in range(variable.sizes.get("channel", 1)):
                suffix = f"_channel{channel}" if "channel" in variable.dims else ""
                target = folder / f"{file.stem}_{name}{suffix}.nii.gz"
                grid = placement.native if native else placement.model
                values = map_volume(file, name, channel, native=native)
                if target.exists() and not overwrite:
                    if not holds_map(target, values, grid):
                        raise PosteriorError(f"{target}: exists already; pass --overwrite.")
                    written.append(target)
                    continue
                description = f"uqrestore {name}{suffix}, not for diagnosis"
                code = placement.space_code
                written.append(
                    write_nifti(target, values, grid, space_code=code, description=description)
                )
    return written


def map_volume(file: PosteriorFile, name: str, channel: int, *, native: bool) -> np.ndarray:
    """Return a map indexed (x, y, z[, stack]) on the grid asked for; see :func:`export_nifti`."""
    if name == DRAWS:
        return np.stack(list(placed_draws(file, channel, native)), axis=-1)
    if name == "std":
        return placed_std(file, channel, native)
    array = file.variable(name).isel(channel=channel, missing_dims="ignore")
    if name not in STACKED:
        return place(file, array.values, native)
    if native and file.placement.resampled and name == "quantile":
        raise PosteriorError(
            f"{file.path}: quantiles cannot be interpolated to the scan's own grid; export them on "
            "the model's grid (--model-grid)."
        )
    layers = array.transpose(STACKED[name], ...).values
    return np.stack([place(file, layer, native) for layer in layers], axis=-1)
