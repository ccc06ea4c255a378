"""``uqrestore train`` with ``measurements``: simulated ones, and raw scans."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

from tests.scans.rawfiles import write_ismrmrd
from tests.training.test_log import slices
from uqrestore.cli.app import app
from uqrestore.pipeline import TrainPipeline, load_pipeline
from uqrestore.restoration.measured_scans import measurements_of_scans
from uqrestore.scans import ScanError
from uqrestore.zoo import load_card, load_prior

NETWORK = """
kind: train
title: small
network: {name: hdit, patch: 2, widths: [16, 16], depths: [1, 1], attention: [global, global],
          head_width: 8, cond_width: 16}
batch: 8
samples: 16
"""
SIMULATED = (
    NETWORK
    + """
data: {files: [a.h5], shape: [1, 8, 12], augment: none}
measurements:
  simulate: {name: cartesian_kspace, accelerations: [2], noise_std: 0.05, count: 40}
  method: {name: moment_matching, steps: 2, products: 1}
  rounds: 2
  gaussian_rounds: 1
  rank: 4
"""
)
SCANS = (
    NETWORK
    + """
data: {shape: [2, 32, 32], windows_of: [64, 64], augment: none}
measurements:
  scans: ["*.h5"]
  method: {name: moment_matching, steps: 2, products: 1}
  rounds: 1
start: PRIOR
"""
)


def run(recipe: Path, data: Path, out: Path) -> str:
    result = CliRunner().invoke(app, ["train", str(recipe), "--data", str(data), "-o", str(out)])
    assert result.exit_code == 0, result.output
    return result.output


def test_simulated_measurements_give_a_prior_with_its_card(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["train/brain"] = file["val/brain"] = slices().numpy()[:, 0]
    (tmp_path / "small.yaml").write_text(SIMULATED)
    output = run(tmp_path / "small.yaml", tmp_path, tmp_path / "run")
    assert "round 2 of 2: 40 measurements restored" in output
    weights = tmp_path / "run/small.safetensors"
    assert load_prior(str(weights)).in_shape == (1, 8, 12)
    assert "resuming" in run(tmp_path / "small.yaml", tmp_path, tmp_path / "run")


def test_raw_scans_fit_a_prior_of_windows_to_themselves(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = np.abs(rng.standard_normal((36, 34, 16))) * 100
    lines = rng.random(34) < 0.5
    lines[9:25] = True
    for name in ("one.h5", "two.h5"):
        write_ismrmrd(tmp_path / name, images, np.eye(4), lines, 0.1, 2)
    (tmp_path / "notes.h5").write_text("no scan")
    prior = tmp_path / "start.yaml"
    prior.write_text(
        NETWORK + "data: {shape: [2, 32, 32], windows_of: [64, 64], augment: none, "
        "complex_windows: [{file: w.h5}]}\n"
    )
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file["train/head"] = file["val/head"] = rng.integers(0, 255, (4, 64, 64), dtype=np.uint8)
    run(prior, tmp_path, tmp_path / "prior")
    (tmp_path / "w.h5").unlink()
    start = tmp_path / "prior/start.safetensors"
    recipe = tmp_path / "fit.yaml"
    recipe.write_text(SCANS.replace("PRIOR", str(start)))
    output = run(recipe, tmp_path, tmp_path / "fit")
    assert "notes.h5: " in output
    assert "round 1 of 1: 32 measurements restored" in output
    weights = tmp_path / "fit/fit.safetensors"
    card = load_card(str(weights))
    assert card.of_windows
    assert card.voxel_size is None
    problems = measurements_of_scans(tmp_path, ["one.h5"], str(start))
    assert problems[0].in_shape == (2, 34, 36)
    assert bool(problems[0].is_noisy)


def test_nothing_to_learn_from(tmp_path: Path) -> None:
    with pytest.raises(ScanError, match=r"no raw scan of measurements.scans \(\*.h5\)"):
        measurements_of_scans(tmp_path, ["*.h5"], "mr-windows")
    (tmp_path / "fit.yaml").write_text(SCANS.replace("start: PRIOR\n", ""))
    arguments = ["train", str(tmp_path / "fit.yaml"), "--data", str(tmp_path), "-o", "out"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert "by start the prior that the first round draws with" in result.output.replace("\n", " ")


def test_the_recipe_that_ships() -> None:
    recipe = load_pipeline("learn-from-scans", TrainPipeline)
    assert recipe.config.measurements is not None
    assert str(recipe.config.start).endswith("mr-windows.safetensors")
