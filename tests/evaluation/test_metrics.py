"""Metrics say what their formulas say, in a stated data range."""

import numpy as np
import pytest

from uqrestore.evaluation.metrics import interval_coverage, psnr, ssim

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


@pytest.mark.parametrize(("count", "wanted"), [(19, 0.9), (32, 0.9), (50, 0.9), (8, 7 / 9)])
def test_a_truth_from_the_law_of_the_draws_is_covered_as_often_as_said(
    count: int, wanted: float
) -> None:
    draws, truth = randn(count, 40, 1, 30, 30), randn(40, 1, 30, 30, seed=1)
    mask = np.ones((40, 30, 30), bool)

    # 36 000 independent pixels: the standard error is 0.0016.
    assert interval_coverage(draws, truth, mask, level=0.9) == pytest.approx(wanted, abs=0.005)
    assert interval_coverage(0.5 * draws, truth, mask, level=0.9) < 0.65
