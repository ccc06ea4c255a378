"""The BIDS App: what it finds, what it writes, and what the official validator says of it."""

import csv
import json
import subprocess
import sysconfig
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import uqrestore as uq
from tests.batch.bids.dataset import write_dataset, write_masks
from tests.batch.scene import write_pipeline
from tests.front import read, tiny_affine
from uqrestore.batch import BatchError
from uqrestore.batch.bids import find_scans
from uqrestore.cli.app import app
from uqrestore.scans.nifti import read_voxels

IMAGES = (
    "sub-01/anat/sub-01_T1w",
    "sub-02/ses-a/anat/sub-02_ses-a_run-1_T1w",
    "sub-02/ses-a/anat/sub-02_ses-a_FLAIR",
    "sub-02/ses-b/anat/sub-02_ses-b_acq-hi_T2w",
)
VALIDATOR = Path(sysconfig.get_path("scripts")) / "bids-validator-deno"
"""The official validator. The older one of npm knows no derivatives."""


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    root = write_dataset(tmp_path / "study", IMAGES)
    write_masks(root / "derivatives" / "masks", ("sub-01/anat/sub-01_desc-brain_mask",))
    (root / "derivatives" / "notes").mkdir()
    return root


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["bids", *map(str, arguments)])
    return result.exit_code, result.output


def test_images_of_the_people_asked_for_are_found_with_their_masks(dataset: Path) -> None:
    found = find_scans(dataset)
    assert [scan.path.relative_to(dataset).as_posix() for scan in found] == sorted(
        f"{name}.nii.gz" for name in IMAGES
    )
    masks = {scan.path.name: scan.mask.name for scan in found if scan.mask}
    assert masks == {"sub-01_T1w.nii.gz": "sub-01_desc-brain_mask.nii.gz"}
    names = [scan.name("mean") for scan in find_scans(dataset, participants=["sub-02"])]
    assert names == [
        "sub-02/ses-a/anat/sub-02_ses-a_desc-mean_FLAIR",
        "sub-02/ses-a/anat/sub-02_ses-a_run-1_desc-mean_T1w",
        "sub-02/ses-b/anat/sub-02_ses-b_acq-hi_desc-mean_T2w",
    ]
    assert len(find_scans(dataset, sessions=["ses-b"])) == 1
    assert [scan.path.name for scan in find_scans(dataset, suffixes=["FLAIR"])] == [
        "sub-02_ses-a_FLAIR.nii.gz"
    ]


def test_the_mask_nearest_to_an_image_on_its_grid_is_taken(dataset: Path) -> None:
    folder = dataset / "derivatives"
    of_session = "sub-02/ses-a/anat/sub-02_ses-a_desc-brain_mask"
    write_masks(folder / "people", ("sub-02/anat/sub-02_desc-brain_mask", of_session))
    write_masks(folder / "far", ("sub-01/anat/sub-01_desc-brain_mask",), shift=2.0)
    masks = {scan.path.name: scan.mask for scan in find_scans(dataset)}
    assert {name: mask and mask.name for name, mask in masks.items()} == {
        "sub-01_T1w.nii.gz": "sub-01_desc-brain_mask.nii.gz",
        "sub-02_ses-a_FLAIR.nii.gz": "sub-02_ses-a_desc-brain_mask.nii.gz",
        "sub-02_ses-a_run-1_T1w.nii.gz": "sub-02_ses-a_desc-brain_mask.nii.gz",
        "sub-02_ses-b_acq-hi_T2w.nii.gz": "sub-02_desc-brain_mask.nii.gz",
    }
    (scan,) = find_scans(dataset, participants=["01"], masks=folder / "far")
    assert scan.mask is None
    assert scan.note == "mask sub-01_desc-brain_mask.nii.gz is on another grid and was not used"
    write_masks(folder / "again", ("sub-01/anat/sub-01_desc-brain_mask",))
    with pytest.raises(BatchError, match=r"two masks fit.*choose a derivative by --masks"):
        find_scans(dataset)


