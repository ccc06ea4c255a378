"""Learning from measurements: Gaussian cases of known answer, runs that stop and go on."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from uqrestore.diffusion.denoiser import FunctionDenoiser
from uqrestore.networks.weights import load_tensors
from uqrestore.noise import SampleNoise
from uqrestore.operators import Identity, Inpainting
from uqrestore.operators.random.medical import CartesianKSpace
from uqrestore.priors.gaussian import gaussian_field
from uqrestore.problem import Problem, simulate
from uqrestore.training.config import MeasurementsConfig, TrainConfig
from uqrestore.training.measurements import (
    blocks,
    draws_source,
    gaussian_from_measurements,
    learn_from_measurements,
    measurements_of,
)

SHAPE = (1, 4, 6)
COUNT = 96


def truths(count: int = COUNT) -> Tensor:
    return gaussian_field(SHAPE).draw(SampleNoise(0, [0], slices=range(count)))[0].float()


def config(**more: object) -> TrainConfig:
    return TrainConfig.model_validate(
        {
            "network": {"name": "hdit", "patch": 2, "widths": [8], "depths": [1]}
            | {"attention": ["global"], "head_width": 8, "cond_width": 8},
            "data": {"shape": SHAPE, "augment": "none"},
            "measurements": {"rounds": 2, "gaussian_rounds": 2, "rank": 8}
            | {"method": {"name": "moment_matching", "steps": 3, "products": 1}},
            "samples": 64,
            "batch": 16,
            **more,
        }
    )


def measured(seed: int = 0) -> list[Problem]:
    return measurements_of(truths(), CartesianKSpace(SHAPE, (2,)), 0.1, seed)


def test_everything_measured_gives_the_covariance_of_the_images_back() -> None:
    """With all pixels seen in noise, the maximum of the likelihood is known: S - s^2 I."""
    count, noise_std, shape = 600, 0.2, (1, 3, 2)
    x = gaussian_field(shape).draw(SampleNoise(0, [0], slices=range(count)))[0].float()
    noise = SampleNoise(1, [0], slices=range(count))
    problem = simulate(Identity(shape), x, noise_std=noise_std, noise=noise)
    plan = MeasurementsConfig(gaussian_rounds=8, rank=5)
    found = gaussian_from_measurements(list(blocks([problem])), plan)
    rows = found.factors.double().flatten(1)
    covariance = rows.mT @ rows + found.tau * torch.eye(6)
    y = problem.y.double().flatten(1)
    wanted = torch.cov(y.mT) - noise_std**2 * torch.eye(6)
    assert (covariance - wanted).norm() < 0.15 * wanted.norm()
    assert (found.mean.double().flatten() - y.mean(0)).norm() < 0.1


def test_masks_that_differ_bring_back_what_no_single_one_sees() -> None:
    count, shape = 600, (1, 3, 2)
    x = gaussian_field(shape).draw(SampleNoise(0, [0], slices=range(count)))[0].float()
    seen = torch.rand(count, *shape, generator=torch.Generator().manual_seed(2)) < 0.5
    seen[..., 0, 0] = True
    noise = SampleNoise(1, [0], slices=range(count))
    problem = simulate(Inpainting(seen), x, noise_std=0.05, noise=noise)
    plan = MeasurementsConfig(gaussian_rounds=8, rank=5)
    found = gaussian_from_measurements(list(blocks([problem])), plan)
    rows = found.factors.double().flatten(1)
    covariance = rows.mT @ rows + found.tau * torch.eye(6)
    wanted = gaussian_field(shape).covariance
    hidden = torch.cov(problem.operator.pinv(problem.y).double().flatten(1).mT)
    assert (covariance - wanted).norm() < 0.2 * wanted.norm()
    assert (hidden - wanted).norm() > 0.5 * wanted.norm()


def test_a_stopped_run_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    whole = learn_from_measurements(config(), measured(), tmp_path / "whole").read_bytes()
    calls = []

    def stop(number: int, done: int, count: int) -> None:
        calls.append((number, done, count))
        if number == 2 and done < count:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learn_from_measurements(config(), measured(), tmp_path / "parts", restored=stop)
    assert calls == [(1, 64, COUNT), (1, COUNT, COUNT), (2, 64, COUNT)]
    again = learn_from_measurements(config(), measured(), tmp_path / "parts")
    assert again.read_bytes() == whole


def test_draws_of_later_rounds_have_an_error_model(tmp_path: Path) -> None:
    plan = {"rounds": 2, "gaussian_rounds": 2, "rank": 8}
    method = {"name": "fitted_gaussian", "levels": 3, "iterations": 5}
    learn_from_measurements(config(measurements={**plan, "method": method}), measured(), tmp_path)
    files = sorted((tmp_path / "round-2" / "draws").glob("*.safetensors"))
    drawn = torch.cat([load_tensors(file)["draws"] for file in files])
    assert drawn.shape == (COUNT, *SHAPE)
    assert torch.isfinite(drawn).all()


def test_another_run_of_the_folder_is_refused(tmp_path: Path) -> None:
    learn_from_measurements(config(), measured(), tmp_path)
    with pytest.raises(ValueError, match=r"holds a run whose sha256 differ.*another output folder"):
        learn_from_measurements(config(), measured(1), tmp_path)
    other = config(measurements={"rounds": 2, "gaussian_rounds": 3, "rank": 8})
    with pytest.raises(ValueError, match=r"holds a run whose measurements differ"):
        learn_from_measurements(other, measured(), tmp_path)
    weights = tmp_path / "round-2" / "ema.safetensors"
    with pytest.raises(ValueError, match=r"holds a run whose start differ"):
        learn_from_measurements(config(start=str(weights)), measured(), tmp_path)


def test_first_prior_of_windows_serves_slices_of_other_sizes(tmp_path: Path) -> None:
    """Slices of 9 x 11 pixels, a prior and a network of windows of 4 x 6."""
    large = (1, 9, 11)
    x = gaussian_field(large).draw(SampleNoise(0, [0], slices=range(COUNT)))[0].float()
    seen = torch.rand(COUNT, *large, generator=torch.Generator().manual_seed(2)) < 0.5
    problem = simulate(Inpainting(seen), x, noise_std=0.1, seed=0)
    first = FunctionDenoiser(lambda u, sigma: u / (1 + sigma**2), SHAPE)
    one = config()
    weights = learn_from_measurements(one, [problem], tmp_path, first=first)
    assert weights.exists()
    drawn = draws_source([torch.zeros(large), torch.ones(large)], one)(8, torch.Generator())
    assert tuple(drawn.shape) == (8, *SHAPE)  # type: ignore[union-attr]


def test_too_few_and_shapes_that_differ(tmp_path: Path) -> None:
    few = measured()[0].select(range(8))
    with pytest.raises(ValueError, match=r"8 measurements; give at least 32"):
        learn_from_measurements(config(), [few], tmp_path)
    plan = MeasurementsConfig(rank=200)
    with pytest.raises(ValueError, match=r"96 measurements.*lower measurements.rank"):
        gaussian_from_measurements(list(blocks(measured())), plan)


def test_measurements_are_the_same_each_time_and_masks_differ() -> None:
    one, other = measured(), measured()
    assert all(torch.equal(a.y, b.y) for a, b in zip(one, other, strict=True))
    masks = (one[0].y != 0).double()
    assert len(torch.unique(masks.flatten(1), dim=0)) > 3
    assert replace(one[0], noise_std=0.0).noise_std == 0.0
