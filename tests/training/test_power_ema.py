"""Averages of any width, made after the training."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from tests.training.test_training import VAL, config, source
from uqrestore.cli.app import app
from uqrestore.networks.weights import WeightsError, load_tensors, save_tensors
from uqrestore.training.config import PowerEmaConfig
from uqrestore.training.export import mean_weights
from uqrestore.training.loop import train
from uqrestore.training.power_ema import (
    FOLDER,
    PowerEma,
    exponent,
    relative_width,
    solve,
    synthesise,
)
from uqrestore.training.run import run_averaging
from uqrestore.zoo import load_card, load_prior

SNAPSHOTS = PowerEmaConfig(every=32)


@pytest.mark.parametrize(("width", "gamma"), [(0.05, 16.972), (0.10, 6.937), (0.20, 1.826)])
def test_width_and_exponent_say_the_same(width: float, gamma: float) -> None:
    assert exponent(width) == pytest.approx(gamma, abs=5e-4)
    assert relative_width(exponent(width)) == pytest.approx(width, rel=1e-9)


@pytest.mark.parametrize("width", [0.0, 0.3, -1.0])
def test_a_width_that_no_power_function_has_is_named(width: float) -> None:
    with pytest.raises(ValueError, match=r"between 0 and 0.288 of the run"):
        exponent(width)


def stored_profiles(count: int = 16) -> list[tuple[float, float]]:
    times = np.linspace(1, count, count) / count
    return [(exponent(width), float(t)) for t in times for width in (0.05, 0.1)]


def test_a_stored_profile_is_found_again() -> None:
    stored = stored_profiles()
    recipe = solve(stored, stored[-3])
    wanted = np.zeros(len(stored))
    wanted[-3] = 1
    np.testing.assert_allclose(recipe.weights, wanted, atol=1e-6)
    assert recipe.residual < 1e-6


@pytest.mark.parametrize(("width", "within"), [(0.07, 1e-6), (0.12, 1e-6), (0.2, 1e-4)])
def test_another_profile_averages_a_known_path_of_weights(width: float, within: float) -> None:
    r"""Of weights that move as tau^q, a profile makes (g + 1) / (g + 1 + q) t^q."""
    stored, target = stored_profiles(64), (exponent(width), 1.0)
    recipe = solve(stored, target)
    assert recipe.weights.sum() == pytest.approx(1)
    assert (recipe.weights**2).sum() < 1, "the rounding of snapshots does not grow"
    for q in (0.5, 1.0, 3.0):
        made = [(g + 1) / (g + 1 + q) * t**q for g, t in stored]
        wanted = (target[0] + 1) / (target[0] + 1 + q) * target[1] ** q
        assert recipe.weights @ made == pytest.approx(wanted, rel=within)


def test_more_snapshots_come_closer() -> None:
    few, many = (solve(stored_profiles(n), (exponent(0.15), 1.0)).residual for n in (4, 24))
    assert many < few / 4


def test_the_running_average_follows_its_profile() -> None:
    """Of weights that grow with time, after many small steps."""
    module = nn.Linear(1, 1, bias=False)
    module.weight.data.fill_(0.0)
    ema, steps = PowerEma(SNAPSHOTS, module), 2000
    for step in range(1, steps + 1):
        module.weight.data.fill_(step / steps)
        ema.update(module, seen=8 * step, batch=8)
    for gamma, average in zip(ema.gammas, ema.averages, strict=True):
        wanted = (gamma + 1) / (gamma + 2)
        assert average["weight"].item() == pytest.approx(wanted, rel=2e-3)


def test_the_first_step_forgets_the_random_start() -> None:
    module = nn.Linear(3, 2)
    ema = PowerEma(SNAPSHOTS, module)
    for parameter in module.parameters():
        parameter.data.fill_(7.0)
    ema.update(module, seen=8, batch=8)
    assert all((value == 7).all() for own in ema.averages for value in own.values())


def test_a_run_keeps_snapshots_and_an_average_is_a_model(tmp_path: Path) -> None:
    train(config(power_ema=SNAPSHOTS), source(), VAL, tmp_path / "whole")
    train(config(power_ema=SNAPSHOTS, samples=48), source(), VAL, tmp_path / "parts")
    train(config(power_ema=SNAPSHOTS), source(), VAL, tmp_path / "parts")
    files = sorted((tmp_path / "whole" / FOLDER).iterdir())
    assert len(files) == 2 * 4
    for path in files:
        again = load_tensors(tmp_path / "parts" / FOLDER / path.name)
        assert all(torch.equal(again[k], v) for k, v in load_tensors(path).items()), "to the bit"
    made, recipe = synthesise(tmp_path / "whole", 0.1)
    kept = load_tensors(files[-1])
    assert recipe.residual < 1e-6
    for name, value in kept.items():
        torch.testing.assert_close(made[name], value.float(), rtol=0, atol=1e-5)
    estimate = run_averaging(tmp_path / "whole", 0.15, tmp_path / "out", at=96)
    prior = load_prior(str(estimate.weights))
    assert prior.in_shape == VAL.shape[1:]
    assert estimate.residual < 0.2
    arguments = ["average", str(tmp_path / "whole"), "--width", "0.07", "-o", str(tmp_path / "cli")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "% of its length" in result.stdout
    assert load_card(str(tmp_path / "cli" / "whole-0.07.safetensors")).extra["average"] == {
        "sigma_rel": 0.07,
        "residual": pytest.approx(0.05, abs=0.05),
        "at": None,
    }


def test_a_run_without_snapshots_says_so(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="has no snapshots to average; train with power_ema"):
        synthesise(tmp_path, 0.1)
    result = CliRunner().invoke(app, ["average", str(tmp_path), "--width", "0.1", "-o", "out"])
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: ")
    assert len(result.stderr.splitlines()) == 1


def test_the_mean_of_runs_is_that_of_their_weights(tmp_path: Path) -> None:
    runs = [tmp_path / name for name in "abc"]
    for k, run in enumerate(runs):
        gaussian = torch.tensor([float(k)])
        weights = {"w": torch.tensor([1.0, k, k * k]), "network.linear_guess.mean": gaussian}
        save_tensors(run / "ema.safetensors", weights)
    found = mean_weights(runs)
    torch.testing.assert_close(found["w"], torch.tensor([1.0, 1.0, 5 / 3]))
    # Fitted, not trained: classes and directions of two models have no common order.
    assert found["network.linear_guess.mean"] == 2
    save_tensors(runs[1] / "ema.safetensors", {"w": torch.ones(2)})
    with pytest.raises(WeightsError, match=r"b: its network differs from that of .*a"):
        mean_weights(runs)
    with pytest.raises(WeightsError, match="no runs to average"):
        mean_weights([])
