"""Regions of a label volume on the slices of a posterior, and the names of its numbers."""

import csv
import re
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from uqrestore.posterior.errors import PosteriorError
from uqrestore.reports.contents import Contents
from uqrestore.reports.regions import Voxels

TABLES = Path(__file__).parent / "static" / "labels"
KNOWN = ("dlmuse", "freesurfer")
BESIDE = (".tsv", ".csv", ".txt")


def labelled_regions(contents: Contents, labels: Path, names: str | None) -> dict[str, Voxels]:
    """Return the regions of a label volume, brought from the scan's own grid by nearest voxel.

    Args:
        contents: Contents of the posterior file.
        labels: NIfTI of whole numbers, on the grid of the scan that was restored.
        names: See :func:`region_names`.

    Raises:
        PosteriorError: If it cannot be read, does not lie on that grid, or holds no label in these
            slices.
    """
    import nibabel
    from nibabel.filebasedimages import ImageFileError

    known = region_names(labels, names)
    native = contents.file.placement.native
    try:
        image = nibabel.load(labels)  # pyright: ignore[reportPrivateImportUsage]
        values = np.asarray(image.dataobj)  # pyright: ignore[reportAttributeAccessIssue]
    except (ImageFileError, OSError, EOFError, zlib.error, ValueError) as error:
        raise PosteriorError(f"{labels}: is not a readable NIfTI of labels ({error}).") from error
    affine = image.affine  # pyright: ignore[reportAttributeAccessIssue]
    shape = image.shape  # pyright: ignore[reportAttributeAccessIssue]
    if shape != native.shape or not np.allclose(affine, native.affine, atol=1e-3):
        raise PosteriorError(
            f"{labels}: does not lie on the grid of the scan (shape {native.shape}), but has shape "
            f"{shape} or another affine; draw the labels on the scan that was restored."
        )
    if not np.array_equal(values, np.rint(values)):
        raise PosteriorError(f"{labels}: holds values that are no whole numbers, so no labels.")
    found = _on_slices(contents, values.astype(np.int32)).ravel()
    order = np.argsort(found, kind="stable")
    numbers, starts = np.unique(found[order], return_index=True)
    regions = {
        known.get(number, f"label {number}"): voxels
        for number, voxels in zip(numbers.tolist(), np.split(order, starts[1:]), strict=True)
        if number != 0
    }
    if not regions:
        raise PosteriorError(f"{labels}: none of its labels lies in the slices of this file.")
    return regions


def region_names(labels: Path, names: str | None) -> Mapping[int, str]:
    """Return the names of label numbers.

    Args:
        labels: The label volume; a table of the same name beside it (``.tsv``, ``.csv`` or
            ``.txt``) is used if ``names`` is None.
        names: ``dlmuse``, ``freesurfer``, or the path of a table. One number means different
            regions in these, so neither is ever assumed.

    Raises:
        PosteriorError: If there is no such table, or a line of it is not understood.
    """
    if names is None:
        stem = labels.name.removesuffix(".gz").removesuffix(".nii")
        beside = [labels.with_name(stem + ending) for ending in BESIDE]
        table = next((path for path in beside if path.is_file()), None)
        return {} if table is None else _read_table(table)
    if names in KNOWN:
        return _read_table(TABLES / f"{names}.tsv")
    if not Path(names).is_file():
        raise PosteriorError(
            f"{names}: no such table of region names; give a file, or one of {', '.join(KNOWN)}."
        )
    return _read_table(Path(names))


def _read_table(path: Path) -> dict[int, str]:
    """Read a number and a name a line: BIDS tables, FreeSurfer colour tables, plain lists.

    In BIDS tables and others with a head the columns are found by name; without one the number
    comes first and the name second.
    """
    found: dict[int, str] = {}
    places = (0, 1)
    for count, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        cells = _cells(line)
        head = [cell.lower() for cell in cells]
        if not found and "name" in head and {"index", "id", "label", "number"} & set(head):
            number = next(i for i, c in enumerate(head) if c in ("index", "id", "label", "number"))
            places = (number, head.index("name"))
            continue
        number, name = (cells[place] if place < len(cells) else "" for place in places)
        if not number.isdecimal() or not name or name.replace(" ", "").isdecimal():
            raise PosteriorError(
                f"{path}: line {count} is {line[:40]!r}; wanted a number and a name, such as "
                "'17 Left-Hippocampus'."
            )
        found[int(number)] = name
    return found


def _cells(line: str) -> list[str]:
    for separator in "\t,;":
        if separator in line:
            return [cell.strip() for cell in next(csv.reader([line], delimiter=separator))]
    # A colour table of FreeSurfer ends in red, green, blue and transparency.
    return re.sub(r"(\s+\d+){4}$", "", line.strip()).split(maxsplit=1)


def _on_slices(contents: Contents, native: np.ndarray) -> np.ndarray:
    """Return the value of the nearest voxel of the scan's file, 0 outside, slice by slice."""
    to_native = np.linalg.inv(contents.file.placement.native.affine) @ contents.affine
    columns, rows = np.meshgrid(np.arange(len(contents.x)), np.arange(len(contents.y)))
    found = np.zeros(contents.mask.shape, np.int32)
    for k, index in enumerate(contents.slices):
        voxel = np.stack([columns, rows, np.full_like(rows, index)], axis=-1)
        place = np.rint(voxel @ to_native[:3, :3].T + to_native[:3, 3]).astype(np.int64)
        inside = np.all((place >= 0) & (place < native.shape), axis=-1)
        found[k][inside] = native[tuple(place[inside].T)]
    return found
