"""The command line: what works says where the output is; what fails is one line and a code."""

import dataclasses
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner, Result

from tests.front import (
    PIPELINE,
    ROWS,
    read,
    tiny_affine,
    tiny_prior,
    tiny_voxels,
    use_prior,
    write_pipeline,
    write_scan,
)
from tests.reports.cases import write_plain
from uqrestore.cli.app import app
from uqrestore.posterior import validate
from uqrestore.posterior.example import example_plan
from uqrestore.reports.example import write_example
from uqrestore.scans import demo_scan_path
from uqrestore.zoo import load_prior

MISTAKE, FAILURE = 2, 1


@pytest.fixture(autouse=True, scope="module")
def _tiny_zoo() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        use_prior(monkeypatch, tiny_prior())
        yield


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def reconstruct(folder: Path, scan: Path, *options: object, **changes: object) -> Result:
    pipeline = write_pipeline(folder, **changes)
    return run("reconstruct", scan, "-p", pipeline, "-o", folder / "out.h5", *options)


def assert_one_line(result: Result, code: int, *words: str) -> None:
    assert result.exit_code == code, result.output
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    for word in words:
        assert word in lines[0]
    assert "Traceback" not in result.output


def test_help_answers_at_once_and_loads_neither_torch_nor_monai() -> None:
    code = (
        "import sys, time; start = time.perf_counter()\n"
        "sys.argv = ['uqrestore', '--help']\n"
        "from uqrestore.cli.app import app\n"
        "try: app()\n"
        "except SystemExit: pass\n"
        "slow = {'torch', 'monai', 'matplotlib', 'nibabel', 'skimage', 'xarray', 'h5py'}\n"
        "print('seconds', time.perf_counter() - start)\n"
        "print('loaded', sorted(slow & set(sys.modules)))\n"
    )
    spent = []
    for _ in range(2):  # the first may have to compile
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        assert "reconstruct" in done.stdout
        assert "loaded []" in done.stdout
        spent.append(float(done.stdout.split("seconds ")[1].split()[0]))
    assert min(spent) < 1


def test_import_loads_neither_torch_nor_monai() -> None:
    code = "import sys, uqrestore; print(sorted({'torch', 'monai'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_a_reconstruction_says_where_it_is_and_what_its_scope_is(tmp_path: Path) -> None:
    result = reconstruct(tmp_path, write_scan(tmp_path / "s.nii.gz"))

    assert result.exit_code == 0, result.output
    assert f"posterior: {tmp_path / 'out.h5'}" in result.stdout
    assert "scope unknown" in result.stdout  # the tiny card states no contrast
    assert validate(tmp_path / "out.h5") == []


def test_options_of_the_command_win_over_the_file(tmp_path: Path) -> None:
    scan = write_scan(tmp_path / "s.nii")
    result = reconstruct(tmp_path, scan, "--draws", 5, "--slices", 2, "--seed", 3)

    assert result.exit_code == 0, result.output
    assert read(tmp_path / "out.h5", "posterior/image").shape[1:3] == (5, 2)


def test_native_writes_maps_on_the_grid_of_the_scan(tmp_path: Path) -> None:
    import nibabel as nib

    scan = write_scan(tmp_path / "s.nii.gz")
    result = reconstruct(tmp_path, scan, "--native")

    assert result.exit_code == 0, result.output
    written = [Path(line.split()[1]) for line in result.stdout.splitlines() if "native:" in line]
    assert len(written) >= 2
    for path in written:
        image, given = nib.load(path), nib.load(scan)
        assert image.shape[:3] == given.shape  # type: ignore[attr-defined]
        np.testing.assert_allclose(image.affine, given.affine)  # type: ignore[attr-defined]


# --- bad scans -----------------------------------------------------------------------------


