"""NIfTI files in and out, and every file that must be refused."""

import gzip
from pathlib import Path

import nibabel as nib  # noqa: TID253
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from tests.scans.scenes import affines, blob
from uqrestore.scans import READERS, Grid, ScanError, read_scan, write_nifti

PROBES = np.array([[0, 0, 0], [12, 14, 8], [3, 9, 5], [12, 0, 8]])


def save(path: Path, voxels: np.ndarray, affine: np.ndarray | None = None) -> Path:
    nib.save(nib.Nifti1Image(voxels, np.eye(4) * 3 if affine is None else affine), path)
    return path


@pytest.mark.parametrize("suffix", [end for end in READERS if end.startswith(".nii")])
def test_every_suffix_of_nifti_is_read(suffix: str, tmp_path: Path) -> None:
    scan = read_scan(save(tmp_path / f"a{suffix}", blob()))
    np.testing.assert_array_equal(scan.voxels, blob())
    assert scan.source.name == f"a{suffix}"
    assert scan.source.format == "NIfTI"


@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(affine=affines())
def test_a_probe_voxel_keeps_value_and_place_through_the_file(
    affine: np.ndarray, tmp_path: Path
) -> None:
    voxels = blob()
    grid = Grid(voxels.shape, affine)
    path = write_nifti(tmp_path / "a.nii", voxels, grid)
    scan = read_scan(path)
    np.testing.assert_allclose(scan.native.position(PROBES), grid.position(PROBES), atol=1e-3)
    np.testing.assert_array_equal(scan.orientation.undo(scan.voxels), voxels)
    inverse = np.linalg.inv(scan.affine)
    index = grid.position(PROBES) @ inverse[:3, :3].T + inverse[:3, 3]
    nearest = np.round(index).astype(int)
    np.testing.assert_allclose(index, nearest, atol=1e-3)
    np.testing.assert_array_equal(scan.voxels[tuple(nearest.T)], voxels[tuple(PROBES.T)])


def test_slope_and_intercept_of_the_header_are_applied(tmp_path: Path) -> None:
    image = nib.Nifti1Image((blob() * 10).astype(np.int16), np.eye(4))
    image.header.set_slope_inter(0.1, -7)
    nib.save(image, tmp_path / "a.nii")
    wanted = (blob() * 10).astype(np.int16) * 0.1 - 7
    np.testing.assert_allclose(read_scan(tmp_path / "a.nii").voxels, wanted, rtol=1e-6)


def test_a_two_dimensional_file_is_one_slice(tmp_path: Path) -> None:
    assert read_scan(save(tmp_path / "a.nii", blob()[:, :, 4])).shape == (13, 15, 1)


def test_of_several_volumes_one_is_named(tmp_path: Path) -> None:
    both = np.stack([blob(), blob(seed=1)], axis=-1)
    path = save(tmp_path / "a.nii", both)
    scan = read_scan(path, volume=1)
    np.testing.assert_array_equal(scan.voxels, blob(seed=1))
    assert scan.source.note == "volume 1 of 2"
    with pytest.raises(ScanError, match="--volume, from 0 to 1"):
        read_scan(path)
    with pytest.raises(ScanError, match="volume=2 does not exist"):
        read_scan(path, volume=2)


def test_a_mask_file_takes_the_place_of_the_rule(tmp_path: Path) -> None:
    head = save(tmp_path / "head.nii", blob() + 10)
    mask = save(tmp_path / "mask.nii", (blob() > 0).astype(np.uint8))
    np.testing.assert_array_equal(read_scan(head, mask=mask).mask, blob() > 0)
    shifted = np.eye(4) * 3
    shifted[0, 3] = 9
    elsewhere = save(tmp_path / "other.nii", (blob() > 0).astype(np.uint8), shifted)
    with pytest.raises(ScanError, match="covers another place"):
        read_scan(head, mask=elsewhere)


def broken(folder: Path, name: str) -> Path:
    """Make the bad file of that name."""
    path = folder / "bad.nii.gz"
    whole = save(folder / "whole.nii.gz", blob()).read_bytes()
    if name == "folder":
        path.mkdir()
    elif name == "truncated":
        path.write_bytes(whole[: len(whole) // 2])
    elif name == "truncated inside gzip":
        path.write_bytes(gzip.compress(gzip.decompress(whole)[:2000]))
    elif name == "text":
        path.write_text("not a scan")
    elif name == "empty":
        path.write_bytes(b"")
    elif name == "huge header":
        header = bytearray(gzip.decompress(whole))
        header[42:48] = np.asarray([30000, 30000, 30000], "<i2").tobytes()
        path.write_bytes(gzip.compress(bytes(header)))
    elif name == "one-dimensional":
        save(path, np.arange(9.0))
    elif name == "five-dimensional":
        save(path, np.ones((2, 2, 2, 2, 3)))
    elif name == "NaN":
        save(path, np.where(blob() > 99, np.nan, blob()))
    elif name == "constant":
        save(path, np.ones((3, 4, 5)))
    elif name == "colour":
        rgb = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
        save(path, np.zeros((3, 4, 5), rgb))
    elif name.endswith("affine"):
        image = nib.Nifti1Image(blob(), None)
        image.header["sform_code"] = 1
        flat = (0, 0, 0, 0) if name.startswith("zero") else (1, 1, 0, 0)
        image.header["srow_x"], image.header["srow_y"] = flat, flat
        image.header["srow_z"] = (0, 0, 1, 0)
        nib.save(image, path)
    return path


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing", "does not exist; check the path"),
        ("folder", "is a folder"),
        ("truncated", "cut short"),
        ("truncated inside gzip", "cut short"),
        ("text", "not a NIfTI file or is cut short"),
        ("empty", "not a NIfTI file or is cut short"),
        ("huge header", "cut short or damaged"),
        ("one-dimensional", "has 1"),
        ("five-dimensional", "has 5"),
        ("NaN", "NaN or infinite"),
        ("constant", "constant volume"),
        ("colour", "not real numbers"),
        ("zero affine", "no size along"),
        ("singular affine", "one plane"),
    ],
)
def test_bad_input_gets_one_line_with_the_file_and_the_cure(
    name: str, words: str, tmp_path: Path
) -> None:
    with pytest.raises(ScanError, match=words) as caught:
        read_scan(broken(tmp_path, name))
    message = str(caught.value)
    assert "bad.nii.gz" in message
    assert "\n" not in message
    assert ";" in message or "?" in message, "a message ends with what to do"


def test_a_suffix_without_a_reader_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(ScanError, match=r"can be \.nii"):
        read_scan(tmp_path / "a.png")


def test_a_map_on_another_grid_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="do not lie on a grid"):
        write_nifti(tmp_path / "a.nii", blob(), Grid((2, 2, 2), np.eye(4)))
    assert not list(tmp_path.iterdir())
