"""Components of a region against Gaussians whose covariance is known."""

import numpy as np
import pytest

from uqrestore.posterior import region_components

SHAPE = (7, 9)


def covariance(seed: int = 0) -> np.ndarray:
    """Return a covariance with a few strong directions, of images of 7 x 9."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices(SHAPE).reshape(2, -1)
    distance = (rows[:, None] - rows) ** 2 + (columns[:, None] - columns) ** 2
    roots = rng.uniform(0.5, 1.5, size=63)
    return np.exp(-distance / 8) * roots[:, None] * roots + 0.05 * np.eye(63)


def drawn(matrix: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Draw images."""
    root = np.linalg.cholesky(matrix)
    noise = np.random.default_rng(seed).normal(size=(count, 63))
    return (2 + noise @ root.T).reshape(count, *SHAPE)


def corner() -> np.ndarray:
    """Return a region of 3 x 4 pixels."""
    region = np.zeros(SHAPE, bool)
    region[2:5, 1:5] = True
    return region


def test_many_draws_find_components_and_what_follows_from_them() -> None:
    matrix, region = covariance(), corner()
    found = region_components(drawn(matrix, 400, 1), region, 2)
    inside = region.ravel()
    values, vectors = np.linalg.eigh(matrix[np.ix_(inside, inside)])
    assert np.abs((found.steps[0][region] / found.std[0]) @ vectors[:, -1]) > 0.98
    np.testing.assert_allclose(found.std**2, values[::-1][:2], rtol=0.15)
    np.testing.assert_allclose(found.explained, values[::-1][:2] / values.sum(), rtol=0.15)
    direction = found.steps[0][region] / found.std[0]
    exact = matrix[:, inside] @ direction / (direction @ matrix[np.ix_(inside, inside)] @ direction)
    step = found.steps[0].ravel() / found.std[0]
    np.testing.assert_allclose(step, exact, atol=0.09)


def test_components_of_the_whole_image_are_those_of_all_its_pixels() -> None:
    from uqrestore.posterior import principal_components

    draws = drawn(covariance(), 20, 2)
    found = region_components(draws, np.ones(SHAPE, bool), 3)
    whole = principal_components(draws, 3)
    np.testing.assert_allclose(found.std, whole.std)
    np.testing.assert_allclose(found.steps, whole.std[:, None, None] * whole.directions, atol=1e-12)


def test_coefficients_of_new_images_have_unit_variance() -> None:
    matrix, region = covariance(), corner()
    squares = []
    for seed in range(100):
        draws = drawn(matrix, 25, 10 + seed)
        found = region_components(draws[:24], region, 2)
        squares.append(found.of(draws[24], draws[:24].mean(0)) ** 2 * 24 / 25)
    np.testing.assert_allclose(np.mean(squares, axis=0), 1, atol=0.3)


def test_coefficients_of_draws_are_those_of_images() -> None:
    draws, region = drawn(covariance(), 16, 3), corner()
    found = region_components(draws, region, 2)
    np.testing.assert_allclose(found.of(draws[5], draws.mean(0)), found.coefficients[5])


def test_a_pixel_that_is_independent_of_the_region_hardly_moves() -> None:
    matrix, region = covariance(), corner()
    away = np.zeros(SHAPE, bool)
    away[:, 7:] = True
    matrix[np.ix_(away.ravel(), ~away.ravel())] = 0
    matrix[np.ix_(~away.ravel(), away.ravel())] = 0
    shrunk, plain = [], []
    for seed in range(40):
        draws = drawn(matrix, 12, seed)
        found = region_components(draws, region, 1)
        centred, s = draws - draws.mean(0), found.coefficients[:, 0]
        slopes = np.tensordot(s, centred, 1) / (s @ s)
        plain.append((slopes[away] ** 2).mean())
        shrunk.append((found.steps[0][away] ** 2).mean())
    assert np.mean(shrunk) < 0.6 * np.mean(plain)


def test_draws_that_do_not_vary_have_no_components() -> None:
    found = region_components(np.ones((6, *SHAPE)), corner(), 2)
    assert not found.std.any()
    assert not found.steps.any()
    assert np.isfinite(found.coefficients).all()


@pytest.mark.parametrize(
    ("region", "count", "words"),
    [
        (np.zeros(SHAPE, bool), 1, "0 pixels"),
        (np.ones((9, 7), bool), 1, r"shape \(9, 7\)"),
        (corner(), 5, "at least 7 draws"),
    ],
)
def test_what_cannot_be_is_refused(region: np.ndarray, count: int, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        region_components(np.ones((6, *SHAPE)), region, count)
