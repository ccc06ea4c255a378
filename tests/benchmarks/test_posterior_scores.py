"""Distances to exact posteriors: exact draws sit on their floors, others do not."""

import itertools
import math

import pytest
import torch

from tests.benchmarks.mixture_start import OperatorDistribution, sliced
from uqrestore.benchmarks.exact import exact_draws, measure, prior_draws
from uqrestore.benchmarks.mixtures import mixture_levels, mixture_problem, mixture_rows
from uqrestore.benchmarks.posterior_scores import distance
from uqrestore.diffusion.samplers import sample
from uqrestore.noise import SampleNoise
from uqrestore.operators import Inpainting
from uqrestore.priors import GaussianPrior
from uqrestore.problem import Problem

SHAPE = (1, 3, 4)


def test_exact_draws_score_what_exact_draws_must() -> None:
    score = measure(exact_draws, "matrix", shape=(1, 6, 7), noise_std=0.05, truths=4, draws=200)
    assert score.mean_error == pytest.approx(200**-0.5, rel=0.15)
    assert score.variance_ratio == pytest.approx(1, abs=0.05)
    assert score.voxel_variance_ratio == pytest.approx(1, abs=0.05)
    for level in (50, 90, 95):
        spread = math.sqrt(level / 100 * (1 - level / 100) / (4 * 42))
        covered = getattr(score, f"coverage_{level}")
        assert covered == pytest.approx(level / 100, abs=4 * spread + 0.01)
    assert score.residual_ratio == pytest.approx(1, abs=0.4)
    assert 0.85 < score.captured <= 1
    assert 1 <= score.eigenvalue_ratio < 1.25
    assert score.mode_weights == 0
    far = measure(prior_draws, "matrix", shape=(1, 6, 7), noise_std=0.05, truths=4, draws=200)
    assert far.sliced > 5 * score.sliced
    assert far.residual_ratio > 10


def test_draws_of_half_the_variance_are_seen() -> None:
    mean = torch.zeros(SHAPE).double()
    prior = GaussianPrior.from_covariance(mean, torch.eye(12).double())
    mask = torch.zeros(SHAPE).double()
    mask[..., 0] = 1
    known = Problem(Inpainting(mask[None]), mask[None] * 0.5)
    draws = prior.posterior(known).draw(SampleNoise(0, range(400), slices=[0]))
    posterior = prior.posterior(known).mean
    narrow = posterior + (draws - posterior) * 0.5**0.5
    score = distance(prior, known, draws[0], narrow)
    assert score.variance_ratio == pytest.approx(0.5, abs=0.05)
    assert score.voxel_variance_ratio == pytest.approx(0.5, abs=0.05)
    assert score.eigenvalue_ratio == pytest.approx(0.5, abs=0.15)
    assert score.residual < 1e-10


def test_the_modes_of_a_mixture_are_counted() -> None:
    """Exact draws come near the exact weights, prior draws do not."""
    (row,) = mixture_rows(exact_draws, {}, cases=((8, 2, 1, 100),))
    assert row["mode_weights"] == row["mode_weights_exact"] < 0.15
    assert row["mode_weights_prior"] > 0.3
    assert row["sliced"] < 0.3 * row["sliced_prior"]


@pytest.mark.parametrize(("rows", "seed"), [(1, 0), (1, 1), (2, 0), (2, 1)])
def test_the_ideal_conditional_denoiser_finds_the_modes(rows: int, seed: int) -> None:
    """At 63 calls, from a hundred times the widest standard deviation of the prior."""
    gaussian, levels = OperatorDistribution(80, rows, seed), mixture_levels(80, 32, 0.1, 100.0)
    white = SampleNoise(seed, range(1500)).normal((80,), torch.zeros(0).double())
    x = sample(gaussian.denoise, levels[0] * white, levels, SampleNoise(0, [0]), sampler="heun")
    exact = [gaussian.draw(1500, i) for i in range(6)]
    floor = sum(sliced(*pair) for pair in itertools.combinations(exact, 2)) / 15
    assert sum(sliced(x, one) for one in exact) / 6 < floor + 0.15
    assert gaussian.misplaced(x) < 0.05


def test_a_mixture_of_an_odd_size_is_refused() -> None:
    with pytest.raises(ValueError, match="must be even, got 7"):
        mixture_problem(7, 1, 0)


def test_an_operator_that_is_none_is_named() -> None:
    with pytest.raises(ValueError, match="no operator 'blur'; it can be inpainting"):
        measure(exact_draws, "blur")
