"""Header of a NIfTI file: units, place, scaling and size, each used or refused by name."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np

from uqrestore.scans.errors import ScanError
from uqrestore.scans.grid import Affine, affine_fault, nearest_ras
from uqrestore.scans.memory import check_memory

MM_OF_UNIT = {0: 1.0, 1: 1e3, 2: 1.0, 3: 1e-3}
"""Millimetres of ``xyzt_units``: unknown (taken for mm, as everywhere), metre, mm, micrometre."""

SAME_PLACE = 0.25  # of the smallest voxel side; a quaternion of float32 is no better
LARGEST_DEFLATE = 1032  # bytes that one byte of gzip can hold
PEAK_BYTES = 24  # a voxel, beside its stored value: float64, float32 twice, masks


def placed(image: Any, name: str) -> tuple[Affine, int, str]:  # noqa: ANN401  (nibabel)
    """Return the affine in mm, the code of its space, and a note where the header has two.

    Raises:
        ScanError: If the unit is unknown to NIfTI, or sform and qform contradict each other.
    """
    unit = int(image.header["xyzt_units"]) & 7
    if unit not in MM_OF_UNIT:
        raise ScanError(
            f"{name}: its spatial unit has the code {unit} (xyzt_units), which NIfTI does not "
            "know; set it to mm (2)."
        )
    scale = np.diag([MM_OF_UNIT[unit]] * 3 + [1.0])
    affine = scale @ np.asarray(image.affine, np.float64)
    sform, qform = (int(image.header[f"{form}_code"]) for form in ("sform", "qform"))
    note = ""
    if sform > 0 and qform > 0 and affine_fault(affine) is None:
        note = _two_places(affine, image, name, scale, same_space=sform == qform)
    return affine, sform or qform, note


def check_scaling(image: Any, name: str) -> None:  # noqa: ANN401
    """Refuse a slope or intercept that is no number; a slope of 0 means that there is none.

    Raises:
        ScanError: If it is infinite or NaN.
    """
    with image.file_map["image"].get_prepare_fileobj("rb") as file:
        raw = type(image.header).from_fileobj(file, check=False)  # nibabel's own says NaN
    for field in ("scl_slope", "scl_inter"):
        value = float(raw[field])
        if not np.isfinite(value):
            raise ScanError(
                f"{name}: {field} of its header is {value}, so the scale of its values is "
                "unknown; set scl_slope to 1 and scl_inter to 0 if they are stored unscaled."
            )


def check_size(image: Any, path: Path) -> None:  # noqa: ANN401
    """Refuse a file that is too short for its header, or too large for this machine.

    Raises:
        ScanError: Before anything of that size is read.
    """
    shape = tuple(int(n) for n in image.shape)
    voxels = int(np.prod([max(n, 0) for n in shape], dtype=object))
    wanted = voxels * image.header.get_data_dtype().itemsize
    stored = path.stat().st_size
    most = stored * LARGEST_DEFLATE if path.name.lower().endswith(".gz") else stored
    if wanted > most:
        raise ScanError(
            f"{path.name}: is cut short or damaged: its header states {shape} voxels, which are "
            f"{wanted} bytes, but the file can hold {most}; copy it again."
        )
    volume = int(np.prod([max(n, 0) for n in shape[:3]], dtype=object))
    itemsize = image.header.get_data_dtype().itemsize
    check_memory(volume * (PEAK_BYTES + itemsize), path.name, f"its header of {shape} voxels")


def _two_places(
    affine: Affine,
    image: Any,  # noqa: ANN401
    name: str,
    scale: np.ndarray,
    *,
    same_space: bool,
) -> str:
    """Compare the sform (taken) with the qform."""
    try:
        other = scale @ np.asarray(image.header.get_qform(), np.float64)
    except ValueError:
        return "its qform is not valid, so the sform is taken"
    if affine_fault(other) is not None:
        return "its qform is not valid, so the sform is taken"
    ends = [(0, max(n - 1, 0)) for n in (*image.shape, 1, 1)[:3]]
    corners = np.asarray([(*corner, 1) for corner in itertools.product(*ends)], np.float64)
    apart = float(np.linalg.norm(corners @ (affine - other).T, axis=1).max())
    if apart <= SAME_PLACE * np.linalg.norm(affine[:3, :3], axis=0).min():
        return ""
    mirrored = np.linalg.det(affine[:3, :3]) * np.linalg.det(other[:3, :3]) < 0
    turned = nearest_ras(affine) != nearest_ras(other)
    if mirrored or (turned and same_space):
        what = "left and right on opposite sides" if mirrored else "its axes along different ones"
        raise ScanError(
            f"{name}: its sform and qform put {what} of the patient, and programs differ in which "
            "they take; set both to the one that is true (fslorient -copysform2qform or "
            "-copyqform2sform)."
        )
    return f"sform taken; the qform puts voxels up to {apart:.3g} mm elsewhere"
