"""Log, lock and progress of a run, through kills and resumes."""

import csv
import subprocess
import sys
from pathlib import Path

import h5py
import pytest
from typer.testing import CliRunner

from tests.training.test_training import VAL, config, slices, source
from uqrestore.cli.app import app
from uqrestore.cli.terminal import ProgressLines
from uqrestore.networks.weights import load_json
from uqrestore.training.config import DataConfig
from uqrestore.training.data import DataError
from uqrestore.training.export import export
from uqrestore.training.log import LOCK, only_training
from uqrestore.training.loop import train
from uqrestore.training.stored import load_stored
from uqrestore.training.trainer import Trainer

EVERY = 16


def seen(folder: Path) -> list[int]:
    with (folder / "log.csv").open(newline="") as file:
        return [int(row["seen"]) for row in csv.DictReader(file)]


class KilledError(BaseException):
    """A kill that leaves no time to save."""


def killed_at(folder: Path, samples: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Train, and be killed after so many samples without saving."""
    step = Trainer.step

    def step_or_die(trainer: Trainer) -> float:
        if trainer.seen == samples:
            raise KilledError
        return step(trainer)

    with monkeypatch.context() as inside:
        inside.setattr(Trainer, "step", step_or_die)
        inside.setattr(Trainer, "save", lambda _: None)
        with pytest.raises(KilledError):
            train(config(validate_every=EVERY), source(), VAL, folder)


def test_a_killed_and_resumed_run_has_every_row_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(config(samples=40, validate_every=EVERY), source(), VAL, tmp_path / "run")
    assert seen(tmp_path / "run") == [16, 32, 40]
    killed_at(tmp_path / "run", 72, monkeypatch)
    assert seen(tmp_path / "run") == [16, 32, 40, 48, 64]
    train(config(validate_every=EVERY), source(), VAL, tmp_path / "run")
    assert seen(tmp_path / "run") == [16, 32, 40, 48, 64, 80, 96, 112, 128]
    weights = export(tmp_path / "run", "a", tmp_path, {})
    assert [row["seen"] for row in load_json(weights.with_suffix(".json"))["curve"]] == seen(
        tmp_path / "run"
    )


def test_a_run_killed_before_its_first_state_starts_its_log_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_at(tmp_path, 40, monkeypatch)
    assert seen(tmp_path) == [16, 32]
    train(config(samples=32, validate_every=EVERY), source(), VAL, tmp_path)
    assert seen(tmp_path) == [16, 32]


def test_a_resume_says_that_it_resumes(tmp_path: Path) -> None:
    lines: list[str] = []
    train(config(samples=48), source(), VAL, tmp_path, notify=lines.append)
    assert lines == []
    train(config(), source(), VAL, tmp_path, notify=lines.append)
    assert lines == [f"resuming {tmp_path} at 48 of 128 samples"]


HOLD = """
import sys
from pathlib import Path
from uqrestore.training.log import only_training
with only_training(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_training_in_the_folder_is_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert other.stdout is not None
    assert other.stdin is not None
    assert other.stdout.readline() == "held\n"
    with pytest.raises(ValueError, match="another process trains in this folder"):
        train(config(), source(), VAL, tmp_path)
    other.kill()  # leaves the file of the lock behind
    other.communicate()
    assert (tmp_path / LOCK).exists()
    train(config(samples=16), source(), VAL, tmp_path)
    assert not (tmp_path / LOCK).exists()
    with only_training(tmp_path):
        pass


def test_lines_come_every_minute_or_every_twentieth(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("uqrestore.cli.terminal.time.monotonic", lambda: now)
    lines = ProgressLines()
    assert not lines.due(0.04)
    assert lines.due(0.06)
    assert not lines.due(0.07)
    now = 61.0
    assert lines.due(0.08)
    assert lines.due(1.0)


YAML = """
kind: train
title: small
network: {name: hdit, patch: 2, widths: [16, 16], depths: [1, 1], attention: [global, global],
          head_width: 8, cond_width: 16}
data: {files: [a.h5], shape: [1, 8, 12], augment: none}
batch: 8
samples: 80
validate_every: 40
"""


def test_without_a_terminal_progress_is_lines(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["train/brain"] = file["val/brain"] = slices().numpy()[:, 0]
    (tmp_path / "small.yaml").write_text(YAML)
    arguments = ["train", str(tmp_path / "small.yaml"), "--data", str(tmp_path), "-o"]
    first = CliRunner().invoke(app, [*arguments, str(tmp_path / "run")])
    assert first.exit_code == 0, first.output
    lines = [line for line in first.output.splitlines() if " of 80, loss " in line]
    assert len(lines) == 10, "every step is more than a twentieth"
    assert "samples a second, 80 of 80, loss" in lines[-1]
    again = CliRunner().invoke(app, [*arguments, str(tmp_path / "run")])
    assert "resuming" in again.output


def test_a_variable_that_names_a_group_is_named(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["train/brain/t1"] = slices().numpy()[:, 0]
        file["train/flat"] = [1.0, 2.0]
    data = DataConfig(files=("a.h5",), shape=(1, 8, 12))
    with pytest.raises(DataError, match=r"train/brain is a group, .* \(in the group: t1\)"):
        load_stored(tmp_path, data, "train")
    flat = data.model_copy(update={"variable": "flat"})
    with pytest.raises(DataError, match=r"train/flat has shape \(2,\)"):
        load_stored(tmp_path, flat, "train")
    inside = data.model_copy(update={"variable": "brain/t1"})
    assert len(load_stored(tmp_path, inside, "train").slices) == 40
