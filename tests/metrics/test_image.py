"""Metrics say what their formulas say, in a stated data range."""

from collections.abc import Callable

import numpy as np
import pytest

from uqrestore.metrics.image import image_quality, magnitude, nmse, psnr, ssim

SHAPE = (2, 1, 24, 20)


def randn(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def test_psnr_of_a_known_error() -> None:
    truth, mask = randn(*SHAPE), np.ones((2, 24, 20), bool)

    assert psnr(truth + 0.02, truth, mask, data_range=2.0) == pytest.approx(40)
    assert psnr(truth, truth, mask, data_range=2.0) == float("inf")


def test_psnr_looks_inside_the_mask_alone_and_pools_the_slices() -> None:
    truth, mask = randn(*SHAPE), np.zeros((2, 24, 20), bool)
    mask[0, :3] = mask[1, :9] = True
    estimate = truth + 100.0
    estimate[0, 0, :3] = truth[0, 0, :3] + 0.1
    estimate[1, 0, :9] = truth[1, 0, :9] - 0.3

    wanted = 10 * np.log10(4 / (0.25 * 0.01 + 0.75 * 0.09))
    assert psnr(estimate, truth, mask, data_range=2.0) == pytest.approx(wanted)


def test_psnr_changes_with_no_unit() -> None:
    truth, mask = randn(*SHAPE), np.ones((2, 24, 20), bool)
    estimate = truth + 0.1 * randn(*SHAPE, seed=1)

    in_network = psnr(estimate, truth, mask, data_range=2.0)
    in_file = psnr(40 * estimate + 7, 40 * truth + 7, mask, data_range=80.0)
    assert in_network == pytest.approx(in_file)


def test_psnr_of_an_empty_mask_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one pixel"):
        psnr(randn(*SHAPE), randn(*SHAPE), np.zeros((2, 24, 20), bool), data_range=2.0)


def test_ssim_is_one_for_the_truth_and_falls_with_noise() -> None:
    truth, mask = randn(*SHAPE), np.ones((2, 24, 20), bool)
    mask[:, :5] = False

    values = [
        ssim(truth + noise * randn(*SHAPE, seed=1), truth, mask, data_range=2.0)
        for noise in (0.0, 0.1, 0.5)
    ]
    assert values[0] == pytest.approx(1)
    assert values[0] > values[1] > values[2]


def test_metrics_are_those_of_scikit_image() -> None:
    from skimage.metrics import (
        normalized_root_mse,
        peak_signal_noise_ratio,
        structural_similarity,
    )

    truth = randn(1, 1, 24, 20)
    estimate, mask = truth + 0.3 * randn(1, 1, 24, 20, seed=1), np.ones((1, 24, 20), bool)
    assert psnr(estimate, truth, mask, data_range=2.0) == pytest.approx(
        peak_signal_noise_ratio(truth, estimate, data_range=2.0)
    )
    assert nmse(estimate, truth, mask) == pytest.approx(normalized_root_mse(truth, estimate) ** 2)
    local = structural_similarity(
        truth[0, 0],
        estimate[0, 0],
        data_range=20.0,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )[1]
    assert ssim(estimate, truth, mask, data_range=20.0) == pytest.approx(local.mean())


def test_mean_and_draws_are_three_decibels_apart() -> None:
    g = np.random.default_rng(0)
    mean, mask = g.standard_normal((60, 1, 24, 20)), np.ones((60, 24, 20), bool)
    truth = mean + 0.2 * g.standard_normal(mean.shape)
    draws = mean + 0.2 * g.standard_normal((3, *mean.shape))
    found = image_quality(draws, truth, mask, data_range=2.0, mean=mean)

    assert set(found) == {"psnr", "ssim", "nmse"}
    assert found["psnr"].of_mean - found["psnr"].of_draws == pytest.approx(3.01, abs=0.05)
    assert found["ssim"].of_mean > found["ssim"].of_draws
    assert found["nmse"].of_draws == pytest.approx(2 * found["nmse"].of_mean, rel=0.02)
    own = image_quality(draws, truth, mask, data_range=2.0)
    assert own["psnr"].of_mean == psnr(draws.mean(0), truth, mask, data_range=2.0)


def test_complex_images_are_judged_by_magnitude_and_by_both_parts() -> None:
    truth, mask = randn(2, 2, 24, 20), np.ones((2, 24, 20), bool)
    turned = np.stack([-truth[:, 1], truth[:, 0]], axis=1)  # a phase of 90 degrees
    found = image_quality(np.stack([turned, turned]), truth, mask, data_range=2.0)

    assert found["psnr"].of_mean == float("inf")
    assert found["nmse"].of_mean == 0
    assert found["nmse, complex"].of_mean == pytest.approx(2)
    np.testing.assert_allclose(magnitude(truth)[:, 0], np.hypot(truth[:, 0], truth[:, 1]))


@pytest.mark.parametrize("metric", [psnr, ssim])
def test_ranges_and_shapes_must_make_sense(metric: Callable[..., float]) -> None:
    truth, mask = randn(*SHAPE), np.ones((2, 24, 20), bool)
    with pytest.raises(ValueError, match=r"range of the data, above 0.*got 0"):
        metric(truth, truth, mask, data_range=0.0)
    with pytest.raises(ValueError, match="images of one shape"):
        metric(truth[:1], truth[:1], mask, data_range=1.0)
    with pytest.raises(ValueError, match="at least one pixel inside"):
        metric(truth, truth, ~mask, data_range=1.0)


def test_what_has_no_metric_is_refused() -> None:
    truth, mask = randn(*SHAPE), np.ones((2, 24, 20), bool)
    with pytest.raises(ValueError, match="energy of the truth, which is 0"):
        nmse(truth, 0 * truth, mask)
    with pytest.raises(ValueError, match="windows of 11 x 11 pixels"):
        ssim(truth[..., :9], truth[..., :9], mask[..., :9], data_range=1.0)
    with pytest.raises(ValueError, match="two channels"):
        magnitude(truth)
