"""Training: resumes to the bit, refuses what it cannot use, learns."""

import csv
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from torch import Tensor

from uqrestore.networks.weights import WeightsError, load_tensors, save_tensors
from uqrestore.training.config import DataConfig, NetworkConfig, OptimiserConfig, TrainConfig
from uqrestore.training.data import (
    DataError,
    Source,
    Stored,
    augment,
    slices_source,
    step_generator,
    to_network,
)
from uqrestore.training.loop import train
from uqrestore.training.stored import load_slices
from uqrestore.training.trainer import Trainer

SHAPE = (1, 8, 12)


def config(**changes: object) -> TrainConfig:
    base = TrainConfig(
        network=NetworkConfig.model_validate(
            {
                "name": "hdit",
                "patch": 2,
                "widths": [16, 16],
                "depths": [1, 1],
                "attention": ["global", "global"],
                "head_width": 8,
                "cond_width": 16,
            }
        ),
        data=DataConfig(shape=SHAPE, augment="none"),
        optimiser=OptimiserConfig(lr=3e-3, warmup=64),
        batch=8,
        samples=128,
        ema=100,
        validate_every=64,
    )
    return base.model_copy(update=changes)


def slices(count: int = 40) -> Tensor:
    """Bright boxes on a dark ground, as bytes."""
    g = torch.Generator().manual_seed(0)
    images = torch.zeros(count, *SHAPE, dtype=torch.uint8)
    for image in images:
        row, column = (int(torch.randint(n, (1,), generator=g)) for n in (5, 8))
        image[:, row : row + 3, column : column + 4] = 220
    return images


VAL = to_network(slices(8))


def source() -> Source:
    return slices_source(Stored.of(slices()), config().data)


def test_a_resumed_run_is_the_uninterrupted_one_to_the_bit(tmp_path: Path) -> None:
    whole = train(config(), source(), VAL, tmp_path / "whole")
    train(config(samples=48), source(), VAL, tmp_path / "parts")
    parts = train(config(), source(), VAL, tmp_path / "parts")
    a, b = load_tensors(whole), load_tensors(parts)
    assert a.keys() == b.keys()
    assert all(torch.equal(a[k], b[k]) for k in a)


def test_training_learns(tmp_path: Path) -> None:
    train(config(samples=2400, validate_every=1200), source(), VAL, tmp_path)
    with (tmp_path / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["seen"]) for row in rows] == [1200, 2400]
    assert float(rows[-1]["val_0.5"]) < 0.6, "an untrained network stands at about 1 or above"


def test_a_run_of_another_configuration_is_not_resumed(tmp_path: Path) -> None:
    train(config(samples=16), source(), VAL, tmp_path)
    with pytest.raises(ValueError, match="holds a run whose seed differ"):
        train(config(samples=16, seed=1), source(), VAL, tmp_path)


def test_a_step_that_is_not_finite_is_refused_and_counted(tmp_path: Path) -> None:
    trainer = Trainer.open(config(), source(), VAL, tmp_path)
    weight = next(trainer.denoiser.parameters())
    before = [p.detach().clone() for p in trainer.denoiser.parameters()]
    good = weight.detach().clone()
    weight.data.fill_(float("inf"))
    assert np.isnan(trainer.step())
    assert trainer.refused == 1
    weight.data.copy_(good)
    assert all(map(torch.equal, before, trainer.denoiser.parameters()))
    trainer.step()
    weight.data.fill_(float("inf"))
    for _ in range(9):
        trainer.step()
    with pytest.raises(FloatingPointError, match="10 steps in a row were not finite"):
        trainer.step()


def test_the_step_size_rises_then_falls_as_one_over_the_root() -> None:
    rule = OptimiserConfig(lr=1.0, warmup=100, decay_from=1000)
    assert [rule.rate(n) for n in (0, 50, 100, 1000, 4000)] == [0, 0.5, 1, 1, 0.5]


def test_constant_weights_stay_constant_in_the_average(tmp_path: Path) -> None:
    trainer = Trainer.open(config(), source(), VAL, tmp_path)
    trainer.seen = 800
    trainer._average()
    for ours, theirs in zip(trainer.ema.parameters(), trainer.denoiser.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_augmentation_keeps_range_shape_and_its_seed() -> None:
    images = to_network(slices(16))
    changed = augment(images, step_generator(0, 1))
    assert changed.shape == images.shape
    assert changed.min() >= -1
    assert changed.max() <= 1
    assert torch.equal(changed, augment(images, step_generator(0, 1)))
    assert not torch.equal(changed, augment(images, step_generator(0, 2)))


def test_bytes_become_network_units() -> None:
    assert to_network(torch.tensor([[[[0, 255]]]], dtype=torch.uint8)).tolist() == [[[[-1, 1]]]]


def test_slices_are_read_with_their_scale(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        stored = file.create_dataset("train/brain", data=np.full((3, 8, 12), 1000, np.uint16))
        stored.attrs["scale_factor"] = 5e-4
    found = load_slices(tmp_path, DataConfig(files=("a.h5",), shape=SHAPE), "train")
    assert found.shape == (3, *SHAPE)
    assert (found == 128).all()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        (b"nonsense", "not a readable HDF5 file"),
        ((2, 5, 5), r"slices have shape \(1, 5, 5\) but data.shape asks for \(1, 8, 12\)"),
        ((0,), "no slices of variable 'brain'"),
    ],
)
def test_data_that_cannot_be_used_are_named(
    content: bytes | tuple[int, ...] | None, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.h5"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        with h5py.File(path, "w") as file:
            if content != (0,):
                file["train/brain"] = np.zeros(content, np.uint8)
    with pytest.raises(DataError, match=message):
        load_slices(tmp_path, DataConfig(files=("a.h5",), shape=SHAPE), "train")


def test_a_truncated_file_of_weights_is_named(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_tensors(path, {"a": torch.zeros(100)})
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(WeightsError, match="not a whole safetensors file"):
        load_tensors(path)
