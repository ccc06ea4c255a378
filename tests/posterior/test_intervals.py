"""One definition of a central interval, exact for any number of draws."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import Tensor

from uqrestore.noise import SampleNoise
from uqrestore.operators import MaskedFourier, stack_operators
from uqrestore.operators.masks import cartesian
from uqrestore.posterior.intervals import central_interval, exact_level, quantiles
from uqrestore.priors.gaussian import gaussian_field
from uqrestore.problem import simulate


@pytest.mark.parametrize("draws", [2, 3, 8, 16, 19, 24, 32, 39, 64, 99])
def test_an_ideal_sampler_has_exactly_the_level_that_is_named(draws: int) -> None:
    """Every rank of the truth among the draws is equally likely: count those inside."""
    interval = central_interval(draws, 0.9)
    ordered = np.arange(draws + 1)
    low, high = zip(*(interval.of(np.delete(ordered, truth)) for truth in ordered), strict=True)
    inside = ((ordered > low) & (ordered < high)).sum()
    assert interval.level == pytest.approx(float(Fraction(int(inside), draws + 1)))


@pytest.mark.parametrize("draws", [1, 2, 7, 16, 29, 64, 200])
@pytest.mark.parametrize("level", [0.1, 0.5, 0.8, 0.9, 0.95, 0.99])
def test_no_other_interval_comes_nearer_to_the_level(draws: int, level: float) -> None:
    chosen = abs(central_interval(draws, level).level - level)
    every = [(draws + 1 - 2 * rank) / (draws + 1) for rank in range(1, (draws + 1) // 2 + 1)]
    assert chosen == pytest.approx(min(abs(other - level) for other in every))


def test_the_level_is_named_as_it_is() -> None:
    assert central_interval(16).name == "88.2 %"
    assert central_interval(16).ends == "the smallest to the largest of 16 draws"
    assert central_interval(39).name == "90 %"
    assert central_interval(39).ends == "the 2nd smallest to the 2nd largest of 39 draws"


@pytest.mark.parametrize("draws", [1, 2, 9, 16, 39])
def test_quantiles_are_draws_at_exact_levels(draws: int) -> None:
    values = np.random.default_rng(0).permutation(draws).astype(np.float32)[:, None]
    levels = tuple(exact_level(level, draws) for level in (0.05, 0.5, 0.95))
    low, middle, high = quantiles(values, levels)
    interval = central_interval(draws)
    assert (low, high) == interval.of(values)
    assert middle == np.median(values)
    assert (levels[0], levels[2]) == pytest.approx(interval.tails)


@pytest.mark.parametrize("level", [0.0, 1.0, 90, float("nan")])
def test_a_level_is_a_probability(level: float) -> None:
    with pytest.raises(ValueError, match=r"nominal level of an interval.*90 % is written 0.9"):
        central_interval(16, level)


def test_another_number_of_draws_is_refused() -> None:
    with pytest.raises(ValueError, match="one of 16 draws but got 15"):
        central_interval(16).of(np.zeros(15))
    with pytest.raises(ValueError, match="at least one draw"):
        central_interval(0)


def test_means_of_regions_are_covered_unless_the_truth_chooses_the_region() -> None:
    """Draws of an ideal sampler are too dark where the truth is bright: regression to the mean."""
    shape, scenes, count = (1, 12, 10), 300, 19
    prior = gaussian_field(shape)
    truth = prior.draw(SampleNoise(0, range(scenes)))
    mask = cartesian(shape[1:], acceleration=2, center_lines=2, seed=0)
    operators = stack_operators([MaskedFourier(mask, channels=1)] * scenes)
    noise = SampleNoise(1, [0], slices=range(scenes))
    problem = simulate(operators, truth, noise_std=0.02, noise=noise)
    draws = prior.posterior(problem).draw(SampleNoise(2, range(count), slices=range(scenes)))

    def means(images: Tensor, region: Tensor) -> np.ndarray:
        return ((images * region).sum((-3, -2, -1)) / region.sum((-3, -2, -1))).numpy()

    def coverage(region: Tensor) -> float:
        low, high = central_interval(count).of(means(draws, region))
        inside = means(truth, region)
        return float(((low <= inside) & (inside <= high)).mean())

    fixed = torch.zeros(scenes, *shape, dtype=torch.float64)
    fixed[..., 3:9, 2:8] = 1
    chosen, bright = (
        (image > image.flatten(1).median(1).values[:, None, None, None]).double()
        for image in (draws.mean(0), truth)
    )
    assert coverage(fixed) == pytest.approx(0.9, abs=0.05)
    assert coverage(chosen) == pytest.approx(0.9, abs=0.05)
    assert coverage(bright) < 0.3
    assert means(draws.mean(0), bright).mean() < means(truth, bright).mean()