def missing(path: Path) -> None:
    path.unlink(missing_ok=True)


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def cut_short(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def no_nifti(path: Path) -> None:
    path.write_bytes(b"this is a text, not a scan\n" * 40)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def save(path: Path, voxels: np.ndarray, affine: np.ndarray | None = None) -> None:
    import nibabel as nib

    image = nib.Nifti1Image(voxels, tiny_affine() if affine is None else affine)
    nib.save(image, path)


def not_a_number(path: Path) -> None:
    voxels = tiny_voxels()
    voxels[3, 4, 2] = np.nan
    save(path, voxels)


def infinite(path: Path) -> None:
    voxels = tiny_voxels()
    voxels[3, 4, 2] = np.inf
    save(path, voxels)


def constant(path: Path) -> None:
    save(path, np.full_like(tiny_voxels(), 7))


def one_dimensional(path: Path) -> None:
    save(path, np.arange(30, dtype=np.float32))


def five_dimensional(path: Path) -> None:
    save(path, np.zeros((4, 4, 4, 2, 3), np.float32))


def zero_affine(path: Path) -> None:
    write_affine(path, np.zeros((3, 4)))


def singular_affine(path: Path) -> None:
    affine = tiny_affine()[:3]
    affine[2] = affine[1]
    write_affine(path, affine)


def write_affine(path: Path, rows: np.ndarray) -> None:
    """Overwrite the affine in the bytes of the header; nibabel would mend it."""
    import gzip

    content = bytearray(gzip.decompress(path.read_bytes()))
    content[252:256] = np.asarray([0, 1], "<i2").tobytes()  # no qform, an sform
    content[280:328] = rows.astype("<f4").tobytes()
    path.write_bytes(gzip.compress(bytes(content)))


BAD_SCANS: dict[str, tuple[Callable[[Path], None], str]] = {
    "missing": (missing, "does not exist"),
    "folder": (folder, "folder"),
    "cut short": (cut_short, "cut short"),
    "no NIfTI": (no_nifti, "not a NIfTI"),
    "empty": (empty, "NIfTI"),
    "NaN": (not_a_number, "NaN or infinite"),
    "infinite": (infinite, "NaN or infinite"),
    "constant": (constant, "every voxel is 7"),
    "1-D": (one_dimensional, "axes"),
    "5-D": (five_dimensional, "axes"),
    "zero affine": (zero_affine, "affine"),
    "singular affine": (singular_affine, "affine"),
}


@pytest.mark.parametrize("fault", BAD_SCANS)
def test_a_bad_scan_is_one_line_that_names_it(tmp_path: Path, fault: str) -> None:
    spoil, word = BAD_SCANS[fault]
    scan = write_scan(tmp_path / "patient.nii.gz")
    spoil(scan)

    result = reconstruct(tmp_path, scan)

    assert_one_line(result, MISTAKE, "patient.nii.gz", word)
    assert list(tmp_path.glob("out.h5*")) == []


def test_an_unknown_kind_of_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "scan.png").write_bytes(b"png")

    assert_one_line(reconstruct(tmp_path, tmp_path / "scan.png"), MISTAKE, "scan.png", ".nii.gz")


def test_another_pixel_size_is_refused_and_resampled_when_asked(tmp_path: Path) -> None:
    voxels = np.repeat(np.repeat(tiny_voxels(), 2, axis=0), 2, axis=1)
    affine = np.diag([2.0, 2.0, 4.0, 1.0])
    save(tmp_path / "fine.nii.gz", voxels, affine)

    refused = reconstruct(tmp_path, tmp_path / "fine.nii.gz")
    assert_one_line(refused, MISTAKE, "fine.nii.gz", "--resample")
    done = reconstruct(tmp_path, tmp_path / "fine.nii.gz", "--resample", "--slices", 1)
    assert done.exit_code == 0, done.output
    assert "resampled" in done.stdout


# --- bad pipelines -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"method": {"name": "ddnn"}}, ["method.name", "'ddnn'", "Did you mean 'ddnm'?"]),
        ({"method": {"name": "ddnm", "step": 9}}, ["method.step", "Did you mean 'steps'?"]),
        ({"method": {"name": "ddnm", "steps": "x"}}, ["method.steps", "integer"]),
        ({"operator": {"name": "mask_fourier"}}, ["operator.name", "'masked_fourier'?"]),
        ({"operator": {"name": "masked_fourier"}}, ["operator", "needs a mask"]),
        ({"operator": {"name": "inpainting", "mask": {"law": "patch", "side": 1}}}, ["'patches'"]),
        ({"operator": {"name": "inpainting", "mask": {"law": "patches"}}}, ["needs side, visible"]),
        ({"prior": "tiny", "drawz": 3}, ["drawz", "Did you mean 'draws'?"]),
        ({"kind": "train"}, ["there is no", "more)"]),
    ],
)
def test_a_mistake_in_a_pipeline_is_one_line_with_file_line_and_key(
    tmp_path: Path, changes: dict[str, object], words: list[str]
) -> None:
    result = reconstruct(tmp_path, write_scan(tmp_path / "s.nii.gz"), **changes)

    assert_one_line(result, MISTAKE, "tiny.yaml:", *words)


