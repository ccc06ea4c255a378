"""Principal components against Gaussians whose components are known."""

import numpy as np
import pytest

from uqrestore.posterior import align_signs, principal_components
from uqrestore.posterior.components import components_from_gram

SPECTRUM = 1 / np.arange(1, 65)


def gaussian(draws: int, seed: int, spectrum: np.ndarray = SPECTRUM) -> np.ndarray:
    """Draw from a Gaussian with the unit vectors as its components."""
    noise = np.random.default_rng(seed).normal(size=(draws, len(spectrum)))
    return 3 + noise * np.sqrt(spectrum)


def test_the_gram_trick_is_the_eigendecomposition_of_the_covariance() -> None:
    draws = gaussian(40, 0)[:, :12]
    found = components_from_gram(draws @ draws.T, 4)
    values, vectors = np.linalg.eigh(np.cov(draws, rowvar=False))
    np.testing.assert_allclose(found.fitted_variance, values[::-1][:4])
    directions = found.weights @ draws
    np.testing.assert_allclose(np.abs(directions @ vectors[:, ::-1][:, :4]), np.eye(4), atol=1e-9)
    assert found.total == pytest.approx(np.trace(np.cov(draws, rowvar=False)))


def test_many_draws_find_the_components_of_a_gaussian() -> None:
    found = principal_components(gaussian(800, 1), 3, folds=4)
    assert (np.abs(np.diag(found.directions[:, :3])) > 0.95).all()
    np.testing.assert_allclose(found.std**2, SPECTRUM[:3], rtol=0.1)
    np.testing.assert_allclose(found.explained, SPECTRUM[:3] / SPECTRUM.sum(), rtol=0.1)


@pytest.mark.parametrize("draws", [12, 32, 100])
def test_the_debiased_variance_is_that_along_the_direction_found(draws: int) -> None:
    """The true variance along a found direction is known; fitted to few draws it is too large."""
    ratio, fitted = [], []
    for seed in range(4000 // draws):
        x = gaussian(draws, seed)
        found = components_from_gram((x - x.mean(0)) @ (x - x.mean(0)).T, 2)
        true = (found.weights @ x) ** 2 @ SPECTRUM
        ratio.append(found.variance / true)
        fitted.append(found.fitted_variance / true)
    # Directions fitted to one fold less find a little less variance, never more.
    np.testing.assert_allclose(np.mean(ratio, axis=0), 1, atol=0.12 if draws == 12 else 0.08)
    assert (np.mean(fitted, axis=0) > np.mean(ratio, axis=0) + 0.03).all()
    if draws == 12:
        assert (np.mean(fitted, axis=0) > 1.4).all()


@pytest.mark.parametrize("folds", [2, 5, 13])
def test_cross_fitting_by_gram_is_cross_fitting_by_hand(folds: int) -> None:
    x = gaussian(13, 3)[:, :20]
    found = components_from_gram(x @ x.T, 3, folds=folds)
    squares = np.zeros((13, 3))
    for left_out in np.array_split(np.arange(13), folds):
        rest = np.delete(x, left_out, axis=0)
        _, _, directions = np.linalg.svd(rest - rest.mean(0), full_matrices=False)
        scores = (x[left_out] - rest.mean(0)) @ directions[:3].T
        squares[left_out] = scores**2 * len(rest) / (len(rest) + 1)
    np.testing.assert_allclose(found.variance, squares.mean(axis=0))


def test_one_pixel_has_no_direction_to_choose_and_no_bias() -> None:
    x = np.random.default_rng(0).normal(size=(9, 1))
    found = components_from_gram(x @ x.T, 1, folds=9)
    assert found.variance[0] == pytest.approx(x.var(ddof=1))
    assert found.fitted_variance[0] == pytest.approx(x.var(ddof=1))


def test_draws_that_do_not_vary_have_components_of_zero() -> None:
    found = principal_components(np.ones((6, 2, 3)), 2)
    assert (found.directions == 0).all()
    assert (found.std == 0).all()
    assert (found.explained == 0).all()


def test_directions_have_unit_norm_and_the_shape_of_the_image() -> None:
    found = principal_components(gaussian(10, 0).reshape(10, 1, 8, 8), 3)
    assert found.directions.shape == (3, 1, 8, 8)
    flat = found.directions.reshape(3, -1)
    np.testing.assert_allclose(flat @ flat.T, np.eye(3), atol=1e-9)


def test_too_few_draws_for_so_many_components_are_refused() -> None:
    with pytest.raises(ValueError, match="3 components need at least 5 draws but there are 4"):
        principal_components(gaussian(4, 0), 3)
    with pytest.raises(ValueError, match="2 folds of 4 draws leave 2; take more folds"):
        principal_components(gaussian(4, 0), 2, folds=2)


def test_neighbouring_slices_get_the_same_sign() -> None:
    rng = np.random.default_rng(0)
    base = rng.normal(size=(2, 1, 5, 4))
    smooth = base + 0.3 * rng.normal(size=(2, 9, 5, 4))
    flips = rng.choice([-1.0, 1.0], size=(2, 9, 1, 1))
    std = rng.uniform(1, 2, size=(2, 9))
    aligned = smooth * flips
    align_signs(aligned, std)
    inner = (aligned[:, 1:] * aligned[:, :-1]).sum(axis=(2, 3))
    assert (inner > 0).all()
    np.testing.assert_allclose(np.abs(aligned), np.abs(smooth))
    for component, strength in zip(aligned, std, strict=True):
        strongest = component[strength.argmax()]
        assert strongest.flat[np.abs(strongest).argmax()] > 0
