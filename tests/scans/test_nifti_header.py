"""Headers of NIfTI files: unit, place, scaling and size are used, or refused by name."""

import gzip
import os
import struct
from pathlib import Path

import nibabel as nib  # noqa: TID253
import numpy as np
import pytest

from tests.scans.scenes import blob, rotation
from uqrestore.scans import ScanError, fit_to_model, read_scan

AFFINE = np.diag([3.0, 3.0, 3.0, 1.0])
UNIT_AT, SLOPE_AT = 123, 112  # offsets in a NIfTI-1 header


def save(path: Path, affine: np.ndarray = AFFINE, unit: str | None = None) -> Path:
    image = nib.Nifti1Image(blob(), affine)
    image.header.set_xyzt_units(unit)
    nib.save(image, path)
    return path


def patched(path: Path, at: int, data: bytes) -> Path:
    content = bytearray(path.read_bytes())
    content[at : at + len(data)] = data
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("unit", "factor"), [(None, 1), ("mm", 1), ("meter", 1e-3), ("micron", 1e3)]
)
def test_voxels_are_in_millimetres_whatever_the_unit(
    unit: str | None, factor: float, tmp_path: Path
) -> None:
    scale = np.diag([factor, factor, factor, 1])
    affine = AFFINE.copy()
    affine[:3, 3] = [10, -20, 30]
    scan = read_scan(save(tmp_path / "a.nii", scale @ affine, unit))
    np.testing.assert_allclose(scan.native.affine, affine, rtol=1e-6)
    mask = nib.Nifti1Image((blob() > 70).astype(np.uint8), affine)
    nib.save(mask, tmp_path / "mask.nii")
    given = read_scan(tmp_path / "a.nii", mask=tmp_path / "mask.nii")
    assert given.mask.sum() == (blob() > 70).sum(), "a mask in another unit lies on it"


@pytest.mark.parametrize("code", [4, 5, 6, 7])
def test_a_unit_that_nifti_does_not_know_is_refused(code: int, tmp_path: Path) -> None:
    path = patched(save(tmp_path / "a.nii"), UNIT_AT, bytes([code | 8]))
    with pytest.raises(ScanError, match=rf"unit has the code {code} \(xyzt_units\).*set it to mm"):
        read_scan(path)


@pytest.mark.parametrize("size", [0.003, 3000.0])
def test_pixels_of_another_unit_are_never_resampled(size: float, tmp_path: Path) -> None:
    scan = read_scan(save(tmp_path / "a.nii", np.diag([size, size, size, 1])))
    with pytest.raises(ScanError, match="check the unit in its header"):
        fit_to_model(scan, voxel_size=3.0, resample=True)


def two_places(path: Path, sform: np.ndarray, qform: np.ndarray, codes: tuple[int, int]) -> Path:
    image = nib.Nifti1Image(blob(), sform)
    image.set_sform(sform, codes[0])
    image.set_qform(qform, codes[1])
    nib.save(image, path)
    return path


def turned(angle: float) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = rotation((0, 0, np.deg2rad(angle)))
    return affine @ AFFINE


@pytest.mark.parametrize(
    ("name", "qform", "codes"),
    [
        ("the same", AFFINE, (1, 1)),
        ("a hair apart", AFFINE + np.eye(4, k=3) * 0.2, (1, 1)),
        ("mirrored, but not stated", np.diag([-3.0, 3, 3, 1]), (1, 0)),
    ],
)
def test_one_place_is_not_worth_a_note(
    name: str, qform: np.ndarray, codes: tuple[int, int], tmp_path: Path
) -> None:
    scan = read_scan(two_places(tmp_path / "a.nii", AFFINE, qform, codes))
    assert scan.source.note == "", name
    np.testing.assert_allclose(scan.native.affine, AFFINE, atol=1e-4)


@pytest.mark.parametrize(
    ("qform", "codes"),
    [
        (AFFINE + np.eye(4, k=3) * 25, (1, 1)),
        (AFFINE + np.eye(4, k=3) * 25, (4, 1)),
        (turned(10), (1, 1)),
        (turned(90), (4, 1)),  # a template's space beside the scanner's
    ],
)
def test_two_places_are_noted(qform: np.ndarray, codes: tuple[int, int], tmp_path: Path) -> None:
    scan = read_scan(two_places(tmp_path / "a.nii", AFFINE, qform, codes))
    assert scan.source.note.startswith("sform taken; the qform puts voxels up to ")
    np.testing.assert_allclose(scan.native.affine, AFFINE, atol=1e-4)


