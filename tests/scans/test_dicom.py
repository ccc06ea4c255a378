"""DICOM in: every voxel at its place, or a refusal that names files and millimetres."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.scans.scenes import affines, blob
from tests.scans.series import write_enhanced, write_series
from uqrestore.scans import Scan, ScanError, read_scan, write_nifti
from uqrestore.scans.grid import Grid

SHAPE = (5, 4, 6)
UPRIGHT = np.diag([3.0, 3.0, 3.3, 1.0])


def unique(shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    """Every voxel has its own value, from 1."""
    return np.arange(1, np.prod(shape) + 1, dtype=np.float64).reshape(shape)


def places(scan: Scan) -> np.ndarray:
    """Position of every value, in order of the values."""
    order = np.argsort(scan.voxels, axis=None)
    index = np.stack(np.unravel_index(order, scan.voxels.shape), axis=-1)
    return scan.grid.position(index.astype(float))


def wanted(affine: np.ndarray, shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    index = np.stack(np.unravel_index(np.arange(np.prod(shape)), shape), axis=-1)
    return index @ affine[:3, :3].T + affine[:3, 3]


@settings(max_examples=15, deadline=None)
@given(affine=affines(), seed=st.integers(0, 100))
def test_every_voxel_of_every_affine_lies_where_it_lay(affine: np.ndarray, seed: int) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        classic = write_series(Path(scratch) / "series", unique(), affine, seed)
        enhanced = write_enhanced(Path(scratch) / "enhanced.dcm", unique(), affine)
        nifti = write_nifti(Path(scratch) / "a.nii", unique(), Grid(SHAPE, affine))
        for path in (classic, enhanced, nifti):
            np.testing.assert_allclose(places(read_scan(path)), wanted(affine), atol=1e-3)


def test_the_way_back_to_the_series_own_grid_is_exact(tmp_path: Path) -> None:
    series = write_series(tmp_path / "series", unique(), UPRIGHT)
    scan = read_scan(series)

    native = scan.orientation.undo(scan.voxels)

    np.testing.assert_array_equal(native, unique())
    np.testing.assert_allclose(scan.native.affine, UPRIGHT, atol=1e-6)


def test_units_are_the_rescaled_ones(tmp_path: Path) -> None:
    values = unique()
    ct = write_series(
        tmp_path / "ct", values, UPRIGHT, Modality="CT", RescaleSlope=2, RescaleIntercept=-100
    )
    plain = write_series(tmp_path / "mr", values, UPRIGHT)
    enhanced = read_scan(write_enhanced(tmp_path / "e.dcm", values, UPRIGHT, slope=0.5))

    scan = read_scan(ct)
    assert scan.intensity.unit == "HU"
    assert (scan.voxels.min(), scan.voxels.max()) == (2 - 100, 2 * values.max() - 100)
    assert read_scan(plain).intensity.unit == "a.u."
    assert enhanced.voxels.max() == pytest.approx(0.5 * values.max() + 3)


def test_nothing_personal_is_kept(tmp_path: Path) -> None:
    scan = read_scan(write_series(tmp_path / "Doe_Jane", unique(), UPRIGHT))

    source = repr(scan.source)
    assert "Jane" not in source
    assert "12345" not in source
    assert {name for name, _ in scan.source.tags} == {
        "Modality", "BodyPartExamined", "Laterality", "FrameOfReferenceUID",
    }  # fmt: skip


def test_a_missing_slice_is_refused_by_name_and_gap_unless_allowed(tmp_path: Path) -> None:
    series = write_series(tmp_path / "series", blob((9, 8, 12)), UPRIGHT)
    names = np.random.default_rng(0).permutation(12)
    (series / f"{names[4]:03d}.dcm").unlink()

    before, after = f"{names[3]:03d}.dcm", f"{names[5]:03d}.dcm"
    with pytest.raises(
        ScanError, match=rf"1 slice is missing: from {before} to {after} it is 6\.600 mm.*3\.300 mm"
    ):
        read_scan(series)
    scan = read_scan(series, allow_gaps=True)
    assert scan.shape == (9, 8, 12)
    assert scan.spacing[2] == pytest.approx(3.3)
    assert (scan.voxels[:, :, 4] == scan.voxels.min()).all()
    assert "missing slices left dark: 1" in scan.source.note


def test_irregular_spacing_is_refused_even_if_gaps_are_allowed(tmp_path: Path) -> None:
    series = write_series(tmp_path / "series", unique(), UPRIGHT)
    names = np.random.default_rng(0).permutation(6)
    import pydicom

    path = series / f"{names[2]:03d}.dcm"
    image = pydicom.dcmread(path)
    image.ImagePositionPatient[2] += 0.8
    image.save_as(path)

    for allow in (False, True):
        with pytest.raises(ScanError, match=r"not regularly spaced: from .* 4\.100 mm.*2\.500 mm"):
            read_scan(series, allow_gaps=allow)


def test_mixed_series_are_refused_by_name(tmp_path: Path) -> None:
    write_series(tmp_path / "series", unique(), UPRIGHT)
    other = write_series(tmp_path / "other", unique(), UPRIGHT)
    for path in other.iterdir():
        path.rename(tmp_path / "series" / f"b{path.name}")

    with pytest.raises(ScanError, match=r"holds 2 series \(000\.dcm and 5 more, b000\.dcm and 5"):
        read_scan(tmp_path / "series")


def test_several_images_at_a_place_are_volumes_to_choose_from(tmp_path: Path) -> None:
    import pydicom

    series = write_series(tmp_path / "series", unique(), UPRIGHT)
    uid = pydicom.dcmread(next(iter(series.iterdir()))).SeriesInstanceUID
    write_series(tmp_path / "second", unique() + 1000, UPRIGHT, SeriesInstanceUID=uid)
    for k, path in enumerate(sorted((tmp_path / "second").iterdir())):
        image = pydicom.dcmread(path)
        image.InstanceNumber += 100
        image.save_as(series / f"second{k}.dcm")

    with pytest.raises(ScanError, match=r"holds 2 volumes .* choose one by --volume, from 0 to 1"):
        read_scan(series)
    assert read_scan(series, volume=0).voxels.max() == unique().max()
    assert read_scan(series, volume=1).voxels.max() == unique().max() + 1000
    (series / "second0.dcm").unlink()
    with pytest.raises(ScanError, match="same place, other places have fewer"):
        read_scan(series, volume=0)


def test_what_is_no_scan_is_one_readable_line(tmp_path: Path) -> None:
    import pydicom

    series = write_series(tmp_path / "series", unique(), UPRIGHT)
    (series / "README.txt").write_text("beside the images")
    assert read_scan(series).shape == SHAPE

    path = series / "000.dcm"
    whole = path.read_bytes()
    path.write_bytes(whole[:-30])
    with pytest.raises(ScanError, match=r"000\.dcm: its pixels cannot be decoded"):
        read_scan(series)
    path.write_bytes(whole)
    for keyword, words in (
        ("ImagePositionPatient", "ImagePositionPatient is missing"),
        ("PixelSpacing", "PixelSpacing is missing"),
    ):
        image = pydicom.dcmread(path)
        del image[keyword]
        image.save_as(path)
        with pytest.raises(ScanError, match=rf"000\.dcm: .*{words}"):
            read_scan(series)
        path.write_bytes(whole)
    image = pydicom.dcmread(path)
    image.ImageOrientationPatient = [0, 1, 0, 0, 0, 1]
    image.save_as(path)
    with pytest.raises(ScanError, match="turned against each other"):
        read_scan(series)
    with pytest.raises(ScanError, match="without DICOM"):
        read_scan(tmp_path)


def test_a_value_that_is_longer_than_dicom_allows_is_read_all_the_same(tmp_path: Path) -> None:
    import pydicom

    series = write_series(tmp_path / "series", unique(), UPRIGHT)
    for path in series.iterdir():
        raw = path.read_bytes()
        image = pydicom.dcmread(path)
        spacing = b"3.0000000000\\3.0000000000"
        assert spacing in raw
        path.write_bytes(raw.replace(spacing, b"3.00000000000000000\\3.000", 1))
        assert len(str(image.PixelSpacing[0])) > 2

    assert read_scan(series).spacing == pytest.approx((3, 3, 3.3))


def test_a_mask_on_the_voxels_of_the_series_is_turned_with_them(tmp_path: Path) -> None:
    affine = np.diag([-3.0, 3.0, -3.3, 1.0])
    series = write_series(tmp_path / "series", unique(), affine)
    mask = (unique() > 60).astype(np.float32)
    written = write_nifti(tmp_path / "mask.nii", mask, Grid(SHAPE, affine))
    moved = write_nifti(tmp_path / "moved.nii", mask, Grid(SHAPE, UPRIGHT))

    scan = read_scan(series, mask=written)

    np.testing.assert_array_equal(scan.mask, scan.voxels > 60)
    with pytest.raises(ScanError, match=r"moved\.nii: lies on another grid"):
        read_scan(series, mask=moved)
