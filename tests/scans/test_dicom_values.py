"""Values of DICOM pixels: every attribute that changes their meaning is applied or refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset  # noqa: TID253 - only tests of DICOM
from pydicom.sequence import Sequence  # noqa: TID253

from tests.scans.series import write_enhanced, write_series
from uqrestore.scans import FixedScale, Scan, ScanError, on_fixed_scale, read_scan

SHAPE = (7, 6, 4)
AFFINE = np.diag([3.0, 3.0, 3.0, 1.0])
STORED = np.arange(100, 100 + np.prod(SHAPE), dtype=np.float64).reshape(SHAPE)


def edit(series: Path, change: Callable[[int, Any], None]) -> Path:
    """Change the header of every image, in order of the file names."""
    import pydicom

    for k, path in enumerate(sorted(series.iterdir())):
        image = pydicom.dcmread(path)
        change(k, image)
        image.save_as(path)
    return series


def series_of(folder: Path, change: Callable[[int, Any], None], **tags: Any) -> Path:  # noqa: ANN401
    return edit(write_series(folder / "series", STORED, AFFINE, **tags), change)


def native(scan: Scan) -> np.ndarray:
    return scan.orientation.undo(scan.voxels)


@pytest.mark.parametrize(
    ("value", "limit", "signed", "vr"),
    [
        (63536, None, False, "US"),
        (-2000, None, True, "SS"),
        (63536, None, True, "US"),  # the same 16 bits
        (-2000, None, False, "SS"),
        (63536, 60000, False, "US"),
        (60000, 63536, False, "US"),  # a range may run down as well
    ],
)
def test_padding_is_background_however_it_is_written(
    tmp_path: Path, value: int, limit: int | None, signed: bool, vr: str
) -> None:
    code = (limit or value) % 2**16
    voxels = STORED.copy()
    voxels[:2] = code

    def change(_: int, image: Any) -> None:  # noqa: ANN401
        image.PixelRepresentation = int(signed)
        image.add_new(0x00280120, vr, value)
        if limit is not None:
            image.add_new(0x00280121, vr, limit)

    series = edit(write_series(tmp_path / "s", voxels, AFFINE, RescaleSlope=1,
                               RescaleIntercept=-1024), change)  # fmt: skip

    scan = read_scan(series)

    np.testing.assert_array_equal(native(scan)[2:], STORED[2:] - 1024)
    assert (native(scan)[:2] == STORED[2:].min() - 1024).all()
    assert scan.intensity.to_file(1.0) < 1000
    assert scan.source.note == "29 % of the voxels are padding, set to the darkest value"


def test_a_series_of_nothing_but_padding_is_refused(tmp_path: Path) -> None:
    def change(_: int, image: Any) -> None:  # noqa: ANN401
        image.add_new(0x00280120, "US", 0)
        image.add_new(0x00280121, "US", 65535)

    with pytest.raises(ScanError, match="every pixel of the series is padding"):
        read_scan(series_of(tmp_path, change))


def lookup(kind: str) -> Dataset:
    table: Any = Dataset()
    table.LUTDescriptor, table.ModalityLUTType = [300, 50, 16], kind
    table.LUTData = np.rint(0.01 * np.arange(50, 350) ** 2).astype("<u2").tobytes()
    return table


def test_a_modality_lut_is_applied(tmp_path: Path) -> None:
    def change(_: int, image: Any) -> None:  # noqa: ANN401
        image.ModalityLUTSequence = Sequence([lookup("OD")])

    scan = read_scan(series_of(tmp_path, change))

    np.testing.assert_allclose(native(scan), np.rint(0.01 * STORED**2))
    assert scan.intensity.unit == "OD"


def real_world(slope: float, intercept: float = 0, unit: str = "ms") -> Dataset:
    item: Any = Dataset()
    code: Any = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = unit, "UCUM", "unit"
    item.MeasurementUnitsCodeSequence = Sequence([code])
    item.RealWorldValueSlope, item.RealWorldValueIntercept = slope, intercept
    return item


def test_real_world_values_are_read_where_nothing_else_is_stated(tmp_path: Path) -> None:
    def change(_: int, image: Any) -> None:  # noqa: ANN401
        image.RealWorldValueMappingSequence = Sequence([real_world(0.5, -3)])

    scan = read_scan(series_of(tmp_path, change))

    np.testing.assert_allclose(native(scan), 0.5 * STORED - 3)
    assert scan.intensity.unit == "ms"


def test_real_world_values_beside_a_slope_only_tell_whether_slices_compare(tmp_path: Path) -> None:
    def constant(_: int, image: Any) -> None:  # noqa: ANN401
        image.RealWorldValueMappingSequence = Sequence([real_world(8)])

    def varying(k: int, image: Any) -> None:  # noqa: ANN401
        image.RealWorldValueMappingSequence = Sequence([real_world(8 + k)])

    one = series_of(tmp_path / "a", constant, RescaleSlope=2, RescaleIntercept=0)
    np.testing.assert_allclose(native(read_scan(one)), 2 * STORED)
    other = series_of(tmp_path / "b", varying, RescaleSlope=2, RescaleIntercept=0)
    with pytest.raises(ScanError, match=r"scaled differently: their real-world values are"):
        read_scan(other)


def test_philips_private_scale_must_be_that_of_all_slices(tmp_path: Path) -> None:
    def change(k: int, image: Any) -> None:  # noqa: ANN401
        image.add_new(0x20050010, "LO", "Philips MR Imaging DD 001")
        image.add_new(0x2005100E, "FL", 1.0 + k)

    with pytest.raises(ScanError, match="scaled differently"):
        read_scan(series_of(tmp_path, change, RescaleSlope=2, RescaleIntercept=0))


def test_every_frame_has_its_own_slope(tmp_path: Path) -> None:
    def change(k: int, image: Any) -> None:  # noqa: ANN401
        image.RescaleSlope, image.RescaleIntercept = 1 + int(image.InstanceNumber), k * 0

    scan = read_scan(series_of(tmp_path, change))

    np.testing.assert_allclose(native(scan), STORED * (np.arange(SHAPE[2]) + 2))
    enhanced = read_scan(write_enhanced(tmp_path / "e.dcm", STORED, AFFINE, slope=0.5))
    np.testing.assert_allclose(native(enhanced), 0.5 * STORED + 3)


def both(image: Any) -> None:  # noqa: ANN401
    image.ModalityLUTSequence = Sequence([lookup("OD")])
    image.RescaleSlope, image.RescaleIntercept = 1, 0


def two_maps(image: Any) -> None:  # noqa: ANN401
    image.RealWorldValueMappingSequence = Sequence([real_world(1), real_world(2)])


def table_map(image: Any) -> None:  # noqa: ANN401
    item = real_world(1)
    del item.RealWorldValueSlope
    image.RealWorldValueMappingSequence = Sequence([item])


def set_to(**tags: object) -> Callable[[Any], None]:
    def change(image: Any) -> None:  # noqa: ANN401
        for name, value in tags.items():
            setattr(image, name, value)

    return change


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (set_to(PhotometricInterpretation="MONOCHROME1"), "stored inverted (MONOCHROME1"),
        (set_to(PresentationLUTShape="INVERSE"), "stored inverted (PresentationLUTShape"),
        (set_to(PhotometricInterpretation="PALETTE COLOR"), "is in colour (PALETTE COLOR)"),
        (both, "both a modality LUT and a rescale slope"),
        (two_maps, "2 real-world value maps"),
        (table_map, "a table without slope"),
        (set_to(RescaleSlope="0", RescaleIntercept="3"), "RescaleSlope is 0"),
        (set_to(AnatomicalOrientationType="QUADRUPED"), "QUADRUPED"),
        (set_to(PixelSpacing=["0", "3"]), "PixelSpacing is [0.0, 3.0]"),
        (set_to(NumberOfFrames=2), "without functional groups"),
        (set_to(Rows=60000, Columns=60000, NumberOfFrames=10000,
                PerFrameFunctionalGroupsSequence=Sequence([Dataset()])), "GiB of memory"),
    ],
)  # fmt: skip
def test_what_cannot_be_right_is_refused_by_name(
    tmp_path: Path, spoil: Callable[[Any], None], words: str
) -> None:
    with pytest.raises(ScanError) as caught:
        read_scan(series_of(tmp_path, lambda _, image: spoil(image)))
    assert words in str(caught.value)
    assert ".dcm" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("number", [b"nan ", b"inf ", b"1e99", b"-inf"])
def test_a_slope_beyond_all_numbers_is_refused(tmp_path: Path, number: bytes) -> None:
    series = write_series(tmp_path / "s", STORED, AFFINE, RescaleSlope="7777", RescaleIntercept="0")
    for path in series.iterdir():
        path.write_bytes(path.read_bytes().replace(b"7777", number, 1))
    with pytest.raises(ScanError, match=r"not clear|damaged|NaN or infinite"):
        read_scan(series)


def test_slices_in_different_units_are_refused(tmp_path: Path) -> None:
    def change(k: int, image: Any) -> None:  # noqa: ANN401
        image.RescaleSlope, image.RescaleIntercept = 1, 0
        image.RescaleType = "MGML" if k == 1 else "HU"

    with pytest.raises(ScanError, match=r"is in \w+ but 00\d\.dcm in \w+; export slices of one"):
        read_scan(series_of(tmp_path, change))


def test_units_other_than_those_of_the_prior_are_refused(tmp_path: Path) -> None:
    def change(_: int, image: Any) -> None:  # noqa: ANN401
        image.RescaleSlope, image.RescaleIntercept, image.RescaleType = 10, -2000, "Z_EFF"

    scan = read_scan(series_of(tmp_path, change, Modality="CT"))
    assert scan.intensity.unit == "Z_EFF"
    with pytest.raises(ScanError, match=r"its values are in Z_EFF, the prior's in HU; export"):
        on_fixed_scale(scan, FixedScale(-1000.0, 1000.0, "HU"))