def test_a_derivative_holds_the_maps_of_the_posterior_on_the_grid_of_the_image(
    dataset: Path, tmp_path: Path
) -> None:
    out = dataset / "derivatives" / "uqrestore"
    pipeline = write_pipeline(tmp_path)
    given = (dataset, out, "participant", "-p", pipeline, "--suffix", "T1w")

    code, text = run(*given)

    assert (code, text.count(": done")) == (0, 2), text
    folder, name = out / "sub-01" / "anat", "sub-01_desc-{}_T1w"
    file = folder / f"{name.format('draws')}.posterior.h5"
    posterior = uq.open(file)
    for desc, expected in (
        ("mean", posterior.mean.values),
        ("std", posterior.std.values),
        ("pc1", read(file, "estimate/pc")[0]),
    ):
        values, affine = read_voxels(folder / f"{name.format(desc)}.nii.gz")
        np.testing.assert_allclose(affine, tiny_affine())
        np.testing.assert_allclose(values.transpose(2, 1, 0), expected, rtol=1e-5)
    sidecar = json.loads((folder / f"{name.format('std')}.json").read_text())
    assert sidecar["Sources"] == ["bids:raw:sub-01/anat/sub-01_T1w.nii.gz"]
    assert sidecar["SkullStripped"] is True
    other = out / "sub-02" / "ses-a" / "anat" / "sub-02_ses-a_run-1_desc-mean_T1w.json"
    assert json.loads(other.read_text())["SkullStripped"] is False
    with (folder / f"{name.format('regions')}.tsv").open() as table:
        rows = list(csv.DictReader(table, delimiter="\t"))
    assert rows[0]["name"] == "inside the mask"
    assert float(rows[0]["low"]) <= float(rows[0]["mean"]) <= float(rows[0]["high"])
    described = json.loads((out / "dataset_description.json").read_text())
    assert described["DatasetLinks"] == {"raw": "../.."}
    assert (out / "sub-01_desc-draws_T1w.report.html").exists()

    stamp = (folder / f"{name.format('mean')}.nii.gz").stat().st_mtime_ns
    code, text = run(*given)
    assert (code, text.count(": skipped")) == (0, 2)
    assert (folder / f"{name.format('mean')}.nii.gz").stat().st_mtime_ns == stamp

    code, text = run(dataset, out, "group")
    assert code == 0
    page = (out / "group.report.html").read_text()
    assert page.count("desc-draws_") >= 2
    _validate(dataset)
    _validate(out)


def test_the_validator_sees_a_file_that_is_not_bids(dataset: Path) -> None:
    (dataset / "sub-01" / "anat" / "sub-01_desc-mean_T1w.posterior.h5").touch()
    with pytest.raises(AssertionError, match=r"posterior\.h5"):
        _validate(dataset)


def _validate(folder: Path) -> None:
    done = subprocess.run(
        [VALIDATOR, "--ignoreWarnings", str(folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_image_that_fails_stops_no_other(dataset: Path, tmp_path: Path) -> None:
    (dataset / f"{IMAGES[0]}.nii.gz").write_bytes(b"no image")
    out = tmp_path / "out"
    code, text = run(dataset, out, "participant", "-p", write_pipeline(tmp_path))
    assert code == 1
    assert "sub-01_desc-draws_T1w: failed (" in text
    assert "3 of 4 images restored" in text


def test_mistakes_are_named(dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for arguments, expected in (
        ((tmp_path, out, "participant"), "no BIDS dataset: it has no dataset_description.json"),
        ((dataset, dataset, "participant"), "is the dataset itself; write to a folder such as"),
        ((dataset, out, "participant", "09"), "write --participant-label before participants"),
        ((dataset, out, "group"), "run the level participant before group"),
        ((dataset, dataset / "derivatives" / "masks", "participant"), "holds another BIDS dataset"),
        ((dataset, out, "participant", "--suffix", "PDw"), "holds no PDw image"),
        (
            (dataset, out, "participant", "--participant_label", "01 09"),
            "participant 09 has no T1w, T2w, FLAIR image in anat; correct --participant-label",
        ),
    ):
        code, text = run(*arguments)
        assert (code, expected in " ".join(text.split())) == (2, True), text
