"""The noise level at which nothing of an image is left to see."""

import math
from pathlib import Path

import h5py
import torch

from tests.training.test_training import SHAPE, config, slices
from uqrestore.networks.weights import load_json
from uqrestore.pipeline import TrainPipeline
from uqrestore.training.config import DataConfig
from uqrestore.training.data import to_network
from uqrestore.training.loss_config import LossConfig
from uqrestore.training.run import run_training
from uqrestore.training.sources import pure_noise_level


def test_it_is_ten_times_the_root_of_the_largest_variance() -> None:
    g = torch.Generator().manual_seed(0)
    one = torch.randn(1, 6, 5, generator=g)
    weight = 3 * torch.randn(20000, 1, 1, 1, generator=g)
    images = 0.2 + weight * one / one.norm() + 0.1 * torch.randn(20000, 1, 6, 5, generator=g)
    assert pure_noise_level(images) in {30, 31}
    exact = torch.linalg.eigvalsh(torch.cov(images.flatten(1).T)).max()
    assert pure_noise_level(images) == math.ceil(10 * exact.sqrt())


def test_identical_images_vanish_in_any_noise() -> None:
    assert pure_noise_level(torch.full((9, *SHAPE), 0.3)) == 1


def test_a_run_chooses_its_level_once(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["train/brain"] = file["val/brain"] = slices().numpy()[:, 0]
    data = DataConfig(files=("a.h5",), shape=SHAPE, augment="none")
    loss = LossConfig(pure_noise=0.5, choose_pure_noise=True)
    for samples in (8, 16):  # the second goes on with the first
        settings = config(samples=samples, data=data, loss=loss, validate_every=8).model_dump()
        pipeline = TrainPipeline(kind="train", title="small", **settings)
        run_training(pipeline.config, pipeline.title, "small", tmp_path, tmp_path / "run")
    chosen = load_json(tmp_path / "run" / "config.json")["loss"]["pure_noise_sigma"]
    assert abs(chosen - pure_noise_level(to_network(slices()))) <= 3
    assert chosen != 100
