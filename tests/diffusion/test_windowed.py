"""Large slices denoised in windows: whole where they meet, and right where the prior is local."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.networks.cases import CASES, awake
from uqrestore.diffusion.denoiser import NetworkDenoiser
from uqrestore.diffusion.windowed import WindowedDenoiser, blends, for_slices
from uqrestore.methods import METHODS
from uqrestore.noise import SampleNoise
from uqrestore.operators import Inpainting, MaskedFourier
from uqrestore.priors import GaussianPrior
from uqrestore.problem import Problem, simulate

WINDOW, SLICE = (20, 16), (31, 39)


def stationary(shape: tuple[int, int], length: float) -> GaussianPrior:
    """Return a Gaussian prior with a correlation length."""
    y, x = np.mgrid[: shape[0], : shape[1]].reshape(2, -1).astype(float)
    apart = np.hypot(y[:, None] - y, x[:, None] - x)
    covariance = torch.as_tensor(0.25 * np.exp(-0.5 * (apart / length) ** 2) + 1e-3 * (apart == 0))
    return GaussianPrior.from_covariance(torch.full((1, *shape), 0.3), covariance)


def noisy(count: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn((count, 1, *SLICE), generator=generator, dtype=torch.float64)


@settings(deadline=None)
@given(st.integers(4, 70), st.integers(0, 150))
def test_blends_add_up_to_one_everywhere(window: int, more: int) -> None:
    total = torch.zeros(window + more, dtype=torch.float64)
    covered = blends(window + more, window)
    for start, weight in covered:
        assert weight.min() >= 0
        total[start : start + window] += weight
    torch.testing.assert_close(total, torch.ones_like(total))
    assert covered[0][0] == 0
    assert covered[-1][0] == more
    steps = np.diff([start for start, _ in covered])
    assert (steps <= window - 0.25 * window + 1).all(), "a quarter of a window, to rounding"


def test_a_window_fades_out_where_it_meets_another() -> None:
    (_, first), (_, second) = blends(100, 64)
    assert first[0] == 1
    assert second[-1] == 1
    assert first[-1] < 0.01
    assert first.diff().abs().max() < 0.1, "no step that could be seen"


def test_where_the_prior_is_local_windows_denoise_as_the_whole() -> None:
    whole, part = stationary(SLICE, 1.0), stationary(WINDOW, 1.0)
    windowed, x, sigma = WindowedDenoiser(part, SLICE), noisy(), torch.tensor(0.3).double()
    assert windowed.in_shape == (1, *SLICE)
    assert windowed.windows == 2 * 3
    clean = whole(x, sigma)
    error = windowed(x, sigma) - clean
    assert float(error.std()) < 0.01 * float(clean.std())
    assert float(error.abs().max()) < 0.1 * float(clean.std())


def test_a_slice_of_one_window_is_denoised_as_ever() -> None:
    prior, x = stationary(SLICE, 3.0), noisy()
    sigma = torch.tensor([0.1, 1.0, 10.0]).double()
    torch.testing.assert_close(WindowedDenoiser(prior, SLICE)(x, sigma), prior(x, sigma))


@pytest.mark.parametrize("method", ["ddnm", "diffpir", "dps", "moment_matching"])
def test_methods_restore_a_whole_slice_through_windows(method: str) -> None:
    whole, part = stationary(SLICE, 1.0), stationary(WINDOW, 1.0)
    lines = torch.zeros(SLICE, dtype=torch.bool)
    lines[:, ::2] = lines[:, 12:18] = True
    truth = whole.mean + 0.4 * noisy(1)[0].cumsum(-1) / 5
    noise_std = 0.0 if method == "ddnm" else 0.05
    operator = MaskedFourier(lines, channels=1)
    problem = simulate(operator, truth, noise_std=noise_std, noise=SampleNoise(1, [0]))

    images = [
        METHODS[method](problem, denoiser, SampleNoise(0, range(2)), steps=12)
        for denoiser in (WindowedDenoiser(part, SLICE), whole)
    ]
    assert float((images[0] - images[1]).std()) < 0.02 * float(images[1].std())


def test_what_windows_cannot_do_is_refused() -> None:
    part = stationary((8, 8), 1.0)
    with pytest.raises(ValueError, match="31 x 7 pixels are smaller than the windows of 8 x 8"):
        WindowedDenoiser(part, (31, 7))
    problem = Problem(MaskedFourier(torch.ones(SLICE, dtype=torch.bool)), torch.zeros(2, *SLICE))
    with pytest.raises(ValueError, match="sees a slice in pieces"):
        WindowedDenoiser(part, SLICE)(noisy(), torch.tensor(1.0), problem)


def test_a_network_of_any_size_sees_slices_whole_and_others_in_windows() -> None:
    network = NetworkDenoiser(awake(CASES["invfussion_consistent"]().double()))
    rows, columns = (n + 5 for n in network.in_shape[-2:])
    whole = for_slices(network, rows, columns)
    assert isinstance(whole, NetworkDenoiser)
    assert whole.in_shape == (1, rows, columns)
    operator = Inpainting(torch.ones(1, rows, columns, dtype=torch.float64))
    problem = simulate(operator, torch.zeros(2, 1, rows, columns, dtype=torch.float64))
    assert whole(problem.y, torch.tensor(1.0).double(), problem).shape == (2, 1, rows, columns)
    assert for_slices(network, *network.in_shape[-2:]) is network
    part = stationary(WINDOW, 1.0)
    assert isinstance(for_slices(part, *SLICE), WindowedDenoiser)
