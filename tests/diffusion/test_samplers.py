"""Samplers and schedules against a flow known in closed form."""

import math

import pytest
import torch
from torch import Tensor

from uqrestore.diffusion.samplers import sample_heun
from uqrestore.diffusion.schedules import karras_sigmas

VARIANCE = torch.tensor([0.01, 0.3, 1.0, 4.0], dtype=torch.float64)


def denoise(x: Tensor, sigma: Tensor) -> Tensor:
    """Ideal denoiser of independent Gaussians of variance VARIANCE and mean 0."""
    return x * VARIANCE / (VARIANCE + sigma**2)


def heun_error(steps: int, lowest: float = 0.01) -> float:
    """Largest error of the flow from 20 to ``lowest``, where no final Euler step blurs it."""
    noise = torch.randn(8, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    sigmas = karras_sigmas(steps, sigma_min=lowest, sigma_max=20.0)[:-1]
    exact = 20 * noise * ((VARIANCE + lowest**2) / (VARIANCE + 20.0**2)).sqrt()
    return float((sample_heun(denoise, noise, sigmas) - exact).abs().max())


def test_heun_follows_the_exact_flow() -> None:
    assert heun_error(steps=128) < 2e-3


def test_heun_is_second_order() -> None:
    coarse, fine = heun_error(steps=64), heun_error(steps=128)
    assert coarse / fine == pytest.approx(4, rel=0.15), "halving the step should quarter the error"


@pytest.mark.parametrize("steps", [1, 5, 18])
def test_heun_makes_as_many_calls_as_it_says(steps: int) -> None:
    calls = []

    def counting(x: Tensor, sigma: Tensor) -> Tensor:
        calls.append(float(sigma))
        return denoise(x, sigma)

    sample_heun(counting, torch.zeros(1, 4, dtype=torch.float64), karras_sigmas(steps))
    assert len(calls) == 2 * steps - 1


def test_the_schedule_falls_from_the_largest_level_to_zero() -> None:
    sigmas = karras_sigmas(10, sigma_min=0.01, sigma_max=50.0)
    assert sigmas[0].item() == pytest.approx(50)
    assert sigmas[-2].item() == pytest.approx(0.01)
    assert sigmas[-1] == 0
    assert (sigmas.diff() < 0).all()


def test_levels_must_decrease() -> None:
    with pytest.raises(ValueError, match="strictly decrease"):
        sample_heun(denoise, torch.zeros(1, 4), torch.tensor([1.0, 2.0]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "at least one step"),
        ({"steps": 3, "sigma_min": 2.0, "sigma_max": 1.0}, "sigma_min=2 and sigma_max=1"),
        ({"steps": 3, "sigma_min": -1.0}, "0 < sigma_min"),
    ],
)
def test_a_schedule_that_cannot_be_is_named(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        karras_sigmas(**options)


def test_the_last_step_lands_on_the_denoised_image() -> None:
    x = sample_heun(denoise, torch.ones(1, 4, dtype=torch.float64), torch.tensor([2.0, 0.0]))
    torch.testing.assert_close(x, denoise(2 * torch.ones_like(x), torch.tensor(2.0)))
    assert math.isfinite(float(x.sum()))
