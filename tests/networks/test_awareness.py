"""What a feature degradation layer is for, shown without training: weights set by hand."""

import math

import pytest
import torch
from torch import Tensor

from uqrestore.networks.attention import AttentionSpec
from uqrestore.networks.feature_degradation import FeatureDegradation
from uqrestore.networks.hdit import Level
from uqrestore.networks.measurement import Measurement
from uqrestore.operators import Matrix
from uqrestore.problem import simulate

SIDE, OPERATORS = 16, 16
PIXELS = SIDE * SIDE
PRIOR, BLIND, KNOWN = 12.04, 15.28, 17.48
"""PSNR in dB of the prior mean, and of the best linear estimates without and with the operator."""


def decibels(error: float) -> float:
    return 10 * math.log10(4 / error)


def spectrum() -> Tensor:
    """Power of a smooth Gaussian field, ``(1 + f^2)^-2``, of standard deviation 0.5."""
    f = torch.fft.fftfreq(SIDE, 1 / SIDE).double()
    power = (1 + f[:, None] ** 2 + f[None] ** 2) ** -2
    return power / power.mean() / 4


def spread(power: Tensor, images: Tensor) -> Tensor:
    """Multiply the spectrum of images."""
    return torch.fft.ifft2(torch.fft.fft2(images) * power).real


def fields() -> Tensor:
    """One image for each pixel whose squares add up to the covariance of the field."""
    pixels = torch.eye(PIXELS).double().reshape(PIXELS, 1, SIDE, SIDE)
    return spread(spectrum().sqrt(), pixels)


def matrix(number: int) -> Matrix:
    g = torch.Generator().manual_seed(number)
    count = 8 + 24 * number // (OPERATORS - 1)
    rows = torch.randn(count, PIXELS, generator=g, dtype=torch.float64)
    return Matrix(rows / rows.norm(dim=1, keepdim=True), (1, SIDE, SIDE))


def residual_layer() -> FeatureDegradation:
    """With L = [1 | -1] and no bias it gives ``A^+ (y - A h)``."""
    made = FeatureDegradation(Level(16, 1, AttentionSpec(), 4), channels=1).double()
    made.mix.weight.data = torch.tensor([[1.0, -1.0]]).double()
    made.mix.bias.data.zero_()
    return made


def test_layers_in_a_row_beat_every_estimate_that_does_not_know_the_operator(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each layer takes one step of a solver; the best combination of steps is far above the line.

    Between layers stands a filter, as attention would learn one; the combination is the same for
    all operators. The measurements are exact, and so are the averages over fields.
    """
    monkeypatch.setattr("torch.nn.functional.gelu", lambda x: x)
    layer, power, truth = residual_layer().requires_grad_(False), spectrum(), fields()
    smooth = power / (power + 10 * power.mean())
    steps = []
    for number in range(OPERATORS):
        known = Measurement.of(simulate(matrix(number), truth), (PIXELS,))
        x, seen = torch.zeros_like(truth), []
        for _ in range(4):
            tokens = layer.from_stack(x[None])
            seen.append(spread(smooth, layer.to_stack(layer(tokens, known))[0]))
            x = x + seen[-1]
        steps.append(torch.stack(seen, -1).flatten(0, -2))
    columns = torch.cat(steps)
    wanted = truth.flatten().repeat(OPERATORS)[:, None]
    found = []
    for layers in range(1, 5):
        given = columns[:, :layers]
        best = given @ torch.linalg.lstsq(given, wanted).solution
        found.append(decibels(float((best - wanted).square().sum()) / OPERATORS / PIXELS))
    assert found == pytest.approx([15.2, 16.3, 16.8, 17.0], abs=0.3), (
        "the polynomial of each length"
    )
    assert found == sorted(found)
    assert found[0] > PRIOR
    assert found[1] > BLIND + 0.5, "two layers are above the line"
    assert found[-1] < KNOWN