def test_an_unknown_pipeline_gets_the_nearest_name(tmp_path: Path) -> None:
    scan = write_scan(tmp_path / "s.nii.gz")
    result = run("reconstruct", scan, "-p", "brain-cs4-sd", "-o", tmp_path / "o.h5")

    assert_one_line(result, MISTAKE, "brain-cs4-sd", "Did you mean 'brain-cs4-ssd'?")


def test_the_wrong_kind_of_pipeline_is_named(tmp_path: Path) -> None:
    scan = write_scan(tmp_path / "s.nii.gz")

    for arguments in (
        ("reconstruct", scan, "-p", "train-brain-prior", "-o", tmp_path / "o.h5"),
        ("train", "brain-cs4-ssd", "--data", tmp_path, "-o", tmp_path / "run"),
        ("run", "brain-cs4-ssd"),
    ):
        assert_one_line(run(*arguments), MISTAKE, ".yaml:", "kind", "is wanted here")


@pytest.mark.parametrize(
    ("mask", "word"),
    [
        ({"law": "patches", "side": 1, "visible": 0.0}, "visible within"),
        ({"law": "cartesian", "acceleration": 100, "center_lines": 0}, "acceleration"),
    ],
)
def test_a_mask_that_samples_nothing_is_refused(
    tmp_path: Path, mask: dict[str, object], word: str
) -> None:
    name = "inpainting" if mask["law"] == "patches" else "masked_fourier"
    channels = {} if name == "inpainting" else {"channels": 1}
    operator = {"name": name, "mask": mask, **channels}

    result = reconstruct(tmp_path, write_scan(tmp_path / "s.nii.gz"), operator=operator)

    assert_one_line(result, MISTAKE, word)


def test_a_method_that_is_not_for_noise_says_so(tmp_path: Path) -> None:
    result = reconstruct(tmp_path, write_scan(tmp_path / "s.nii.gz"), noise_std=0.1)

    assert_one_line(result, MISTAKE, "ddnm", "noise")
    assert list(tmp_path.glob("out.h5*")) == []


# --- output --------------------------------------------------------------------------------


def test_an_output_that_exists_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "out.h5").write_text("precious")
    scan = write_scan(tmp_path / "s.nii.gz")

    assert_one_line(reconstruct(tmp_path, scan), MISTAKE, "out.h5", "--overwrite")
    assert_one_line(reconstruct(tmp_path, scan, "--overwrite"), MISTAKE, "no posterior file")
    assert (tmp_path / "out.h5").read_text() == "precious"
    (tmp_path / "out.h5").unlink()
    assert reconstruct(tmp_path, scan).exit_code == 0
    assert_one_line(reconstruct(tmp_path, scan, "--seed", 1), MISTAKE, "out.h5", "--overwrite")
    assert reconstruct(tmp_path, scan, "--overwrite", "--seed", 1).exit_code == 0
    assert validate(tmp_path / "out.h5") == []


def test_the_same_command_again_has_nothing_to_do(tmp_path: Path) -> None:
    scan, out = write_scan(tmp_path / "s.nii.gz"), tmp_path / "out.h5"
    first = reconstruct(tmp_path, scan, "--native")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("out*")}

    again = reconstruct(tmp_path, scan, "--native", "--batch-size", 1)

    assert again.exit_code == 0, again.output
    assert "nothing to do" not in first.stdout
    assert f"{out} is complete already, made by the same settings: nothing to do" in again.stdout
    for line in ("PSNR", "posterior:", "native:", "now: uqrestore report"):
        assert line in again.stdout
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("out*")} == before


@pytest.mark.parametrize(
    "other",
    [("--seed", 1), ("--draws", 7), ("--slices", 2), ("--keep", "none"), ("--bits", 7)],
)
def test_other_settings_are_not_the_same_command(tmp_path: Path, other: tuple[object, ...]) -> None:
    scan = write_scan(tmp_path / "s.nii.gz")
    assert reconstruct(tmp_path, scan).exit_code == 0
    before = (tmp_path / "out.h5").read_bytes()

    refused = reconstruct(tmp_path, scan, *other)

    assert_one_line(refused, MISTAKE, "out.h5: exists already; pass --overwrite")
    assert (tmp_path / "out.h5").read_bytes() == before


