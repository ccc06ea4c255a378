"""Files of a DICOM folder: read, left out by name, or refused; never left out in silence."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset  # noqa: TID253 - only tests of DICOM
from pydicom.sequence import Sequence  # noqa: TID253

from tests.scans.series import header
from uqrestore.scans import ScanError, is_scan, read_input, read_scan

AFFINE = np.diag([3.0, 3.0, 3.0, 1.0])
VOXELS = np.arange(1, 121, dtype=np.float64).reshape(5, 4, 6)


def write(folder: Path, name: Callable[[int], str] = lambda k: f"{k:03d}.dcm") -> Path:
    folder.mkdir()
    for k in range(VOXELS.shape[2]):
        header(VOXELS, AFFINE, k, "1.2.3").save_as(folder / name(k), enforce_file_format=True)
    return folder


def named(kind: str) -> Callable[[int], str]:
    return {
        "dcm": lambda k: f"{k:03d}.dcm",
        "none": lambda k: f"IM{k:04d}",
        "uid": lambda k: f"1.2.840.113619.{k}",
        "ima": lambda k: f"{k}.IMA",
    }[kind]


@pytest.mark.parametrize("kind", ["dcm", "none", "uid", "ima"])
@pytest.mark.parametrize("cut", ["preamble", "preamble and meta group"])
def test_files_without_preamble_are_read(kind: str, cut: str, tmp_path: Path) -> None:
    series = write(tmp_path / "s", named(kind))
    for path in sorted(series.iterdir())[2:]:
        data = path.read_bytes()
        group = int.from_bytes(data[140:144], "little")
        path.write_bytes(data[132:] if cut == "preamble" else data[144 + group :])
    scan = read_scan(series)
    np.testing.assert_array_equal(scan.orientation.undo(scan.voxels), VOXELS)
    assert scan.source.note == ""


def link(path: Path, _: bytes) -> None:
    path.symlink_to("../.git/annex/objects/aa/bb/content")


def pointer(path: Path, data: bytes) -> None:
    path.write_text(f"version https://git-lfs.github.com/spec/v1\nsize {len(data)}\n")


SPOILT: dict[str, tuple[Callable[[Path, bytes], object], str]] = {
    "a link to nowhere": (link, "is a link to a file that is not there; fetch it"),
    "a pointer of LFS": (pointer, "is a pointer of Git LFS, not the file; fetch it"),
    "no bytes": (lambda path, _: path.write_bytes(b""), "is empty; copy it again"),
    "cut in the header": (lambda path, data: path.write_bytes(data[:600]), "copy it again"),
    "cut after the meta group": (lambda path, data: path.write_bytes(data[:350]), "copy it again"),
    "cut in the meta group": (lambda path, data: path.write_bytes(data[:160]), "copy it again"),
    "cut in the pixels": (lambda path, data: path.write_bytes(data[:-9]), "cannot be decoded"),
}


@pytest.mark.parametrize("kind", ["dcm", "none", "uid", "ima"])
@pytest.mark.parametrize("spoilt", SPOILT)
def test_an_image_that_cannot_be_opened_is_refused_by_name(
    spoilt: str, kind: str, tmp_path: Path
) -> None:
    series = write(tmp_path / "s", named(kind))
    path = sorted(series.iterdir())[4]
    data = path.read_bytes()
    path.unlink()
    spoil, words = SPOILT[spoilt]
    spoil(path, data)
    with pytest.raises(ScanError) as caught:
        read_scan(series)
    assert path.name in str(caught.value)
    assert words in str(caught.value)


def test_a_series_whose_every_file_is_a_link_to_nowhere_says_so(tmp_path: Path) -> None:
    series = tmp_path / "s"
    series.mkdir()
    (series / "1.dcm").symlink_to("nowhere")
    with pytest.raises(ScanError, match=r"1\.dcm: is a link to a file that is not there"):
        read_input(series)


def test_what_lies_beside_the_images_stops_nothing(tmp_path: Path) -> None:
    series = write(tmp_path / "s", named("none"))
    for k in range(12):
        (series / f"AA{k}.json").write_text("{}")
    (series / "README").write_text("scanned on a phantom")
    (series / "preview.png").write_bytes(b"\x89PNG")
    (series / "notes.txt").symlink_to("nowhere")
    (series / "empty.log").touch()
    (series / ".DS_Store").write_bytes(b"\0\0")
    assert is_scan(series)
    scan = read_scan(series)
    assert scan.shape == (5, 4, 6)
    assert scan.source.note == ""
    (tmp_path / "texts").mkdir()
    with pytest.raises(ScanError, match="without DICOM"):
        read_scan(tmp_path / "texts")


def no_image(path: Path, uid: str = "1.2.840.10008.5.1.4.1.1.88.11", **tags: object) -> None:
    image: Any = header(VOXELS, AFFINE, 0, "1.2.9")
    for name in ("Rows", "Columns", "PixelData"):
        del image[name]
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = uid
    for name, value in tags.items():
        setattr(image, name, value)
    image.save_as(path, enforce_file_format=True)


def test_dicom_that_is_no_image_is_left_out_by_name(tmp_path: Path) -> None:
    series = write(tmp_path / "s")
    no_image(series / "report.dcm")
    write(series / "second")
    assert read_scan(series).source.note == "left out, no images: report.dcm, second"
    for k in range(4):
        no_image(series / f"sr{k}.dcm")
    assert "left out, no images: report.dcm, sr0.dcm, sr1.dcm and 3 more" in (
        read_scan(series).source.note
    )


def test_an_image_without_pixels_is_refused(tmp_path: Path) -> None:
    series = write(tmp_path / "s")
    image: Any = header(VOXELS, AFFINE, 2, "1.2.3")
    del image.PixelData
    image.save_as(series / "002.dcm", enforce_file_format=True)
    with pytest.raises(ScanError, match=r"002\.dcm: holds no pixels, so it was cut short"):
        read_scan(series)


@pytest.mark.parametrize("keyword", ["RescaleSlope", "RescaleType", "ModalityLUTSequence"])
def test_a_presentation_state_of_another_scale_is_refused(keyword: str, tmp_path: Path) -> None:
    series = write(tmp_path / "s")
    value = {"RescaleSlope": 3, "RescaleType": "HU", "ModalityLUTSequence": Sequence([Dataset()])}
    state = "1.2.840.10008.5.1.4.1.1.11.1"
    no_image(series / "ps.dcm", state)
    assert "left out, no images: ps.dcm" in read_scan(series).source.note
    no_image(series / "ps.dcm", state, **{keyword: value[keyword]})
    with pytest.raises(ScanError, match=rf"ps\.dcm: is a presentation state .*\({keyword}\)"):
        read_scan(series)


def test_hostile_names_cannot_steer_a_terminal(tmp_path: Path) -> None:
    for hostile in ("\x1b[31mred\x1b[0m.dcm", "a\nb.dcm", "txt\u202emcd.dcm", "a\rb.nii"):
        path = tmp_path / hostile
        path.write_bytes(b"no scan at all, but long enough to be looked at" * 9)
        with pytest.raises(ScanError) as caught:
            read_scan(path)
        assert str(caught.value).isprintable()
