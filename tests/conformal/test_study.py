"""evaluate and calibrate: from scans with truth, by one command, to a table and a promise."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

import uqrestore as uq
from tests.batch.scene import write_prior
from tests.cli.test_cli import MISTAKE, assert_one_line, run
from tests.front import read, tiny_voxels, write_pipeline, write_scan
from uqrestore.conformal.guarantee import Guarantee
from uqrestore.conformal.study import find_files, read_study
from uqrestore.posterior import PosteriorError, validate
from uqrestore.reports.findings import find


def exact(folder: Path) -> dict[str, object]:
    """Return the keys of a pipeline that draws from the exact posterior of a tiny prior."""
    prior = str(write_prior(folder))
    return {
        "prior": prior,
        "baseline": prior,
        "method": {"name": "exact"},
        "draws": 8,
        "noise_std": 0.05,
    }


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two scans of different brightness."""
    folder = tmp_path_factory.mktemp("scans")
    write_scan(folder / "a.nii.gz")
    write_scan(folder / "b.nii.gz", 3 * np.flip(tiny_voxels(), 0).copy())
    return folder


@pytest.fixture(scope="module")
def restored(scans: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both scans restored by evaluate, with the table beside."""
    folder = tmp_path_factory.mktemp("restored")
    pipeline = write_pipeline(folder, **exact(folder))
    table = folder / "table.json"
    result = run("evaluate", scans, "-p", pipeline, "--restored", folder / "files", "-o", table)
    assert result.exit_code == 0, result.output
    assert "ideal" in result.output
    assert "10 slices of 2 scans" in result.output
    return folder


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten people of one slice each, restored; the pipeline lies beside."""
    folder = tmp_path_factory.mktemp("cohort")
    (folder / "scans").mkdir()
    for person in range(10):
        write_scan(folder / f"scans/{person}.nii.gz", tiny_voxels() ** (1 + 0.03 * (person + 1)))
    pipeline = write_pipeline(folder, **exact(folder))
    files = ("--restored", folder / "files", "--slices", 1)
    result = run("evaluate", folder / "scans", "-p", pipeline, *files)
    assert result.exit_code == 0, result.output
    return folder


def test_the_table_holds_every_number_and_the_verdict(restored: Path) -> None:
    data = json.loads((restored / "table.json").read_text())
    rows = {row["name"]: row for row in data["rows"]}
    assert 0 < rows["coverage of 77.8 % intervals"]["value"] <= 1
    assert rows["psnr of the mean"]["value"] > rows["psnr of a draw"]["value"]
    assert data["battery"]["verdict"]


def test_a_second_run_restores_nothing_again(restored: Path, scans: Path) -> None:
    files = find_files(restored / "files")
    before = [path.stat().st_mtime_ns for path in files]
    pipeline = restored / "tiny.yaml"
    table = restored / "again.nc"
    result = run("evaluate", scans, "-p", pipeline, "--restored", restored / "files", "-o", table)
    assert result.exit_code == 0, result.output
    assert [path.stat().st_mtime_ns for path in files] == before
    assert table.exists()


def test_scenes_are_in_network_units_whatever_the_scans_were(restored: Path) -> None:
    study = read_study(find_files(restored / "files"))
    scenes = study.scenes
    assert scenes.groups is not None
    assert scenes.groups.tolist() == [0] * 5 + [1] * 5
    assert np.abs(scenes.truth).max() < 1.3
    first, second = scenes.truth[:5], scenes.truth[5:]
    np.testing.assert_allclose(second, np.flip(first, -1), atol=1e-5)
    assert scenes.problem is not None
    misfit = scenes.problem.operator(torch.from_numpy(scenes.truth)) - scenes.problem.y
    assert float(misfit.std()) == pytest.approx(0.05, rel=0.5)
    noise_std = torch.as_tensor(scenes.problem.noise_std)
    torch.testing.assert_close(noise_std, torch.full((10,), 0.05))


def test_files_of_different_operators_make_one_study(restored: Path, tmp_path: Path) -> None:
    operator = {"name": "downsampling", "factor": 1}
    pipeline = write_pipeline(tmp_path, **exact(tmp_path), operator=operator)
    scan = write_scan(tmp_path / "c.nii.gz")
    out = tmp_path / "c.posterior.h5"
    result = run("reconstruct", scan, "-p", pipeline, "-o", out)
    if result.exit_code:
        pytest.fail(result.output)
    study = read_study([*find_files(restored / "files"), out])
    problem = study.scenes.problem
    assert problem is not None
    misfit = problem.operator(torch.from_numpy(study.scenes.truth)) - problem.y
    assert float(misfit.abs().max()) < 0.4


def test_calibrate_writes_a_guarantee_that_knows_its_scope(cohort: Path) -> None:
    out = cohort / "guarantee.json"
    result = run("calibrate", cohort / "files", "-o", out, "--method", "crc", "--alpha", 0.2)
    assert result.exit_code == 0, result.output
    assert "at most 20 % of pixels lie outside" in result.output
    made = Guarantee.load(out)
    study = read_study(find_files(cohort / "files"))
    assert (made.scenes, made.unit) == (10, "slice")
    assert not made.scope.faults(study.settings[0])
    again = run("calibrate", cohort / "files", "-o", out, "--method", "crc", "--alpha", 0.2)
    assert_one_line(again, MISTAKE, "exists", "--overwrite")


def test_python_finds_what_the_commands_find(restored: Path, cohort: Path, tmp_path: Path) -> None:
    table = json.loads((restored / "table.json").read_text())
    assert json.loads(json.dumps(uq.evaluate(restored / "files").to_data())) == table
    listed = uq.evaluate([str(path) for path in find_files(restored / "files")])
    assert listed.battery.verdict == table["battery"]["verdict"]

    out, method = tmp_path / "g.json", ("--method", "split_conformal", "--share", 0.6)
    result = run("calibrate", cohort / "files", "-o", out, *method, "--alpha", 0.5)
    assert result.exit_code == 0, result.output
    made = uq.calibrate(
        cohort / "files",
        tmp_path / "python.json",
        method="split_conformal",
        share=0.6,
        alpha=0.5,
    )
    assert made.to_json() == Guarantee.load(out).to_json()
    assert Guarantee.load(tmp_path / "python.json").to_json() == made.to_json()
    with pytest.raises(FileExistsError, match="exists already"):
        uq.calibrate(cohort / "files", out)


def test_slices_of_one_person_are_not_independent(restored: Path, tmp_path: Path) -> None:
    out = tmp_path / "g.json"
    few = run("calibrate", restored / "files", "-o", out, "--method", "crc", "--alpha", 0.2)
    assert_one_line(few, MISTAKE, "2 calibration units (people", "at least 4")
    made = run("calibrate", restored / "files", "-o", out, "--method", "crc", "--alpha", 0.4)
    assert made.exit_code == 0, made.output
    assert "people like the 2 of the calibration (10 slices)" in " ".join(made.output.split())


def test_too_few_scenes_say_how_many_it_takes(cohort: Path, tmp_path: Path) -> None:
    result = run("calibrate", cohort / "files", "-o", tmp_path / "g.json", "--alpha", 0.01)
    assert_one_line(result, MISTAKE, "it takes at least", "people")


def test_a_folder_without_posterior_files_says_what_to_do(scans: Path, tmp_path: Path) -> None:
    result = run("evaluate", tmp_path)
    assert_one_line(result, MISTAKE, "holds no posterior files", "--pipeline")
    result = run("evaluate", tmp_path, "-p", "brain-cs4-ssd")
    assert_one_line(result, MISTAKE, "names no scan that can be read")
    result = run("evaluate", scans, "-p", "brain-cs4-ssd")
    assert_one_line(result, MISTAKE, "--restored")


def test_a_guarantee_is_kept_by_the_intervals_of_new_scans_and_of_no_others(
    cohort: Path, tmp_path: Path
) -> None:
    promise, pipeline = tmp_path / "g.json", cohort / "tiny.yaml"
    made = run("calibrate", cohort / "files", "-o", promise, "--method", "crc", "--alpha", 0.2)
    assert made.exit_code == 0, made.output
    scan = write_scan(tmp_path / "new.nii.gz", np.flip(tiny_voxels(), 1).copy())
    out = tmp_path / "new.posterior.h5"
    result = run("reconstruct", scan, "-p", pipeline, "-o", out, "--guarantee", promise)
    assert result.exit_code == 0, result.output
    assert "at most 20 % of pixels lie outside" in result.output
    assert validate(out) == []
    same = run("reconstruct", scan, "-p", pipeline, "-o", out, "--guarantee", promise)
    assert (same.exit_code, "nothing to do" in same.output) == (0, True), same.output
    without = run("reconstruct", scan, "-p", pipeline, "-o", out)
    assert_one_line(without, MISTAKE, "exists already")
    lower, upper, std = (read(out, n) for n in ("interval/lower", "interval/upper", "estimate/std"))
    width = Guarantee.load(promise).widths["interval"]
    seen = std > 0.01 * std.max()
    np.testing.assert_allclose((upper - lower)[seen], 2 * width * std[seen], rtol=1e-4)
    old = write_scan(tmp_path / "old.nii.gz", tiny_voxels() ** 1.03)
    again = run("reconstruct", old, "-p", pipeline, "-o", tmp_path / "o.h5", "--guarantee", promise)
    assert_one_line(again, MISTAKE, "were calibrated on")
    other = run(
        *("reconstruct", scan, "-p", pipeline, "-o", tmp_path / "o.h5"),
        *("--guarantee", promise, "--draws", 9),
    )
    assert_one_line(other, MISTAKE, "draws is 9, calibrated with 8")
    assert not (tmp_path / "o.h5").exists()


def test_a_box_along_the_components_is_guaranteed_and_kept_in_the_file(
    cohort: Path, tmp_path: Path
) -> None:
    promise, pipeline = tmp_path / "g.json", cohort / "tiny.yaml"
    options = ("-o", promise, "--method", "component_box")
    few = run("calibrate", cohort / "files", *options)
    assert_one_line(few, MISTAKE, "people")
    made = run("calibrate", cohort / "files", *options, "--alpha", 0.5)
    assert made.exit_code == 0, made.output
    assert "all 2 components and the residual at once inside" in " ".join(made.output.split())
    widths = Guarantee.load(promise).widths
    assert set(widths) == {"component", "residual"}
    scan = write_scan(tmp_path / "new.nii.gz", np.flip(tiny_voxels(), 1).copy())
    out = tmp_path / "new.posterior.h5"
    result = run("reconstruct", scan, "-p", pipeline, "-o", out, "--guarantee", promise)
    assert result.exit_code == 0, result.output
    assert validate(out) == []
    half, std = read(out, "interval/half_width"), read(out, "estimate/pc_std")
    np.testing.assert_allclose(half, widths["component"] * std, rtol=1e-5)
    left = np.square(read(out, "estimate/std")).sum((1, 2)) - np.square(std).sum(0)
    radius = read(out, "interval/radius")
    np.testing.assert_allclose(radius, widths["residual"] * np.sqrt(left), rtol=1e-3)
    fields = find(out).guarantee
    assert fields is not None
    assert "along each of 2 components at once" in fields


def test_learn_then_test_certifies_what_rcps_does(cohort: Path, tmp_path: Path) -> None:
    promise = tmp_path / "g.json"
    chance = ("--alpha", 0.5, "--delta", 0.3)
    method = ("--method", "learn_then_test")
    made = run("calibrate", cohort / "files", "-o", promise, *method, *chance)
    assert made.exit_code == 0, made.output
    assert "With 70 % confidence over the calibration set" in " ".join(made.output.split())
    other = tmp_path / "h.json"
    run("calibrate", cohort / "files", "-o", other, "--method", "rcps", *chance)
    one, two = (Guarantee.load(path).widths["interval"] for path in (promise, other))
    assert one == pytest.approx(two, rel=0.1)


def test_region_means_of_a_cohort_get_intervals_in_the_report(cohort: Path, tmp_path: Path) -> None:
    """Ten people with labels; the guarantee is refused for them, and holds for an eleventh."""
    labels = np.zeros(tiny_voxels().shape, np.int16)
    labels[2:6, 2:6], labels[6:9, 3:8] = 1, 2
    for person in range(10):
        write_scan(tmp_path / f"{person}_roi.nii.gz", labels)
    (tmp_path / "names.tsv").write_text("index\tname\n1\tleft part\n2\tright part\n")
    table, made = tmp_path / "names.tsv", tmp_path / "regions.json"
    pattern = tmp_path / "{}_roi.nii.gz"
    options = ("--method", "region_means", "--labels", pattern, "--names", table)
    result = run("calibrate", cohort / "files", "-o", made, *options)
    assert result.exit_code == 0, result.output
    assert "each of 2 regions by itself" in result.output
    guarantee = Guarantee.load(made)
    assert set(guarantee.widths) == {"left part", "right part"}

    write_scan(cohort / "scans/new.nii.gz", tiny_voxels() ** 1.5)
    new = tmp_path / "new.posterior.h5"
    scan = cohort / "scans/new.nii.gz"
    plain = ("-p", cohort / "tiny.yaml", "-o", new, "--slices", 1)
    result = run("reconstruct", scan, *plain, "--guarantee", made)
    assert_one_line(result, MISTAKE, "for reports, not for restorations")
    assert run("reconstruct", scan, *plain).exit_code == 0
    rois = tmp_path / "0_roi.nii.gz"
    written = uq.report(new, labels=rois, names=str(table), guarantee=made)
    rows = {row["name"]: row for row in written.data["regions"]}
    draws = uq.open(new)
    for name in ("left part", "right part"):
        low, high = rows[name]["guaranteed"]
        assert (low + high) / 2 == pytest.approx(rows[name]["mean"])
        assert low < rows[name]["truth"] < high or guarantee.widths[name] < 3
    assert draws.unit == written.data["unit"]
    assert "Guaranteed" in written.page.read_text()
    part = tmp_path / "half.posterior.h5.part"
    part.write_bytes(new.read_bytes())
    with h5py.File(part, "a") as file:
        file.attrs["status"] = "partial"
    with pytest.raises(PosteriorError, match="is not finished, so the guarantee does not hold"):
        uq.report(part, tmp_path / "half", labels=rois, names=str(table), guarantee=made)
    (old,) = find_files(cohort / "files")[:1]
    with pytest.raises(ValueError, match="scenes were calibrated on"):
        uq.report(old, tmp_path / "old", labels=rois, names=str(table), guarantee=made)


def test_labels_and_method_of_a_guarantee_go_together(cohort: Path, tmp_path: Path) -> None:
    files, made = cohort / "files", tmp_path / "g.json"
    with pytest.raises(ValueError, match="method 'crcp' is unknown; choose split_conformal, crc"):
        uq.calibrate(files, method="crcp")  # type: ignore[arg-type]
    for options in (["--method", "region_means"], ["--labels", "{}_roi.nii.gz"]):
        result = run("calibrate", files, "-o", made, *options)
        assert_one_line(result, MISTAKE, "labels and method region_means go together")
    options = ["--method", "region_means", "--labels", "same.nii.gz"]
    result = run("calibrate", files, "-o", made, *options)
    assert_one_line(result, MISTAKE, "the same for every person")
