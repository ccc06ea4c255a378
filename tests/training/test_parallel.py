"""Two processes train what one trains alone."""

from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from torch.multiprocessing.spawn import spawn

from tests.training.test_start import PROBLEM, conditional
from tests.training.test_training import SHAPE, VAL, config, source
from uqrestore.networks.weights import load_tensors
from uqrestore.training.batch import operators_of
from uqrestore.training.config import TrainConfig
from uqrestore.training.loop import train
from uqrestore.training.parallel import World


def settings() -> TrainConfig:
    network = conditional(joint=[True, True], fdl_input="projected", guess=3)
    return config(network=network, problem=PROBLEM, samples=48)


def run(rank: int, size: int, folder: str) -> None:
    torch.set_num_threads(1)
    if size > 1:
        rendezvous = f"file://{folder}/rendezvous"
        torch.distributed.init_process_group(
            "gloo", init_method=rendezvous, rank=rank, world_size=size
        )
    draw = operators_of(PROBLEM, SHAPE)
    train(settings(), source(), VAL, Path(folder) / "run", draw_operator=draw)
    if size > 1:
        torch.distributed.destroy_process_group()


def test_two_processes_give_the_weights_and_the_curve_of_one(tmp_path: Path) -> None:
    alone, both = tmp_path / "alone", tmp_path / "both"
    alone.mkdir()
    both.mkdir()
    run(0, 1, str(alone))
    spawn(run, (2, str(both)), nprocs=2)
    one = load_tensors(alone / "run" / "ema.safetensors")
    two = load_tensors(both / "run" / "ema.safetensors")
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-4, atol=1e-6)
    logs = [(folder / "run" / "log.csv").read_text().splitlines() for folder in (alone, both)]
    assert len(logs[0]) == len(logs[1]), "one process writes the log"
    losses = [float(log[-1].split(",")[1]) for log in logs]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_only_the_leading_process_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    follower = Mock(spec=World, rank=1, size=2, leads=False)
    follower.share.return_value = slice(2, 4)
    monkeypatch.setattr(World, "current", lambda: follower)
    draw = operators_of(PROBLEM, SHAPE)
    train(settings(), source(), VAL, tmp_path / "run", draw_operator=draw)
    assert not list((tmp_path / "run").iterdir())


def test_a_batch_that_cannot_be_shared_evenly_is_refused() -> None:
    assert World(1, 2).share(8) == slice(4, 8)
    with pytest.raises(ValueError, match="make batch a multiple of 3"):
        World(0, 3).share(8)