@pytest.mark.parametrize(
    ("qform", "codes", "words"),
    [
        (np.diag([-3.0, 3, 3, 1]), (1, 1), "left and right on opposite sides"),
        (np.diag([-3.0, 3, 3, 1]), (4, 1), "left and right on opposite sides"),
        (np.diag([3.0, -3, 3, 1]), (2, 1), "left and right on opposite sides"),
        (turned(90), (1, 1), "its axes along different ones"),
        (np.diag([-3.0, -3, 3, 1]), (2, 2), "its axes along different ones"),
    ],
)
def test_contradicting_places_are_refused(
    qform: np.ndarray, codes: tuple[int, int], words: str, tmp_path: Path
) -> None:
    with pytest.raises(ScanError, match=rf"sform and qform put {words}.*fslorient") as caught:
        read_scan(two_places(tmp_path / "a.nii", AFFINE, qform, codes))
    assert "a.nii" in str(caught.value)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize(
    ("slope", "intercept", "field"),
    [
        (np.nan, 0, "scl_slope"),
        (np.inf, 0, "scl_slope"),
        (-np.inf, 0, "scl_slope"),
        (1, np.inf, "scl_inter"),
        (np.nan, np.nan, "scl_slope"),
    ],
)
def test_a_scaling_that_is_no_number_is_refused(
    slope: float, intercept: float, field: str, suffix: str, tmp_path: Path
) -> None:
    path = patched(save(tmp_path / "a.nii"), SLOPE_AT, struct.pack("<ff", slope, intercept))
    if suffix == ".nii.gz":
        path = tmp_path / "a.nii.gz"
        path.write_bytes(gzip.compress((tmp_path / "a.nii").read_bytes()))
    with pytest.raises(ScanError, match=rf"{field}|intercept"):
        read_scan(path)


@pytest.mark.parametrize(("slope", "intercept"), [(0, 0), (0, 7), (1, 0)])
def test_a_slope_of_zero_is_none(slope: float, intercept: float, tmp_path: Path) -> None:
    path = patched(save(tmp_path / "a.nii"), SLOPE_AT, struct.pack("<ff", slope, intercept))
    np.testing.assert_array_equal(read_scan(path).voxels, blob())


def test_a_header_that_asks_for_more_than_there_is_memory_is_refused_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.nii.gz"
    nib.save(nib.Nifti1Image(np.zeros((200, 200, 50), np.uint8), AFFINE), path)
    assert path.stat().st_size < 10_000, "two million voxels in a few kB"
    monkeypatch.setattr("uqrestore.scans.memory.available_bytes", lambda: 2**25)
    monkeypatch.setattr("numpy.asanyarray", None)  # nothing is read
    with pytest.raises(ScanError, match=r"header of \(200, 200, 50\) voxels asks for 0\.0 GiB"):
        read_scan(path)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_file_that_is_shorter_than_its_header_states_is_refused_unread(
    suffix: str, tmp_path: Path
) -> None:
    content = bytearray(save(tmp_path / "whole.nii").read_bytes())
    content[42:48] = np.asarray([30000, 30000, 30000], "<i2").tobytes()
    path = tmp_path / f"a{suffix}"
    path.write_bytes(gzip.compress(bytes(content)) if suffix == ".nii.gz" else bytes(content))
    with pytest.raises(ScanError, match=r"cut short or damaged.*but the file can hold"):
        read_scan(path)


def test_a_file_is_not_mapped_so_that_cutting_it_cannot_end_the_process(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii")
    scan = read_scan(path)
    os.truncate(path, 0)
    np.testing.assert_array_equal(scan.voxels, blob())
    assert not isinstance(scan.voxels.base, np.memmap)


def test_one_volume_of_many_is_all_that_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.nii"
    nib.save(nib.Nifti1Image(np.stack([blob(seed=k) for k in range(6)], -1), AFFINE), path)
    one = blob().size * (24 + 4)
    monkeypatch.setattr("uqrestore.scans.memory.available_bytes", lambda: one)
    np.testing.assert_array_equal(read_scan(path, volume=4).voxels, blob(seed=4))


def test_a_pipe_is_refused_rather_than_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.nii")
    with pytest.raises(ScanError, match="neither a file nor a folder"):
        read_scan(tmp_path / "a.nii")
    with pytest.raises(ScanError, match="no regular file"):
        read_scan(save(tmp_path / "b.nii"), mask=tmp_path / "a.nii")
