"""Scattering features see texture, not position, and say which map they came from."""

import numpy as np
import pytest

from uqrestore.metrics.features import Features, ScatteringFeatures, joint, scattering


def textures(count: int, *, smooth: float, seed: int = 0) -> np.ndarray:
    """Stationary Gaussian fields with a power spectrum that falls at the given rate."""
    g = np.random.default_rng(seed)
    rows, columns = np.meshgrid(np.fft.fftfreq(24), np.fft.fftfreq(20), indexing="ij")
    amplitude = (0.05**2 + rows**2 + columns**2) ** (-smooth / 2)
    amplitude /= np.sqrt(np.mean(amplitude**2))
    white = g.standard_normal((count, 1, 24, 20))
    return np.fft.ifft2(np.fft.fft2(white) * amplitude).real


def test_features_do_not_move_with_the_image() -> None:
    images = textures(3, smooth=1.5)
    shifted = np.roll(images, (5, 3), axis=(-2, -1))
    np.testing.assert_allclose(
        scattering(shifted, scales=3, angles=6), scattering(images, scales=3, angles=6)
    )


def test_a_constant_has_no_texture() -> None:
    raw = scattering(np.full((1, 1, 24, 20), 3.0), scales=3, angles=4)[0]
    assert raw[0] == 3.0
    np.testing.assert_allclose(raw[1:], 0, atol=1e-12)
    assert len(raw) == 2 + 3 * 4 + (2 + 1) * 4 * 4


def test_a_wave_answers_in_its_own_octave_and_orientation() -> None:
    column = np.arange(32)
    wave = np.cos(2 * np.pi * 0.1875 * column) * np.ones((1, 1, 32, 1))  # half of 0.375
    raw = scattering(wave, scales=3, angles=4)[0, 2:14].reshape(3, 4)
    assert np.unravel_index(raw.argmax(), raw.shape) == (1, 2)


def test_fitted_features_are_decorrelated_and_named() -> None:
    train = textures(80, smooth=1.5)
    features = ScatteringFeatures.fit(train, 6)
    values = features(train).values

    np.testing.assert_allclose(values.mean(0), 0, atol=1e-9)
    np.testing.assert_allclose(np.cov(values.T, bias=True), np.eye(6), atol=1e-9)
    other = ScatteringFeatures.fit(textures(80, smooth=1.5, seed=1), 6)
    assert features.name.startswith("scattering-3-6-6 ")
    assert features.name != other.name
    assert features(train).extractor == features.name


def test_pairs_hold_both() -> None:
    a, b = Features(np.ones((3, 2)), "a"), Features(np.zeros((3, 1)), "b")
    both = joint(a, b)
    np.testing.assert_array_equal(both.values, [[1, 1, 0]] * 3)
    assert both.extractor == "a with b"
    with pytest.raises(ValueError, match="got 3 and 2"):
        joint(a, Features(np.zeros((2, 1)), "b"))


def test_too_little_to_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="more than 32 training images"):
        ScatteringFeatures.fit(textures(20, smooth=1.0))
    with pytest.raises(ValueError, match="vary in fewer than 6"):
        ScatteringFeatures.fit(np.repeat(textures(2, smooth=1.0), 10, axis=0), 6)
    with pytest.raises(ValueError, match="at least 16 pixels a side"):
        scattering(np.zeros((2, 1, 24, 12)), scales=3, angles=4)
