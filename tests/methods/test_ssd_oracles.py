"""The published grids of SSD, its step and its inversion, in closed form."""

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from uqrestore.diffusion.ddim import effective_eta
from uqrestore.diffusion.schedules import ddpm_sigmas, ddpm_table
from uqrestore.diffusion.wrapped import Checked
from uqrestore.methods.ssd import invert, shortcut, stop_index
from uqrestore.noise import SampleNoise
from uqrestore.priors.gaussian import GaussianPrior

SHAPE = (1, 2, 3)


def ideal(variance: float) -> GaussianPrior:
    """Independent Gaussians of one variance and mean 0."""
    pixels = torch.Size(SHAPE).numel()
    mean = torch.zeros(SHAPE, dtype=torch.float64)
    return GaussianPrior.from_covariance(mean, variance * torch.eye(pixels).double())


@pytest.mark.parametrize(
    ("eta", "steps", "expected"),
    [
        (0.0, 100, 0.96403106),
        (0.8, 100, 0.76068974),
        (0.85, 100, 0.72467846),
        (1.0, 100, 0.47043477),
        (0.85, 20, 0.6342),
        (0.85, 250, 0.7432),
        (0.85, 1000, 0.7556),
    ],
)
def test_a_fixed_share_loses_variance_as_the_recursion_says(
    eta: float, steps: int, expected: float
) -> None:
    """Unit prior variance, DDPM grid; measured through the step's own coefficients."""
    sigmas = ddpm_sigmas(steps).tolist()
    variance = 1 + sigmas[0] ** 2
    for sigma, below in pairwise(sigmas):
        share = effective_eta(eta, "fixed", sigma, below)
        g = 1 / (1 + sigma**2)
        gain = g + below / sigma * math.sqrt(1 - share**2) * (1 - g)
        variance = gain**2 * variance + (share * below) ** 2
    assert variance == pytest.approx(expected, abs=1e-4)


def test_the_consistent_share_loses_none_in_the_limit() -> None:
    sigmas = torch.logspace(2, -3, 4000, dtype=torch.float64).tolist()
    variance = 1 + sigmas[0] ** 2
    for sigma, below in pairwise(sigmas):
        share = effective_eta(0.85, "consistent", sigma, below)
        g = 1 / (1 + sigma**2)
        gain = g + below / sigma * math.sqrt(1 - share**2) * (1 - g)
        variance = gain**2 * variance + (share * below) ** 2
    assert variance == pytest.approx(1, abs=5e-3)


def test_the_table_is_the_published_one() -> None:
    table = ddpm_table()
    known = {0: 0.0100005, 100: 0.3422597, 500: 3.4429671, 549: 4.5412352, 990: 143.7802737}
    for time, sigma in known.items():
        assert table[time].item() == pytest.approx(sigma, rel=1e-5)


def test_the_grids_of_the_shortcut_are_the_published_ones() -> None:
    up, down = shortcut(550, 5, 25)
    want = [0.01, 0.4735, 1.0864, 2.1685, 4.5412]
    assert up == pytest.approx(want, rel=1e-3)
    assert len(down) == 26
    assert down[0] == up[-1]
    assert down[-1] == 0
    assert [stop_index(550, 200, 85), stop_index(550, 200, 25), stop_index(750, 200, 85)] == [
        54, 15, 62,
    ]  # fmt: skip


@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
def test_inversion_is_the_affine_map_of_the_oracle(eta: float) -> None:
    """The gain from A^+ y to the top, with the noise cancelled by its mirror image."""
    variance, (up, _) = 0.25, shortcut(550, 15, 85)
    x = torch.ones(1, *SHAPE, dtype=torch.float64)

    class Mirrored(SampleNoise):
        sign = 1.0

        def like(self, x: Tensor) -> Tensor:
            return self.sign * super().like(x)

    tops = []
    for sign in (1.0, -1.0):
        noise = Mirrored(0, [0])
        noise.sign = sign
        tops.append(invert(Checked(ideal(variance), "ssd"), x, up, noise, eta, clip=False))
    gain = math.sqrt(1 + up[0] ** 2)
    for sigma, above in pairwise(up):
        g = variance / (variance + sigma**2)
        gain *= g + math.sqrt((1 - eta) * above**2 + eta * sigma**2) / sigma * (1 - g)
    torch.testing.assert_close((tops[0] + tops[1]) / 2, gain * x)


def test_full_noise_forgets_the_network() -> None:
    """At eta 1 the inversion adds white noise, whatever the denoiser."""
    up, _ = shortcut(550, 15, 85)
    x = torch.zeros(2, *SHAPE, dtype=torch.float64)

    def odd(t: Tensor, sigma: Tensor) -> Tensor:
        del sigma
        return t.sin()

    def even(t: Tensor, sigma: Tensor) -> Tensor:
        del sigma
        return t.cos()

    odd.in_shape = even.in_shape = SHAPE  # type: ignore[attr-defined]
    tops = [
        invert(Checked(f, "ssd"), x, up, SampleNoise(0, range(2)), 1.0, clip=False)  # type: ignore[arg-type]
        for f in (odd, even)
    ]
    torch.testing.assert_close(tops[0], tops[1])


def test_no_noise_reads_no_stream() -> None:
    up, _ = shortcut(550, 5, 25)
    x = torch.ones(1, *SHAPE, dtype=torch.float64)
    tops = [
        invert(Checked(ideal(1.0), "ssd"), x, up, SampleNoise(seed, [0]), 0.0, clip=False)
        for seed in (0, 1)
    ]
    assert torch.equal(tops[0], tops[1])
