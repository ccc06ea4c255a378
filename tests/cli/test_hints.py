"""Every hint of a message names something that exists and works for the input at hand."""

import ast
import functools
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
from typer.testing import CliRunner, Result

import uqrestore
from tests.front import SHAPE, tiny_prior, use_prior, write_pipeline, write_scan
from tests.scans.rawfiles import write_ismrmrd
from uqrestore.cli.app import app
from uqrestore.methods import METHODS
from uqrestore.noise import SampleNoise
from uqrestore.operators import CoilFourier, Inpainting, LinearOperator
from uqrestore.pipeline import RestorePipeline, change, list_pipelines, load_pipeline
from uqrestore.problem import simulate
from uqrestore.restoration.options import RunOptions
from uqrestore.restoration.restore import restore
from uqrestore.scans import read_input

PACKAGE = Path(uqrestore.__file__).parent
ELSEWHERE = {"--raw"}  # options of other programs
READING = {"--resample", "--mask", "--volume", "--allow-gaps"}  # what reading a scan may ask for


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def options_of(command: str) -> set[str]:
    group: Any = typer.main.get_command(app)
    return {name for option in group.commands[command].params for name in option.opts}


def messages() -> Iterator[tuple[Path, str]]:
    """Yield every string of the package outside of docstrings, with its file."""
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Raise):
                for inner in ast.walk(node):
                    if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
                        yield path.relative_to(PACKAGE), inner.value


def test_every_option_that_a_message_names_exists() -> None:
    group: Any = typer.main.get_command(app)
    known = {name for command in group.commands for name in options_of(command)} | ELSEWHERE
    named = {(path, o) for path, text in messages() for o in re.findall(r"--[a-z][a-z-]+", text)}
    assert len(named) > 20
    outside = {"dask scheduler": "--scheduler-file"}.values()
    assert not sorted((p, o) for p, o in named if o not in known and o not in outside)


@pytest.mark.parametrize("command", ["reconstruct", "batch", "evaluate", "calibrate", "fit-axial"])
def test_every_command_that_reads_scans_has_the_options_that_reading_asks_for(command: str) -> None:
    assert options_of(command) >= READING


@pytest.mark.parametrize("command", ["reconstruct", "batch", "evaluate", "calibrate"])
def test_every_command_that_restores_has_the_same_options(command: str) -> None:
    shared = {"--slices", "--draws", "--seed", "--batch-size", "--device", "--memory"}
    shared |= {"--noise-std", "--coils", "--reference"}  # what raw k-space may ask for
    assert options_of(command) >= shared


def brain_like() -> torch.Tensor:
    return tiny_prior().draw(SampleNoise(0, [0], slices=[0]))[0].float()


def multi_coil() -> LinearOperator:
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(3, *SHAPE[1:], dtype=torch.complex64, generator=generator)
    maps = maps / maps.abs().square().sum(0).sqrt()
    mask = torch.rand(SHAPE[1:], generator=generator) < 0.5
    return CoilFourier(mask=mask, maps=maps, phase=torch.zeros(SHAPE[1:]))


def missing_pixels() -> LinearOperator:
    return Inpainting((torch.rand(SHAPE, generator=torch.Generator().manual_seed(1)) < 0.5).float())


@pytest.mark.parametrize("noise_std", [0.0, 0.05])
@pytest.mark.parametrize("operator", [multi_coil, missing_pixels])
@pytest.mark.parametrize("method", METHODS)
def test_a_method_that_is_suggested_instead_works_for_the_same_problem(
    method: str, operator: Callable[[], LinearOperator], noise_std: float
) -> None:
    refusal = refusal_of(method, operator, noise_std)
    suggested = set(re.findall(r"'(\w+)'", refusal)) & set(METHODS)
    assert suggested or not refusal or method == "conditional", refusal
    for name in suggested:
        assert not refusal_of(name, operator, noise_std), name


@functools.cache
def refusal_of(method: str, operator: Callable[[], LinearOperator], noise_std: float) -> str:
    """Return why a method refuses a problem; empty where it makes finite images of it.

    A warning that draws may be far off counts as a refusal.
    """
    noise = SampleNoise(1, [0], slices=[0])
    problem = simulate(operator(), brain_like(), noise_std=noise_std, noise=noise)
    prior = tiny_prior()
    denoiser: Any = lambda x, sigma, *_: prior(x, sigma)  # noqa: E731
    denoiser.in_shape = SHAPE
    try:
        images = METHODS[method](problem, denoiser, SampleNoise(2, range(2), slices=[0]))
    except (ValueError, FloatingPointError, UserWarning) as error:
        return str(error)
    assert torch.isfinite(images).all(), method
    return ""


