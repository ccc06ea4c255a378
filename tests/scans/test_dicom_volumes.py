"""Volumes of a DICOM series: separated by what the header states, or refused; never mixed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset  # noqa: TID253 - only tests of DICOM
from pydicom.sequence import Sequence  # noqa: TID253
from pydicom.uid import generate_uid  # noqa: TID253

from tests.scans.series import header
from uqrestore.scans import ScanError, read_scan

SLICES, VOLUMES = 4, 3
AFFINE = np.diag([3.0, 3.0, 3.0, 1.0])
VOXELS = np.arange(10, 10 + 5 * 4 * SLICES, dtype=np.float64).reshape(5, 4, SLICES)

Stated = Callable[[int, int], dict[str, object]]
"""Attributes of the image of a slice and a volume."""


def write(folder: Path, stated: Stated, volumes: int = VOLUMES) -> Path:
    """Write images of ``VOXELS * 10**volume`` under names in random order."""
    folder.mkdir()
    series, names = generate_uid(), np.random.default_rng(1).permutation(SLICES * volumes)
    for k in range(SLICES):
        for t in range(volumes):
            image: Any = header(VOXELS * 10**t, AFFINE, k, series)
            image.InstanceNumber = None
            for name, value in stated(k, t).items():
                setattr(image, name, value)
            image.save_as(folder / f"{names[k * volumes + t]:03d}.dcm", enforce_file_format=True)
    return folder


def volumes_of(path: Path, count: int = VOLUMES) -> list[list[int]]:
    """Return the true volume of every slice of every volume read."""
    found = []
    for volume in range(count):
        scan = read_scan(path, volume=volume)
        factor = scan.orientation.undo(scan.voxels).max((0, 1)) / VOXELS.max((0, 1))
        found.append(np.rint(np.log10(factor)).astype(int).tolist())
    return found


def separate(count: int = VOLUMES) -> list[list[int]]:
    return [[t] * SLICES for t in range(count)]


SEPARATED: dict[str, Stated] = {
    "echo time": lambda _, t: {"EchoTime": 10 + 20 * t},
    "echo time, numbers of the slice": lambda k, t: {"EchoTime": 9 + t, "InstanceNumber": k + 1},
    "echo time below 1 %": lambda _, t: {"EchoTime": 100 + t / 10},
    "echo number": lambda _, t: {"EchoNumbers": t + 1},
    "acquisition": lambda _, t: {"AcquisitionNumber": t + 1},
    "b-value": lambda _, t: {"DiffusionBValue": 500.0 * t},
    "direction": lambda _, t: {"DiffusionGradientOrientation": [float(t), 0.0, 1.0]},
    "time": lambda _, t: {"TemporalPositionIdentifier": t + 1},
    "trigger": lambda _, t: {"TriggerTime": 40.5 * t},
    "inversion": lambda _, t: {"InversionTime": 100 * t + 50},
    "component": lambda _, t: {"ImageType": ["ORIGINAL", "PRIMARY", "IMP"[t]]},
    "tube voltage": lambda _, t: {"KVP": 80 + 20 * t, "Modality": "CT"},
    "kernel": lambda _, t: {"ConvolutionKernel": ["B30", "B40", "B50"][t]},
    "acquisition time": lambda _, t: {"AcquisitionTime": f"10{t:02d}00"},
    "numbers by volume": lambda k, t: {"InstanceNumber": SLICES * t + k + 1},
    "numbers by volume, interleaved": lambda k, t: {"InstanceNumber": 9 * t + (k * 3) % SLICES},
    "numbers by slice": lambda k, t: {"InstanceNumber": VOLUMES * k + t + 1},
    "two of them": lambda _, t: {"EchoTime": [9, 9, 90][t], "AcquisitionNumber": [1, 2, 2][t]},
    "echo time, then number": lambda k, t: {
        "EchoTime": [9, 9, 90][t], "InstanceNumber": SLICES * t + k
    },
    "times that differ from slice to slice": lambda k, t: {
        "EchoTime": 10 + t, "TriggerTime": 100 * t + k, "ContentTime": f"{t + 10 * k:06d}",
    },
}  # fmt: skip


@pytest.mark.parametrize("name", SEPARATED)
def test_volumes_are_separated_by_what_is_stated(name: str, tmp_path: Path) -> None:
    stated = SEPARATED[name]
    assert sorted(volumes_of(write(tmp_path / "s", stated))) == separate()


def test_a_volume_is_named_by_what_separates_it(tmp_path: Path) -> None:
    path = write(tmp_path / "s", SEPARATED["echo time"])
    assert volumes_of(path) == separate(), "in order of the echo time"
    assert read_scan(path, volume=2).source.note == "volume 2 of 3, separated by EchoTime"
    with pytest.raises(ScanError, match=r"3 volumes .*by EchoTime\); choose one by --vol"):
        read_scan(path)
    with pytest.raises(ScanError, match="--volume, from 0 to 2"):
        read_scan(path, volume=3)


REFUSED: dict[str, tuple[Stated, str]] = {
    "nothing": (lambda _, __: {}, "InstanceNumber is missing or not unique"),
    "number of the slice": (
        lambda k, _: {"InstanceNumber": k},
        "InstanceNumber is missing or not unique",
    ),
    "numbers in no order": (
        lambda k, t: {"InstanceNumber": [7, 2, 9, 4, 1, 12, 5, 3, 8, 6, 11, 10][3 * k + t]},
        "InstanceNumber is in no order",
    ),
    "numbers by volume that mix echoes": (
        lambda k, t: {"InstanceNumber": SLICES * t + k, "EchoTime": 10 + 10 * ((t + k) % 4)},
        "slices of different images: EchoTime",
    ),
    "other combinations": (
        lambda k, t: {
            "EchoNumbers": [1, 1, 2][t],
            "AcquisitionNumber": ([1, 2, 2] if k == 0 else [2, 2, 1])[t],
        },
        "combine EchoNumbers, AcquisitionNumber differently",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_volumes_that_nothing_separates_are_refused(name: str, tmp_path: Path) -> None:
    stated, words = REFUSED[name]
    path = write(tmp_path / "s", stated)
    with pytest.raises(ScanError) as caught:
        read_scan(path, volume=0)
    assert words in str(caught.value)
    assert ".dcm" in str(caught.value)


@pytest.mark.parametrize(
    "stated",
    [
        lambda k, _: {"EchoTime": 10 + 90 * (k > 1)},
        lambda k, _: {"TemporalPositionIdentifier": k + 1},
        lambda k, _: {"ImageType": ["ORIGINAL", "PRIMARY", "MP"[k == 2]]},
        lambda k, _: {"DiffusionBValue": 1000.0 * (k == 0)},
        lambda k, _: {"KVP": 80 + 20 * (k == 3)},
    ],
)
def test_one_image_a_place_is_no_volume_if_they_are_of_different_kinds(
    stated: Stated, tmp_path: Path
) -> None:
    with pytest.raises(ScanError, match="slices of different images"):
        read_scan(write(tmp_path / "s", stated, volumes=1))


def test_what_may_differ_between_slices_does(tmp_path: Path) -> None:
    def stated(k: int, _: int) -> dict[str, object]:
        return {
            "EchoTime": 10 + 0.01 * k, "AcquisitionNumber": k, "TriggerTime": 30 * k,
            "AcquisitionTime": f"{k:06d}", "FlipAngle": 10 + k,
        }  # fmt: skip

    assert volumes_of(write(tmp_path / "s", stated, volumes=1), 1) == separate(1)


def enhanced(path: Path, order: list[tuple[int, int]], indexed: str) -> Path:
    """Write one enhanced file of slices and times in some order, each frame with its own slope."""
    image: Any = header(VOXELS, AFFINE, 0, generate_uid())
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.4.1"
    orientation, measures, shared = Dataset(), Dataset(), Dataset()
    orientation.ImageOrientationPatient = image.ImageOrientationPatient
    measures.PixelSpacing, measures.SliceThickness = image.PixelSpacing, image.SliceThickness
    shared.PlaneOrientationSequence = Sequence([orientation])
    shared.PixelMeasuresSequence = Sequence([measures])
    frames, planes = [], []
    for k, t in order:
        frame, content, position, scale, echo = (Dataset() for _ in range(5))
        if indexed == "dimensions":
            content.DimensionIndexValues = [1, k + 1, t + 1]
        elif indexed == "time":
            content.TemporalPositionIndex = t + 1
        elif indexed == "echo":
            echo.EffectiveEchoTime = 10.0 + 5 * t
            frame.MREchoSequence = Sequence([echo])
        position.ImagePositionPatient = header(VOXELS, AFFINE, k, "1.2").ImagePositionPatient
        scale.RescaleSlope, scale.RescaleIntercept, scale.RescaleType = 10.0**t, 0, "US"
        frame.FrameContentSequence = Sequence([content])
        frame.PlanePositionSequence = Sequence([position])
        frame.PixelValueTransformationSequence = Sequence([scale])
        frames.append(frame)
        planes.append(VOXELS[:, :, k].T)
    pointers = []
    for tag in (0x00209056, 0x00209057, 0x00209128) if indexed == "dimensions" else ():
        pointer = Dataset()
        pointer.DimensionIndexPointer, pointer.FunctionalGroupPointer = tag, 0x00209111
        pointers.append(pointer)
    image.DimensionIndexSequence = Sequence(pointers)
    for name in ("ImageOrientationPatient", "ImagePositionPatient", "PixelSpacing"):
        del image[name]
    image.SharedFunctionalGroupsSequence = Sequence([shared])
    image.PerFrameFunctionalGroupsSequence = Sequence(frames)
    image.NumberOfFrames = len(order)
    image.PixelData = np.stack(planes).astype("<u2").tobytes()
    image.save_as(path, enforce_file_format=True)
    return path


BY_TIME = [(k, t) for t in range(VOLUMES) for k in range(SLICES)]
ORDERS = {
    "by time": BY_TIME,
    "by slice": sorted(BY_TIME),
    "in no order": [BY_TIME[i] for i in np.random.default_rng(1).permutation(len(BY_TIME))],
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("indexed", ["dimensions", "time", "echo", "nothing"])
def test_frames_of_an_enhanced_file_are_what_it_states(
    order: str, indexed: str, tmp_path: Path
) -> None:
    path = enhanced(tmp_path / "e.dcm", ORDERS[order], indexed)
    if (order, indexed) == ("in no order", "nothing"):
        with pytest.raises(ScanError, match="InstanceNumber is in no order"):
            read_scan(path, volume=0)
    else:
        assert volumes_of(path) == separate()


def test_a_mosaic_is_refused_by_name_but_not_by_its_word_alone(tmp_path: Path) -> None:
    kind = ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]

    def single(_: int, __: int) -> dict[str, object]:
        return {"ImageType": kind}

    def private(tiles: int) -> Stated:
        return lambda _, __: {"ImageType": kind, "Rows": 4, "AcquisitionMatrix": [0, tiles, 2, 0]}

    assert read_scan(write(tmp_path / "a", single, volumes=1)).shape == (5, 4, SLICES)
    with pytest.raises(ScanError, match=r"Siemens mosaic, several slices .* dcm2niix"):
        read_scan(write(tmp_path / "b", private(2), volumes=1))
    one = write(tmp_path / "c", single, volumes=1)
    for path in sorted(one.iterdir())[1:]:
        path.unlink()
    with pytest.raises(ScanError, match="Siemens mosaic, several slices"):
        read_scan(one)
    import pydicom

    [path] = one.iterdir()
    for tiles, refused in ((1, False), (9, True)):
        image = pydicom.dcmread(path)
        image.add_new(0x00190010, "LO", "SIEMENS MR HEADER")
        image.add_new(0x0019100A, "US", tiles)
        image.save_as(path)
        if refused:
            with pytest.raises(ScanError, match="Siemens mosaic, 9 slices"):
                read_scan(one)
        else:
            assert read_scan(one).shape == (5, 4, 1)
