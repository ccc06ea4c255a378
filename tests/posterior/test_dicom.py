"""DICOM out: every voxel at its place and value, sound to a validator, whole through an archive."""

import json
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from typer.testing import CliRunner

from tests.scans.scenes import affines
from tests.scans.series import write_series
from uqrestore.cli.app import app
from uqrestore.posterior import PosteriorError, PosteriorPlan, PosteriorWriter, export_dicom
from uqrestore.scans import Scan, fit_to_model, read_scan, write_nifti
from uqrestore.scans.grid import Grid

SHAPE = (5, 4, 6)
MODEL = (7, 8)  # larger than the slices in every order of axes
UPRIGHT = np.diag([2.0, 3.0, 4.0, 1.0])
PERMUTED = np.asarray([[0, 0, 4.0, -3], [-2.0, 0, 0, 5], [0, -3.0, 0, 9], [0, 0, 0, 1]])


def unique() -> np.ndarray:
    """Every voxel has its own value, from 0, which is also the value around the scan."""
    return np.arange(np.prod(SHAPE), dtype=np.float64).reshape(SHAPE)


def posterior_of(scan: Scan, path: Path, slices: tuple[int, ...] | None = None) -> Path:
    """Write a posterior file whose mean is the scan itself, in float32."""
    model = fit_to_model(scan, MODEL)
    slices = slices or tuple(range(len(model.images)))
    images = model.images[list(slices)]
    plan = PosteriorPlan(
        placement=model.placement,
        slices=slices,
        draws=3,
        channels=1,
        unit=scan.intensity.unit,
        seed=0,
        fingerprint="f",
        operator=("identity", {"shape": [1, *MODEL]}, {}),
        y=(("z", "channel", "y", "x"), images),
        provenance={"scan": {"tags": dict(scan.source.tags)}},
    )
    with PosteriorWriter(path, plan) as writer:
        shifts = np.asarray([-1, 0, 1], np.float32)[:, None, None, None, None]
        writer.write(range(3), slices, images + shifts)
        return writer.finish(writer.summarise(components=1))


