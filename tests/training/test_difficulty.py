"""Weights of training problems: larger where less is open, and blind to the image they multiply."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.training.test_training import VAL, config, source
from uqrestore.networks.linear.stationary import StationaryEstimator
from uqrestore.operators import CoilFourier, Zero, mix
from uqrestore.operators.random.coils import CoilKSpace
from uqrestore.problem import Problem, simulate
from uqrestore.training.batch import Batch
from uqrestore.training.difficulty import DENOISED, MOST, difficulty_weights
from uqrestore.training.loss_config import LossConfig
from uqrestore.training.trainer import Trainer

SHAPE, DATA = (2, 24, 20), 0.25


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def smooth(count: int, seed: int) -> Tensor:
    spectrum = torch.fft.rfft2(randn(count, *SHAPE, seed=seed))
    radius = torch.hypot(torch.fft.fftfreq(24)[:, None], torch.fft.rfftfreq(20))
    return 0.4 * torch.fft.irfft2(spectrum / (1 + 10 * radius), s=SHAPE[1:])


def estimate() -> StationaryEstimator:
    made = StationaryEstimator(6).double().eval()
    made.fit(smooth(50, 1))
    return made


def problems() -> Problem:
    """Return 6 coils with all lines, 6 with one in four, and nothing measured."""
    family = CoilKSpace(SHAPE, coils=(6,), accelerations=(4, 4))
    some = family.draw(torch.Generator().manual_seed(0), 1).to(torch.float64)[0]
    assert isinstance(some, CoilFourier)
    every = CoilFourier(torch.ones_like(some.mask), some.maps)
    operator = mix([every, some, Zero(SHAPE)])
    return simulate(operator.to(torch.float64), smooth(3, 2), noise_std=0.02, seed=0)


def weights(batch: Batch) -> Tensor:
    return difficulty_weights(estimate(), batch, DATA, torch.Generator().manual_seed(4))


def batch(sigma: float) -> Batch:
    level = torch.full((3,), sigma, dtype=torch.float64)
    return Batch(smooth(3, 2), level, randn(3, *SHAPE), problems())


def test_problems_that_leave_less_open_weigh_more() -> None:
    every, some, nothing = weights(batch(50.0))
    assert MOST >= every > some > nothing >= 1 / MOST
    assert nothing < 0.2


def test_behind_little_noise_all_problems_weigh_the_same() -> None:
    torch.testing.assert_close(weights(batch(1e-4)), torch.ones(3).double(), rtol=0.05, atol=0)


def test_what_both_leave_open_is_its_inverse() -> None:
    at_once, behind = weights(batch(1e6)), weights(batch(0.2))
    typical, denoised = 0.1 * DATA**2, DENOISED * 0.2 * DATA
    error = typical / at_once
    wanted = (1 / denoised + 1 / error) / (1 / denoised + 1 / typical)
    free = (at_once < MOST) & (at_once > 1 / MOST)
    assert free.any()
    torch.testing.assert_close(behind[free], wanted[free], rtol=1e-4, atol=0)


def test_a_weight_does_not_depend_on_its_own_image() -> None:
    given = batch(50.0)
    changed = given.truth.clone()
    changed[0] = smooth(1, 9)[0]
    found = weights(replace(given, truth=changed))
    assert found[0] == weights(given)[0]
    assert found[1] != weights(given)[1]


def test_networks_without_a_linear_estimate_are_refused(tmp_path: Path) -> None:
    settings = config(loss=LossConfig(by_difficulty=True))
    with pytest.raises(ValueError, match=r"loss.by_difficulty weighs .* but the network has none"):
        Trainer(settings, source(), VAL, tmp_path)
