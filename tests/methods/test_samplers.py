"""Deterministic samplers on Gaussians, where the flow is known: variance kept, order of error."""

import pytest
import torch
from torch import Tensor

from uqrestore.diffusion.samplers import Sampler, sample
from uqrestore.diffusion.schedules import karras_sigmas
from uqrestore.noise import SampleNoise

VARIANCE = torch.logspace(-4, 1, 40, dtype=torch.float64)


def kept(sampler: Sampler, steps: int, rho: float, last: float = 0.002) -> Tensor:
    """Return the variance that draws have, over the right one, for each of `VARIANCE`."""
    sigmas = karras_sigmas(steps, last, 80.0, rho).tolist()

    def denoise(x: Tensor, sigma: float) -> Tensor:
        return VARIANCE / (VARIANCE + sigma**2) * x

    start = torch.full_like(VARIANCE, sigmas[0])
    end = sample(denoise, start, sigmas, SampleNoise(0, [0]), sampler=sampler)
    return end.square() / VARIANCE


def test_the_third_order_keeps_the_variance_in_eighteen_calls() -> None:
    assert (kept("dpmpp_3m", 18, 100.0) - 1).abs().max() < 0.05
    assert (kept("dpmpp_2m", 18, 7.0) - 1).abs().max() > 0.15
    assert (kept("dpmpp_3m", 32, 20.0) - 1).abs().max() < 0.03


@pytest.mark.parametrize(("sampler", "order"), [("dpmpp_2m", 2), ("dpmpp_3m", 3)])
def test_twice_the_calls_divide_the_error_by_two_to_the_order(sampler: Sampler, order: int) -> None:
    best = kept(sampler, 1600, 100.0)
    errors = [(kept(sampler, steps, 100.0) - best).abs().mean() for steps in (100, 200)]
    assert 0.75 * 2**order < float(errors[0] / errors[1]) < 1.6 * 2**order
