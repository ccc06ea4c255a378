"""What a training may do besides: regression, TensorBoard, torch.compile."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.training.test_start import PROBLEM, conditional
from tests.training.test_training import SHAPE, VAL, config, source
from uqrestore.training.batch import draw_batch, operators_of
from uqrestore.training.data import step_generator
from uqrestore.training.loop import train
from uqrestore.training.loss_config import LossConfig
from uqrestore.training.trainer import Trainer


def test_regression_sees_pure_noise_alone_and_leaves_the_weighting(tmp_path: Path) -> None:
    settings = config(
        network=conditional(joint=[True, True], fdl_input="projected"),
        problem=PROBLEM,
        loss=LossConfig(regression=True),
    )
    draw = operators_of(PROBLEM, SHAPE)
    assert (draw_batch(settings, source(), draw, step_generator(0)).sigma == 100).all()
    trainer = Trainer.open(settings, source(), VAL, tmp_path, draw_operator=draw)
    losses = [trainer.step() for _ in range(30)]
    truth = draw_batch(settings, source(), draw, step_generator(0)).truth
    assert losses[0] == pytest.approx(float(truth.square().mean()), rel=0.3), "plain squared error"
    assert losses[-1] < 0.7 * losses[0]
    assert all(not p.any() for p in trainer.uncertainty.parameters()), "nothing to weigh"
    trainer.save()
    again = Trainer.open(settings, source(), VAL, tmp_path, draw_operator=draw)
    assert again.step() == trainer.step(), "resumes to the bit"


def test_tensorboard_gets_what_the_log_gets(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(config(), source(), VAL, tmp_path, tensorboard=True)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    header, *rows = (tmp_path / "log.csv").read_text().splitlines()
    assert set(events.Tags()["scalars"]) == set(header.split(","))
    shown = events.Scalars("val_0.5")
    assert [event.step for event in shown] == [64, 128]
    at = header.split(",").index("val_0.5")
    assert shown[1].value == pytest.approx(float(rows[1].split(",")[at]), rel=1e-6)


def test_tensorboard_that_is_not_there_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ImportError, match=r"pip install 'uqrestore\[tensorboard\]'"):
        train(config(), source(), VAL, tmp_path, tensorboard=True)


def test_the_network_is_compiled_where_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The compiler itself does not bear the annotations that are checked in tests."""
    calls = []

    def pretend(function: Callable[..., object], backend: str) -> Callable[..., object]:
        def run(*args: object) -> object:
            calls.append(backend)
            return function(*args)

        return run

    monkeypatch.setattr(torch, "compile", pretend)
    plain = Trainer.open(config(), source(), VAL, tmp_path / "plain")
    plain.step()
    assert not calls
    made = Trainer.open(config(compile="inductor"), source(), VAL, tmp_path / "compiled")
    made.step()
    assert calls == ["inductor"]
    state = made.denoiser.state_dict()
    assert all(torch.equal(state[k], v) for k, v in plain.denoiser.state_dict().items())


class Shifted:
    """A network whose answers are all off by the same image."""

    def __init__(self, network: Callable[..., tuple[Tensor, Tensor]], by: Tensor) -> None:
        self.network, self.by = network, by

    def __call__(self, *args: object) -> tuple[Tensor, Tensor]:
        clean, raw = self.network(*args)
        return clean + self.by, raw


@pytest.mark.parametrize("project", [False, True])
def test_a_projected_loss_asks_nothing_of_what_was_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, project: bool
) -> None:
    settings = config(
        network=conditional(joint=[True, True], fdl_input="projected"),
        problem=PROBLEM,
        loss=LossConfig(project=project),
    )
    draw = operators_of(PROBLEM, SHAPE)
    batch = draw_batch(settings, source(), draw, step_generator(settings.seed, 1, 0))
    assert batch.problem is not None
    seen = batch.truth - batch.problem.project_null(batch.truth)
    losses = []
    for shift in (0.0, 3.0):
        trainer = Trainer.open(settings, source(), VAL, tmp_path / str(shift), draw_operator=draw)
        monkeypatch.setattr(trainer, "network", Shifted(trainer.network, shift * seen))
        losses.append(trainer.step())
    assert losses[0] > 0
    assert (losses[1] == pytest.approx(losses[0], rel=1e-4)) is project