def parametric(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return values (frame, row, column) and their places in RAS+ mm, lowest frame first."""
    import highdicom as hd

    image = hd.imread(path)
    values = image.get_frames(apply_real_world_transform=True)
    rows, columns = np.mgrid[: values.shape[1], : values.shape[2]]
    places = []
    shared = image.SharedFunctionalGroupsSequence[0]
    row_mm, column_mm = shared.PixelMeasuresSequence[0].PixelSpacing
    direction = np.asarray(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float)
    for frame in image.PerFrameFunctionalGroupsSequence:
        corner = np.asarray(frame.PlanePositionSequence[0].ImagePositionPatient, float)
        offset = columns[..., None] * direction[:3] * float(column_mm)
        offset = offset + rows[..., None] * direction[3:] * float(row_mm)
        places.append(corner + offset)
    ras = np.stack(places) * [-1, -1, 1]
    order = np.argsort(ras[:, 0, 0, 2])
    return values[order], ras[order]


def by_value(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Places of the values 1, 2, 3, ..."""
    known = np.rint(values) >= 1
    order = np.argsort(values[known])
    return places[known][order]


def wanted(affine: np.ndarray) -> np.ndarray:
    index = np.stack(np.unravel_index(np.arange(np.prod(SHAPE)), SHAPE), axis=-1)
    return index[1:] @ affine[:3, :3].T + affine[:3, 3]


@settings(max_examples=4, deadline=None, phases=(Phase.generate,))
@given(affine=affines())
def test_a_voxel_of_a_map_lies_where_it_lay_in_the_scan(affine: np.ndarray) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        nifti = write_nifti(folder / "a.nii", unique(), Grid(SHAPE, affine))
        for source in (nifti, write_series(folder / "source", unique(), affine)):
            file = posterior_of(read_scan(source), folder / f"{source.stem}.posterior.h5")
            pmap, series = export_dicom(file, folder / "out", kind="both", maps=["mmse"])

            np.testing.assert_allclose(by_value(*parametric(pmap)), wanted(affine), atol=1e-3)
            scan = read_scan(series)
            index = np.moveaxis(np.indices(scan.shape), 0, -1).astype(float)
            places = scan.grid.position(index)
            np.testing.assert_allclose(by_value(scan.voxels, places), wanted(affine), atol=1e-3)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    source = write_series(tmp_path / "source", unique(), PERMUTED)
    return posterior_of(read_scan(source), tmp_path / "scan.posterior.h5", slices=(0, 2, 3))


def test_values_are_exact_in_a_map_and_to_a_level_in_a_series(file: Path, tmp_path: Path) -> None:
    from tests.front import read

    written = export_dicom(file, tmp_path / "out", kind="both")

    assert [path.name for path in written] == [
        "scan_mmse.dcm", "scan_mmse_series", "scan_std.dcm", "scan_std_series",
    ]  # fmt: skip
    mean = read(file, "estimate/mmse")[:, ::-1, ::-1]
    np.testing.assert_array_equal(parametric(written[0])[0].astype(np.float32), mean)
    import pydicom

    for k, path in enumerate(sorted(written[1].iterdir())):
        image = pydicom.dcmread(path)
        values = image.pixel_array * float(image.RescaleSlope) + float(image.RescaleIntercept)
        np.testing.assert_allclose(values, mean[k], atol=float(image.RescaleSlope))
        assert float(image.RescaleSlope) <= 1.001 * np.ptp(mean) / 65535 + 1e-12


def test_maps_are_anonymous_unless_filed_beside_their_source(file: Path, tmp_path: Path) -> None:
    import pydicom

    [alone] = export_dicom(file, tmp_path / "alone", maps=["std"])
    [beside] = export_dicom(file, tmp_path / "beside", maps=["std"], source=tmp_path / "source")

    one, other = pydicom.dcmread(alone), pydicom.dcmread(beside)
    source = pydicom.dcmread(next(iter((tmp_path / "source").iterdir())))
    assert "Jane" not in str(one)
    assert "Jane" in str(other.PatientName)
    assert other.StudyInstanceUID == source.StudyInstanceUID
    assert one.StudyInstanceUID != source.StudyInstanceUID
    assert one.FrameOfReferenceUID == other.FrameOfReferenceUID == source.FrameOfReferenceUID
    assert one.ContentQualification == "RESEARCH"


NAMES = {
    "Greek": ("ISO_IR 126", "\u03a0\u03b1\u03c0\u03c0\u03ac\u03c2^\u0386\u03bd\u03bd\u03b1"),
    "Cyrillic": ("ISO_IR 144", "\u041b\u044e\u043ac\u0435\u043c\u0431\u0443\u0440\u0433"),
    "Vietnamese": ("ISO_IR 192", "Nguy\u1ec5n^H\u1eefu"),
    "Chinese": ("GB18030", "Wang^XiaoDong=\u738b^\u5c0f\u4e1c"),
    "Japanese": (["", "ISO 2022 IR 87"], "Suzuki^Ken=\u9234\u6728^\u5065"),
    "Latin": ("ISO_IR 100", "M\u00fcller^J\u00f6rg"),
    "ASCII": ("", "Plain^Name"),
}


@pytest.mark.parametrize("language", NAMES)
def test_a_name_comes_back_from_every_map_as_it_stands_in_the_scan(
    language: str, file: Path, tmp_path: Path
) -> None:
    import pydicom

    charset, name = NAMES[language]
    source = write_series(
        tmp_path / "named", unique(), PERMUTED, SpecificCharacterSet=charset, PatientName=name,
        ReferringPhysicianName=name, StudyID=name[:16] if language == "Latin" else "7",
    )  # fmt: skip
    pmap, series = export_dicom(file, tmp_path / "o", kind="both", maps=["std"], source=source)

    for path in (pmap, sorted(series.iterdir())[0]):
        image = pydicom.dcmread(path)
        assert str(image.PatientName) == name
        assert str(image.ReferringPhysicianName) == name
        assert image.get("SpecificCharacterSet", "") == ("" if name.isascii() else "ISO_IR 192")


@pytest.mark.parametrize("charset", ["", "ISO_IR 999", "ISO_IR 192"])
def test_a_name_in_no_known_character_set_is_refused(
    charset: str, file: Path, tmp_path: Path
) -> None:
    source = write_series(
        tmp_path / "named", unique(), PERMUTED, SpecificCharacterSet="ISO_IR 100",
        PatientName="M\u00fcller^J\u00f6rg",
    )  # fmt: skip
    for path in source.iterdir():
        content = path.read_bytes()
        assert b"ISO_IR 100" in content
        path.write_bytes(content.replace(b"ISO_IR 100", charset.ljust(10).encode()))

    with pytest.raises(PosteriorError, match="PatientName has letters outside the character set"):
        export_dicom(file, tmp_path / "o", maps=["std"], source=source)
    assert not list(tmp_path.glob("o/*"))


def test_refusals_are_one_line(file: Path, tmp_path: Path) -> None:
    with pytest.raises(PosteriorError, match="it can be pmap, series, both"):
        export_dicom(file, tmp_path, kind="jpeg")
    with pytest.raises(PosteriorError, match=r"no real map 'pc'; it can be mmse, std"):
        export_dicom(file, tmp_path, maps=["pc"])
    export_dicom(file, tmp_path, maps=["std"])
    with pytest.raises(PosteriorError, match=r"scan_std\.dcm: exists already"):
        export_dicom(file, tmp_path, maps=["std"])
    with pytest.raises(PosteriorError, match="out: no such folder"):
        export_dicom(file, tmp_path / "x", source=tmp_path / "out")


def test_the_command_writes_nifti_on_the_grid_of_the_source_and_dicom(
    file: Path, tmp_path: Path
) -> None:
    import nibabel as nib

    def run(*arguments: object) -> tuple[int, str]:
        result = CliRunner().invoke(app, ["export", str(file), *map(str, arguments)])
        return result.exit_code, result.output

    code, output = run("--nifti", "--dicom", "both", "-o", tmp_path / "out")
    assert code == 0, output
    image = nib.load(tmp_path / "out" / "scan_mmse.nii.gz")
    np.testing.assert_allclose(image.affine, PERMUTED, atol=1e-5)  # type: ignore[attr-defined]
    assert image.shape == SHAPE  # type: ignore[attr-defined]
    assert output.count("written: ") == 6
    assert run() == (
        2,
        "Error: choose what to write: --nifti, --array NAME.npz, --zarr, --ome-zarr, or --dicom "
        "pmap, series or both.\n",
    )


@pytest.mark.skipif(not shutil.which("dciodvfy"), reason="needs dciodvfy (Debian: dicom3tools)")
def test_a_validator_finds_no_error(file: Path, tmp_path: Path) -> None:
    written = export_dicom(file, tmp_path / "out", kind="both")

    for path in [written[0], sorted(written[1].iterdir())[0]]:
        done = subprocess.run(
            ["dciodvfy", "-new", str(path)], capture_output=True, text=True, check=False
        )
        errors = [line for line in done.stderr.splitlines() if line.startswith("Error")]
        assert errors == [], done.stderr


ORTHANC = shutil.which("Orthanc")
DICOMWEB = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so"


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[str]:
    """A real archive on this machine, with an empty store."""
    ports = []
    for _ in range(2):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            ports.append(free.getsockname()[1])
    settings_path = tmp_path / "orthanc.json"
    settings_path.write_text(
        json.dumps(
            {
                "Name": "test",
                "StorageDirectory": str(tmp_path / "store"),
                "IndexDirectory": str(tmp_path / "store"),
                "Plugins": [DICOMWEB],
                "HttpPort": ports[0],
                "DicomPort": ports[1],
                "RemoteAccessAllowed": False,
                "AuthenticationEnabled": False,
                "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
            }
        )
    )
    process = subprocess.Popen(
        [str(ORTHANC), str(settings_path)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(300):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", ports[0])) == 0:
                    break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{ports[0]}/dicom-web"
    finally:
        process.terminate()
        process.wait()


@pytest.mark.skipif(
    ORTHANC is None or not Path(DICOMWEB).exists(),
    reason="needs Orthanc with DICOMweb (Debian: orthanc, orthanc-dicomweb)",
)
def test_maps_come_back_from_an_archive_as_they_went(
    file: Path, tmp_path: Path, archive: str
) -> None:
    import pydicom
    from dicomweb_client.api import DICOMwebClient

    written = export_dicom(file, tmp_path / "out", kind="both", maps=["std"])
    sent = [pydicom.dcmread(path) for path in (written[0], *sorted(written[1].iterdir()))]
    client = DICOMwebClient(url=archive)
    client.store_instances(datasets=sent)

    for image in sent:
        back = client.retrieve_instance(
            study_instance_uid=image.StudyInstanceUID,
            series_instance_uid=image.SeriesInstanceUID,
            sop_instance_uid=image.SOPInstanceUID,
        )
        np.testing.assert_array_equal(back.pixel_array, image.pixel_array)
    returned = tmp_path / "back.dcm"
    map_back = client.retrieve_instance(
        sent[0].StudyInstanceUID, sent[0].SeriesInstanceUID, sent[0].SOPInstanceUID
    )
    map_back.save_as(returned, enforce_file_format=True)
    for one, other in zip(parametric(written[0]), parametric(returned), strict=True):
        np.testing.assert_array_equal(one, other)
