"""Distances equal their formulas, are calibrated by their floors, and refuse strange company."""

import numpy as np
import pytest
import scipy.linalg

from uqrestore.metrics.features import Features, joint
from uqrestore.metrics.frechet import frechet_distance, kernel_distance


def normal(
    count: int, dims: int, seed: int = 0, *, scale: float = 1.0, shift: float = 0.0
) -> Features:
    g = np.random.default_rng(seed)
    mix = np.random.default_rng(99).standard_normal((dims, dims)) / np.sqrt(dims) + np.eye(dims)
    return Features(shift + scale * g.standard_normal((count, dims)) @ mix, "test")


def test_the_frechet_distance_is_its_formula() -> None:
    a, b = normal(50, 4), normal(70, 4, 1, scale=1.7, shift=0.3)
    s1, s2 = np.cov(a.values.T), np.cov(b.values.T)
    root = np.real(np.asarray(scipy.linalg.sqrtm(s1 @ s2)))
    wanted = np.square(a.values.mean(0) - b.values.mean(0)).sum() + np.trace(s1 + s2 - 2 * root)
    assert frechet_distance(a, b).value == pytest.approx(wanted)
    assert frechet_distance(a, a).value == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(("dims", "count"), [(3, 60), (12, 400)])
def test_the_floor_is_what_equal_distributions_give(dims: int, count: int) -> None:
    pairs = [
        frechet_distance(normal(count, dims, 2 * i), normal(2 * count, dims, 2 * i + 1))
        for i in range(60)
    ]
    values, floors = (np.array([getattr(p, name) for p in pairs]) for name in ("value", "floor"))
    assert values.mean() == pytest.approx(floors.mean(), rel=0.1)


def test_the_floor_of_unit_features_is_the_known_one() -> None:
    g = np.random.default_rng(0)
    a, b = (Features(g.standard_normal((1000, 64)), "test") for _ in range(2))
    found = frechet_distance(a, b)
    assert found.floor == pytest.approx(2 * 64 / 1000 + 64 * 65 / 2000, rel=0.02)
    assert found.value == pytest.approx(2.25, abs=0.15)
    assert not found.enough_images
    assert frechet_distance(normal(200, 4), normal(200, 4, 1)).enough_images


def test_the_kernel_distance_is_its_formula() -> None:
    a, b = normal(6, 3), normal(5, 3, 1, shift=0.5)

    def k(x: np.ndarray, y: np.ndarray) -> float:
        return float((1 + x @ y / 3) ** 3)

    x, y = a.values, b.values
    within_x = np.mean([k(x[i], x[j]) for i in range(6) for j in range(6) if i != j])
    within_y = np.mean([k(y[i], y[j]) for i in range(5) for j in range(5) if i != j])
    across = np.mean([k(p, q) for p in x for q in y])
    assert kernel_distance(a, b).value == pytest.approx(within_x + within_y - 2 * across)


def test_the_kernel_distance_is_unbiased_and_its_p_value_has_the_right_size() -> None:
    found = [
        kernel_distance(normal(40, 3, 2 * i), normal(30, 3, 2 * i + 1), permutations=99)
        for i in range(120)
    ]
    values = np.array([f.value for f in found])
    assert abs(values.mean()) < 3 * values.std() / np.sqrt(120)
    assert np.mean([f.p_value <= 0.05 for f in found]) < 0.11
    assert kernel_distance(normal(60, 3), normal(60, 3, 1, shift=1.0)).p_value < 0.01


def test_only_pairs_tell_prior_draws_from_posterior_ones() -> None:
    g = np.random.default_rng(0)
    x = g.standard_normal((300, 2))
    y = Features(x + 0.3 * g.standard_normal((300, 2)), "measured")
    real, prior = Features(x, "image"), Features(g.standard_normal((300, 2)), "image")

    assert kernel_distance(real, prior).p_value > 0.01
    assert kernel_distance(joint(real, y), joint(prior, y)).p_value < 0.01


def test_other_extractors_and_too_few_images_are_refused() -> None:
    a = normal(30, 3)
    for distance in (frechet_distance, kernel_distance):
        with pytest.raises(ValueError, match="different extractors"):
            distance(a, Features(a.values, "other"))
        with pytest.raises(ValueError, match="NaN"):
            distance(a, Features(a.values * np.nan, "test"))
    with pytest.raises(ValueError, match="more than 3 images of each kind, got 3 and 30"):
        frechet_distance(normal(3, 3), a)
    with pytest.raises(ValueError, match="2 images of each kind, got 1"):
        kernel_distance(normal(1, 3), a)