def test_another_input_or_a_damaged_output_is_not_the_same_command(tmp_path: Path) -> None:
    scan, out = write_scan(tmp_path / "s.nii.gz"), tmp_path / "out.h5"
    assert reconstruct(tmp_path, scan).exit_code == 0
    write_scan(scan, 2 * tiny_voxels())
    assert_one_line(reconstruct(tmp_path, scan), MISTAKE, "exists already")
    write_scan(scan)
    mask = write_scan(tmp_path / "mask.nii.gz", (tiny_voxels() > 0).astype(np.float32))
    assert_one_line(reconstruct(tmp_path, scan, "--mask", mask), MISTAKE, "exists already")
    content = bytearray(out.read_bytes())
    content[len(content) // 2] ^= 1
    out.write_bytes(content)
    assert_one_line(reconstruct(tmp_path, scan), MISTAKE, "exists already")


def test_maps_of_another_restoration_are_not_replaced(tmp_path: Path) -> None:
    scan = write_scan(tmp_path / "s.nii.gz")
    assert reconstruct(tmp_path, scan, "--native").exit_code == 0
    write_scan(tmp_path / "out_std.nii.gz", tiny_voxels())

    refused = reconstruct(tmp_path, scan, "--native")

    assert_one_line(refused, MISTAKE, "out_std.nii.gz: exists already; pass --overwrite")


@pytest.mark.parametrize("name", ["s.nii.gz", "mask.nii.gz"])
def test_the_users_own_files_are_never_replaced(tmp_path: Path, name: str) -> None:
    scan = write_scan(tmp_path / "s.nii.gz")
    mask = write_scan(tmp_path / "mask.nii.gz", (tiny_voxels() > 0).astype(np.float32))
    before = {path: path.read_bytes() for path in (scan, mask)}
    pipeline, out = write_pipeline(tmp_path), tmp_path / name

    result = run("reconstruct", scan, "--mask", mask, "-p", pipeline, "-o", out, "--overwrite")

    assert_one_line(result, MISTAKE, name, "no posterior file", "choose another name")
    assert {path: path.read_bytes() for path in (scan, mask)} == before


def test_an_output_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    scan, pipeline = write_scan(tmp_path / "s.nii.gz"), write_pipeline(tmp_path)

    result = run("reconstruct", scan, "-p", pipeline, "-o", tmp_path / "no" / "out.h5")
    assert_one_line(result, MISTAKE, str(tmp_path / "no"))


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """Let no file grow beyond ``size`` bytes: a write fails as on a full disk."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_loses_nothing_and_the_next_run_finishes(tmp_path: Path) -> None:
    scan = write_scan(tmp_path / "s.nii.gz")
    whole = reconstruct(tmp_path, scan)
    assert whole.exit_code == 0, whole.output
    (tmp_path / "out.h5").rename(tmp_path / "whole.h5")

    with full_disk(60_000):
        result = reconstruct(tmp_path, scan)

    assert_one_line(result, FAILURE, "out.h5", "full")
    assert not (tmp_path / "out.h5").exists()
    assert reconstruct(tmp_path, scan).exit_code == 0
    assert_same_images(tmp_path / "whole.h5", tmp_path / "out.h5")


def assert_same_images(one: Path, other: Path) -> None:
    x, y = read(one, "posterior/image"), read(other, "posterior/image")
    assert np.abs(x - y).max() < 1e-5 * (x.max() - x.min())


class PressesCtrlC:
    """A prior that is interrupted at one of its calls."""

    def __init__(self, at: int) -> None:
        self.prior, self.calls, self.at = tiny_prior(), 0, at
        self.in_shape = self.prior.in_shape

    def __call__(self, *arguments: object) -> object:
        self.calls += 1
        if self.calls == self.at:
            raise KeyboardInterrupt
        return self.prior(*arguments)  # type: ignore[arg-type]

    def __getattr__(self, name: str) -> object:
        return getattr(self.prior, name)


def test_ctrl_c_leaves_no_half_file_and_the_next_run_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan = write_scan(tmp_path / "s.nii.gz")
    assert reconstruct(tmp_path, scan, baseline=None).exit_code == 0
    (tmp_path / "out.h5").rename(tmp_path / "whole.h5")
    with monkeypatch.context() as patch:
        use_prior(patch, PressesCtrlC(at=15))  # in the third batch of six calls

        result = reconstruct(tmp_path, scan, "--batch-size", 6, baseline=None)

    assert_one_line(result, FAILURE, "Stopped", "out.h5.part", "same command")
    assert not (tmp_path / "out.h5").exists()
    resumed = reconstruct(tmp_path, scan, "--batch-size", 6, baseline=None)
    assert resumed.exit_code == 0, resumed.output
    assert "resuming: 12 samples" in resumed.stdout
    assert_same_images(tmp_path / "whole.h5", tmp_path / "out.h5")


def test_a_real_ctrl_c_is_one_line_too(tmp_path: Path) -> None:
    changes = {"prior": "brain64-gaussian", "baseline": None, "batch_size": 2}
    pipeline = write_pipeline(tmp_path, **changes)
    out, part = tmp_path / "out.h5", tmp_path / "out.h5.part"
    command = [sys.executable, "-m", "uqrestore", "reconstruct", demo_scan_path()]
    with subprocess.Popen(
        [*command, "-p", pipeline, "-o", out, "--draws", "400"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
    ) as process:
        try:
            wait_for_writes(part, process)
            process.send_signal(signal.SIGINT)
            _, fields = process.communicate(timeout=60)
        finally:
            process.kill()

    assert process.returncode == FAILURE, fields
    assert fields.strip().startswith("Stopped.")
    assert len(fields.strip().splitlines()) == 1
    assert part.exists()
    assert not out.exists()


def wait_for_writes(path: Path, process: subprocess.Popen[str], count: int = 5) -> None:
    """Wait until a file has been written to several times."""
    seen: set[int] = set()
    deadline = time.monotonic() + 120
    while len(seen) < count:
        assert process.poll() is None
        assert time.monotonic() < deadline
        if path.exists():
            seen.add(path.stat().st_mtime_ns)
        time.sleep(0.01)


def test_a_fault_of_ours_asks_for_a_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> object:
        raise RuntimeError(f"wires crossed\nat {name}")

    monkeypatch.setattr("uqrestore.restoration.prior_cache.load_prior", broken)

    result = reconstruct(tmp_path, write_scan(tmp_path / "s.nii.gz"))

    assert_one_line(result, FAILURE, "RuntimeError", "wires crossed at tiny", "report")


# --- the other commands --------------------------------------------------------------------


def test_inspect_shows_a_sound_file_and_finds_a_flipped_byte(tmp_path: Path) -> None:
    assert reconstruct(tmp_path, write_scan(tmp_path / "s.nii.gz")).exit_code == 0
    path = tmp_path / "out.h5"

    sound = run("inspect", path)
    assert sound.exit_code == 0, sound.output
    assert "posterior" in sound.stdout
    content = bytearray(path.read_bytes())
    needle = read(path, "estimate/mmse")[0, ROWS // 2].tobytes()[:8]
    at = bytes(content).find(needle)
    content[at if at > 0 else len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    damaged = run("inspect", path)
    assert damaged.exit_code == FAILURE
    assert "out.h5" in damaged.stderr


def test_inspect_refuses_what_is_no_posterior_file(tmp_path: Path) -> None:
    (tmp_path / "x.h5").write_text("no")

    assert_one_line(run("inspect", tmp_path / "x.h5"), MISTAKE, "x.h5")
    assert_one_line(run("inspect", tmp_path / "gone.h5"), MISTAKE, "gone.h5")


@pytest.mark.parametrize(
    ("what", "name"),
    [
        ("operators", "masked_fourier"),
        ("methods", "ddnm"),
        ("priors", "ct64-prior"),
        ("backbones", "hdit"),
        ("pipelines", "brain-cs4-ssd"),
    ],
)
def test_list_knows_the_registries(what: str, name: str) -> None:
    result = run("list", what)

    assert result.exit_code == 0, result.output
    assert name in result.stdout


def test_a_benchmark_makes_a_table_and_a_report(tmp_path: Path) -> None:
    scan = write_scan(tmp_path / "s.nii.gz")
    bench = {
        "kind": "benchmark",
        "title": "tiny bench",
        "scan": str(scan),
        "slices": 2,
        "prior": "tiny",
        "operators": {"cartesian": PIPELINE["operator"]},
        "noise_std": [0.0, 0.1],
        "methods": {"ddnm 6": {"name": "ddnm", "steps": 6}},
        "draws": 4,
    }
    (tmp_path / "bench.yaml").write_text(yaml.safe_dump(bench))

    result = run("run", tmp_path / "bench.yaml", "-o", tmp_path / "bench.json")

    assert result.exit_code == 0, result.output
    for word in ("tiny bench", "zero-filled", "ddnm 6", "PSNR"):
        assert word in result.stdout
    rows = yaml.safe_load((tmp_path / "bench.json").read_text())["rows"]
    assert [(row["method"], row["noise_std"]) for row in rows] == [
        ("zero-filled", 0.0),
        ("ddnm 6", 0.0),
        ("zero-filled", 0.1),
        ("ddnm 6", 0.1),
    ]
    clean, noisy = rows[1], rows[3]
    assert clean["nfe"] == 6
    assert 0 <= clean["coverage"] <= 1
    assert "noise" in noisy["failed"], "ddnm is for noise-free data"
    other = run("run", tmp_path / "bench.yaml", "--draws", 5, "-o", tmp_path / "bench.json")
    assert_one_line(other, MISTAKE, "bench.json", "--overwrite")


def test_training_writes_weights_that_a_pipeline_can_name(tmp_path: Path) -> None:
    import h5py

    rng = np.random.default_rng(0)
    with h5py.File(tmp_path / "slices.h5", "w") as file:
        for split in ("train", "val"):
            file[f"{split}/brain"] = rng.integers(0, 255, (12, 16, 12), dtype=np.uint8)
    fields = {
        "kind": "train",
        "title": "tiny prior",
        "network": {"name": "hdit", "widths": [8, 16], "depths": [1, 1], "patch": 2}
        | {"head_width": 8, "cond_width": 8, "attention": ["neighborhood:3", "global"]},
        "data": {"files": ["slices.h5"], "shape": [1, 16, 12], "voxel_mm": 4.0},
        "batch": 4,
        "samples": 8,
        "validate_every": 8,
    }
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(fields))
    arguments = ("train", tmp_path / "small.yaml", "--data", tmp_path, "-o", tmp_path / "run")

    result = run(*arguments)

    assert result.exit_code == 0, result.output
    weights = tmp_path / "run" / "small.safetensors"
    assert str(weights) in result.stdout
    assert load_prior(str(weights)).in_shape == (1, 16, 12)
    longer = fields | {"samples": 16, "seed": 1}
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(longer))
    assert_one_line(run(*arguments), MISTAKE, "run", "seed")


def test_missing_training_data_is_named(tmp_path: Path) -> None:
    result = run("train", "train-brain-prior", "--data", tmp_path / "no", "-o", tmp_path / "run")

    assert_one_line(result, MISTAKE, str(tmp_path / "no"), "--data")


def test_maps_on_the_own_grid_of_some_draws_are_refused_before_any_is_made(
    tmp_path: Path,
) -> None:
    scan = write_scan(tmp_path / "scan.nii.gz")
    result = reconstruct(tmp_path, scan, "--resample", "--native", "--keep", "thin")
    assert_one_line(result, MISTAKE, "--native", "--keep thin", "--model-grid")
    assert not (tmp_path / "out.h5").exists()


def test_results_are_exported_as_plain_arrays(tmp_path: Path) -> None:
    path = write_example(tmp_path / "a.posterior.h5")
    result = run("export", path, "--array", tmp_path / "a.npz")
    assert result.exit_code == 0, result.output
    with np.load(tmp_path / "a.npz") as arrays:
        assert arrays["samples"].shape == (16, 20, 18, 5)
    assert_one_line(run("export", path, "--array", tmp_path / "a.npz"), MISTAKE, "exists")
    assert_one_line(run("export", path), MISTAKE, "--array")


def test_a_hostile_title_does_not_steer_the_terminal(tmp_path: Path) -> None:
    hostile = dataclasses.replace(example_plan(), title="\x1b[2J\x1b]0;owned\x07", unit="\x9b31m")
    path = write_plain(tmp_path / "a.posterior.h5", hostile)
    for result in (run("inspect", path), run("report", tmp_path / "\x1b[31m.h5")):
        assert result.output.replace("\n", "").isprintable(), result.output
