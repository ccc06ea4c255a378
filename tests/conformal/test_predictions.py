"""Errors in predicted standard deviations, scene by scene."""

import numpy as np
import pytest

from uqrestore.conformal.predictions import SMALLEST_STD, Predictions, floored_std
from uqrestore.diagnostics.scenes import Scenes


def randn(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def example(mask: np.ndarray | None = None) -> Predictions:
    truth = randn(4, 1, 3, 5)
    return Predictions(
        truth, truth + randn(*truth.shape, seed=1), 1 + randn(*truth.shape) ** 2, mask
    )


def test_scores_are_the_width_that_a_share_of_pixels_needs() -> None:
    p = example()
    error = np.abs(p.truth - p.centre) / p.scale

    np.testing.assert_allclose(p.scores(), error.reshape(4, -1).max(1))
    for share in (0.2, 0.9, 1.0):
        width = p.scores(share=share)
        inside = (error <= width[:, None, None, None]).reshape(4, -1).mean(1)
        just_below = (error < width[:, None, None, None]).reshape(4, -1).mean(1)
        assert (inside >= share - 1e-12).all()
        assert (just_below < share).all()


def test_misses_count_pixels_outside() -> None:
    p = example()
    error = np.abs(p.truth - p.centre) / p.scale
    widths = np.array([0.0, 0.5, 2.0])
    wanted = [(error > width).reshape(4, -1).mean(1) for width in widths]
    np.testing.assert_allclose(p.misses(widths), np.stack(wanted, axis=1))


def test_only_the_mask_counts() -> None:
    mask = randn(4, 1, 3, 5, seed=2) > 0
    p = example(mask)
    error = np.abs(p.truth - p.centre) / p.scale
    np.testing.assert_allclose(p.scores(), np.where(mask, error, 0).reshape(4, -1).max(1))


def test_pixels_that_all_draws_agree_on_keep_a_small_std() -> None:
    draws = randn(6, 4, 1, 3, 5)
    draws[..., 0] = 7
    std = Predictions.from_scenes(Scenes(draws[0], draws)).scale

    rms = np.sqrt(draws.var(0, ddof=1).reshape(4, -1).mean(1))
    np.testing.assert_allclose(std[:, 0, 0, 0], SMALLEST_STD * rms)
    np.testing.assert_allclose(std[..., 1:], draws.std(0, ddof=1)[..., 1:])


def test_bad_predictions_are_refused() -> None:
    p = example()
    with pytest.raises(ValueError, match=r"15 entries of the scale are 0 or less"):
        Predictions(p.truth, p.centre, p.scale * np.array([1, 1, 0, 1]).reshape(4, 1, 1, 1))
    with pytest.raises(ValueError, match="centre must be one image per scene like the truth"):
        Predictions(p.truth, p.centre[:, :, :2], p.scale)
    with pytest.raises(ValueError, match="the centre hold 60 values"):
        Predictions(p.truth, np.full_like(p.truth, np.nan), p.scale)
    with pytest.raises(ValueError, match="at least 2 scenes, got 1"):
        Predictions(p.truth[:1], p.centre[:1], p.scale[:1])
    with pytest.raises(ValueError, match="mask leaves no pixel"):
        example(np.zeros((4, 1, 3, 5), bool))
    with pytest.raises(ValueError, match=r"all draws of scenes \[2\] are equal"):
        floored_std(np.array([1.0, 1.0, 0.0]).reshape(3, 1, 1, 1))
    for share in (0.0, 1.2):
        with pytest.raises(ValueError, match="share is a part of the pixels"):
            p.scores(share=share)
