"""NIfTI files: read into a Scan, write maps that lie where the scan lay."""

import zlib
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from uqrestore._shared.files import atomic
from uqrestore.scans.checksum import input_sha256, printable
from uqrestore.scans.errors import ScanError, first_line
from uqrestore.scans.grid import Affine, Grid
from uqrestore.scans.nifti_header import check_scaling, check_size, placed
from uqrestore.scans.scan import Scan, Source, join_notes, scan_from_array

PLACE_TOL = 1e-2
"""Largest difference of the affines of a scan and its mask, in mm."""


def read_nifti(path: Path, *, mask: Path | None = None, volume: int | None = None) -> Scan:
    """Read one NIfTI file.

    Args:
        path: ``.nii`` or ``.nii.gz``.
        mask: NIfTI file on the same grid, above zero in the brain; needed where the scan is not
            skull-stripped.
        volume: Which volume of a 4-D file to take, from 0.

    Returns:
        The scan in RAS+ order, values with the header's slope and intercept applied.

    Raises:
        ScanError: If the file is missing, a folder, not NIfTI, cut short, not 3-D (2-D is one
            slice), without a usable affine, or holds values that cannot be restored.
    """
    image = _load(path)
    affine, space_code, two_places = placed(image, path.name)
    voxels, chosen = _one_volume(image, path, volume)
    inside = None
    if mask is not None:
        inside, place = read_voxels(mask)
        if not np.allclose(place, affine, atol=PLACE_TOL):
            raise ScanError(
                f"{mask.name}: its affine is not that of {path.name}, so it covers another place; "
                "give a mask on the scan's own grid."
            )
    source = Source(
        name=printable(path.name),
        format="NIfTI",
        sha256=input_sha256(path),
        mask_sha256="" if mask is None else input_sha256(mask),
        volume=volume,
        space_code=space_code,
        note=join_notes(chosen, two_places),
    )
    return scan_from_array(voxels, affine, source=source, mask=inside)


def write_nifti(
    path: Path,
    values: Shaped[np.ndarray, "*shape"],
    grid: Grid,
    *,
    space_code: int = 1,
    description: str = "",
) -> Path:
    """Write one map (3-D, or 4-D with the maps last) as float32 NIfTI.

    The file appears under its name only once it is whole.

    Args:
        path: Ends in ``.nii`` or ``.nii.gz``.
        values: In the axis order of ``grid``.
        grid: Place of the voxels.
        space_code: NIfTI code of the space, see ``Source.space_code``.
        description: At most 79 characters are kept by the format.

    Raises:
        ValueError: If the shape of ``values`` is not that of ``grid``, or the affine does not
            come back from the header as it went in.
    """
    import nibabel as nib

    if values.shape[:3] != grid.shape:
        raise ValueError(f"{path.name}: values {values.shape} do not lie on a grid {grid.shape}.")
    image = nib.Nifti1Image(np.asarray(values, np.float32), grid.affine)
    image.set_sform(grid.affine, code=space_code or 1)
    image.set_qform(grid.affine, code=space_code or 1, strip_shears=True)
    image.header.set_xyzt_units("mm")
    image.header["descrip"] = description.encode("ascii", "replace")[:79]
    stored = np.asarray(image.header.get_sform(), np.float64)
    if not np.allclose(stored, grid.affine, rtol=1e-6, atol=1e-4):
        raise ValueError(f"{path.name}: the affine does not survive the NIfTI header.")
    with atomic(path, suffix=".nii.gz" if path.name.endswith(".gz") else ".nii") as temporary:
        nib.save(image, temporary)
    return path


def holds_map(path: Path, values: Shaped[np.ndarray, "*shape"], grid: Grid) -> bool:
    """Return True if a NIfTI file holds these values, as float32, on this grid."""
    try:
        image = _load(path)
        stored = np.asanyarray(image.dataobj) if image.shape == values.shape else None
    except (ScanError, OSError, EOFError, ValueError, zlib.error):
        return False
    if stored is None or not np.allclose(image.affine, grid.affine, rtol=1e-6, atol=1e-4):
        return False
    return np.array_equal(stored, np.asarray(values, np.float32), equal_nan=True)


def read_voxels(path: Path) -> tuple[np.ndarray, Affine]:
    """Return voxels of a 3-D NIfTI file, and their affine in mm, in the order of the file.

    Raises:
        ScanError: As :func:`read_nifti`.
    """
    image = _load(path)
    return _one_volume(image, path, None)[0], placed(image, path.name)[0]


def on_one_grid(path: Path, other: Path) -> bool:
    """Return whether two files have voxels at the same places; True where one cannot be read."""
    try:
        one, two = _load(path), _load(other)
    except ScanError:
        return True  # its reader names what is wrong
    same = np.allclose(one.affine, two.affine, atol=PLACE_TOL)
    return one.shape[:3] == two.shape[:3] and bool(same)


def _load(path: Path) -> Any:  # noqa: ANN401  (nibabel is typed loosely)
    import nibabel as nib
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError

    if path.is_dir():
        raise ScanError(f"{path}: is a folder; give one .nii or .nii.gz file.")
    if not path.exists():
        raise ScanError(f"{path}: does not exist; check the path.")
    if not path.is_file():
        raise ScanError(f"{path}: is no regular file; give one .nii or .nii.gz file.")
    damaged = (ImageFileError, HeaderDataError, OSError, EOFError, zlib.error, ValueError)
    try:
        # In memory, not mapped: a file that is cut while it is mapped would end the process.
        image = nib.load(path, mmap=False)
    except PermissionError as error:
        raise ScanError(f"{path}: may not be read ({error.strerror}); check its rights.") from error
    except (*damaged, KeyError, OverflowError) as error:
        raise ScanError(
            f"{path}: is not a NIfTI file or is cut short ({first_line(error)}); copy it again or "
            "convert the scan to .nii.gz."
        ) from error
    if not isinstance(image, nib.Nifti1Image | nib.Nifti2Image):
        raise ScanError(f"{path}: is {type(image).__name__}, not NIfTI; convert it to .nii.gz.")
    check_scaling(image, path.name)
    return image


def _one_volume(image: Any, path: Path, volume: int | None) -> tuple[np.ndarray, str]:  # noqa: ANN401
    """Return a 3-D array, and a note on the volume chosen."""
    name, shape = path.name, tuple(int(n) for n in image.shape)
    if len(shape) not in (2, 3, 4):
        raise ScanError(
            f"{name}: a scan has 3 axes (or 4 with several volumes) but this file has "
            f"{len(shape)}: {shape}; export one volume."
        )
    count = shape[3] if len(shape) == 4 else 1
    if volume is None and count != 1:
        raise ScanError(
            f"{name}: holds {count} volumes; choose one by --volume, from 0 to {count - 1}."
        )
    if volume is not None and not 0 <= volume < count:
        raise ScanError(f"{name}: holds {count} volumes, so volume={volume} does not exist.")
    check_size(image, path)
    try:
        if len(shape) == 4:
            return image.dataobj[..., volume or 0], f"volume {volume or 0} of {count}"
        voxels = np.asanyarray(image.dataobj)
    except (OSError, EOFError, ValueError, MemoryError, OverflowError, zlib.error) as error:
        raise ScanError(
            f"{name}: is cut short or damaged: its header states {shape} voxels "
            f"({first_line(error)}); copy it again."
        ) from error
    return (voxels[..., None] if voxels.ndim == 2 else voxels), ""
