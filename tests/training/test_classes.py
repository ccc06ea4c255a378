"""Classes of slices by height: read, hidden from some, learned, asked for."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from torch import Tensor

from tests.training.test_training import SHAPE, VAL, config
from uqrestore.methods import METHODS
from uqrestore.noise import SampleNoise
from uqrestore.operators import Zero
from uqrestore.problem import Problem
from uqrestore.training.batch import draw_batch, height_label
from uqrestore.training.config import DataConfig, NetworkConfig, OptimiserConfig
from uqrestore.training.data import Drawn, step_generator
from uqrestore.training.loss_config import LossConfig
from uqrestore.training.stored import load_stored
from uqrestore.training.trainer import Trainer

DATA = DataConfig(shape=SHAPE, augment="none", heights=2, label_dropout=0.2)


def two_kinds(count: int, generator: torch.Generator) -> Drawn:
    """Dark slices below, bright slices above."""
    height = torch.rand(count, generator=generator)
    level = torch.where(height < 0.5, -0.6, 0.6)
    return Drawn(level[:, None, None, None].expand(count, *SHAPE).clone(), height)


def labelled(**changes: Any) -> Any:  # noqa: ANN401
    network = NetworkConfig.model_validate({**config().network.model_dump(), "labels": 2})
    return config(network=network, data=DATA, **changes)


def test_bins_are_even_and_what_is_not_known_has_none() -> None:
    height = torch.tensor([0.0, 0.12, 0.13, 0.99, 1.0, float("nan")])
    assert height_label(height, 8).tolist() == [0, 0, 1, 7, 7, 8]


def test_labels_are_hidden_at_their_share() -> None:
    settings = labelled(batch=4000)
    batch = draw_batch(settings, two_kinds, None, step_generator(0))
    assert batch.label is not None
    hidden = batch.label == 2
    assert float(hidden.float().mean()) == pytest.approx(0.2, abs=0.02)
    bright = batch.truth[:, 0, 0, 0] > 0
    assert torch.equal(batch.label[~hidden], bright[~hidden].long())


def test_heights_are_read_between_the_ends_of_each_subject(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        group = file.create_group("train")
        group["brain"] = np.zeros((5, *SHAPE[1:]), np.uint8)
        group["z_index"] = np.array([10, 20, 30, 5, 6])
        group["subject"] = np.array(["a", "a", "a", "b", "b"], dtype=h5py.string_dtype())
    found = load_stored(tmp_path, DataConfig(files=("a.h5",), shape=SHAPE), "train")
    assert found.height.tolist() == [0.0, 0.5, 1.0, 0.0, 1.0]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trainer:
    """Two kinds of slices, learned in a second or two."""
    settings = labelled(
        samples=4096,
        batch=16,
        optimiser=OptimiserConfig(lr=5e-3, warmup=64),
        loss=LossConfig(log_mean=1.0, log_std=1.0),
    )
    trainer = Trainer.open(settings, two_kinds, VAL, tmp_path_factory.mktemp("classes"))
    while trainer.seen < settings.samples:
        trainer.step()
    trainer.ema.eval()
    return trainer


def levels(trainer: Trainer, **options: object) -> Tensor:
    """Mean levels of draws without any measurement."""
    zero = Zero(SHAPE)
    problem = Problem(zero, torch.zeros(zero.out_shape))
    noise = SampleNoise(0, range(12))
    prior = _Blind(trainer)
    drawn = METHODS["conditional"](
        problem, prior, noise, steps=12, sampler="dpmpp_2m", sigma_min=0.05, **options
    )
    return drawn.mean((-3, -2, -1))


class _Blind:
    """The prior as a method calls it, whatever was measured."""

    in_shape = SHAPE

    def __init__(self, trainer: Trainer) -> None:
        self._denoiser = trainer.ema

    def __call__(self, x: Tensor, sigma: Tensor, _: object = None, label: object = None) -> Tensor:
        return self._denoiser(x, sigma, None, label)  # type: ignore[arg-type]


def test_a_class_that_is_asked_for_is_drawn(trained: Trainer) -> None:
    assert (levels(trained, label=0) < -0.2).all()
    assert (levels(trained, label=1) > 0.2).all()
    plain = levels(trained)
    assert plain.min() < -0.2
    assert plain.max() > 0.2, "without a label there are both"


def test_what_guidance_amplifies_is_there(trained: Trainer) -> None:
    """At a noise level that leaves the class in doubt, a label moves estimates to its side."""
    noise = torch.randn(64, *SHAPE, generator=torch.Generator().manual_seed(0))
    x, sigma = 5 * noise, torch.tensor(5.0)
    with torch.no_grad():
        plain = trained.ema(x, sigma).mean()
        wanted = trained.ema(x, sigma, label=torch.tensor(1)).mean()
        other = trained.ema(x, sigma, label=torch.tensor(0)).mean()
    assert wanted > plain + 0.1 > other + 0.2
    apart = levels(trained, label=1, guidance=2.0) - levels(trained, label=1)
    assert apart.abs().max() > 1e-3


def test_labels_of_the_network_and_of_the_data_go_together(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"network.labels is 0 but data.heights is 2"):
        Trainer.open(config(data=DATA), two_kinds, VAL, tmp_path)