def test_raw_k_space_with_the_default_pipeline_leads_to_one_that_restores_it(
    tmp_path: Path,
) -> None:
    rows, columns = 24, 20
    y, x = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j]
    image = np.where(x**2 + y**2 < 0.6, 100 + 30 * np.cos(5 * x) * np.cos(4 * y), 0)
    voxels = np.stack([image, image], axis=-1)
    affine = np.diag([1.5, 1.5, 3.0, 1.0])
    lines = np.ones(columns, bool)
    lines[::5] = False
    lines[columns // 2 - 4 : columns // 2 + 4] = True
    scan = write_ismrmrd(tmp_path / "a.mrd", voxels, affine, lines, 0.5, 4)

    refused = run("reconstruct", scan, "-o", tmp_path / "a.posterior.h5")

    assert refused.exit_code == 2
    [name] = re.findall(r"--pipeline ([\w-]+)", refused.stderr)
    assert name in list_pipelines()
    pipeline = load_pipeline(name, RestorePipeline)
    fast = change(
        pipeline, draws=2, components=0, method={"name": pipeline.method.name, "levels": 3}
    )
    restore(fast, read_input(scan), tmp_path / "a.posterior.h5", RunOptions(slices=1))


def test_an_image_without_an_operator_leads_to_a_pipeline_that_has_one(tmp_path: Path) -> None:
    scan = write_scan(tmp_path / "s.nii.gz")
    refused = run("reconstruct", scan, "-p", "raw-brain", "-o", tmp_path / "o.h5")
    [name] = re.findall(r"--pipeline ([\w-]+)", refused.stderr)
    assert load_pipeline(name, RestorePipeline).operator is not None


def test_reconstruct_says_what_it_reached_and_what_to_do_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_prior(monkeypatch, tiny_prior())
    out = tmp_path / "my scan.posterior.h5"
    done = run(
        "reconstruct", write_scan(tmp_path / "s.nii.gz"), "-p", write_pipeline(tmp_path), "-o", out
    )
    assert done.exit_code == 0, done.output
    psnr = r"PSNR inside the brain mask: zero-filled [\d.]+, .*mean [\d.]+ dB"
    assert re.search(psnr, done.stdout)
    [command] = re.findall(r"\d+ s; now: uqrestore (.*)", done.stdout)
    following = run(*shlex.split(command))
    assert following.exit_code == 0, following.output
    assert (tmp_path / "my scan.report.html").exists()


def test_list_alone_names_everything() -> None:
    listed = run("list")
    assert listed.exit_code == 0, listed.output
    for name in ("ddnm_plus", "masked_fourier", "brain64-prior", "hdit", "raw-brain"):
        assert name in listed.stdout


def test_a_name_cannot_send_commands_to_the_terminal(tmp_path: Path) -> None:
    hostile = tmp_path / "a\x1b]0;gone\x07\x1b[31m.nii.gz"
    result = run("reconstruct", hostile, "-o", tmp_path / "o.h5")
    assert result.exit_code == 2
    assert "\x1b" not in result.output + result.stderr
    assert "\x07" not in result.output + result.stderr
    assert "a?]0;gone" in result.stderr


DEEP = "[" * 100_000 + "]" * 100_000


def test_json_that_is_nested_too_deeply_is_one_line(tmp_path: Path) -> None:
    weights = tmp_path / "deep.safetensors"
    weights.write_bytes(b"")
    weights.with_suffix(".json").write_text(DEEP)
    (tmp_path / "guarantee.json").write_text(DEEP)
    (tmp_path / "table.json").write_text(DEEP)
    scan, out = write_scan(tmp_path / "s.nii.gz"), tmp_path / "o.h5"
    deep = write_pipeline(tmp_path, prior=str(weights), baseline=None)
    guarantee = tmp_path / "guarantee.json"
    for arguments in (
        ("reconstruct", scan, "-p", deep, "-o", out),
        ("reconstruct", scan, "-p", "brain-cs4-ssd", "-o", out, "--guarantee", guarantee),
        ("benchmark", "brain-methods", "-o", tmp_path / "table.json"),
    ):
        result = run(*arguments)
        assert result.exit_code == 2, result.output
        assert len(result.stderr.strip().splitlines()) == 1
        assert "fault of uqrestore" not in result.stderr


def test_a_missing_extra_is_a_mistake_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_prior(monkeypatch, tiny_prior())
    monkeypatch.setitem(sys.modules, "sigpy", None)
    pipeline = write_pipeline(tmp_path, baselines=["total_variation"])
    scan, out = write_scan(tmp_path / "scan.nii.gz"), tmp_path / "out.h5"
    result = run("reconstruct", scan, "-p", pipeline, "-o", out)
    assert result.exit_code == 2
    line = "Error: total_variation needs sigpy: pip install 'uqrestore[mri]'."
    assert result.stderr.strip() == line
    assert not out.exists()
