"""Spread of draws over their error, beside the value of an ideal sampler."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import stats

from uqrestore.diagnostics.bootstrap import Estimate, ratio_over_scenes
from uqrestore.diagnostics.scenes import Scenes

Images = Float[np.ndarray, "scene *image"]
DECIBELS_OF_A_DRAW = 10 * np.log10(2)


@dataclass(frozen=True)
class Bin:
    """Pixels of similar predicted standard deviation.

    Attributes:
        predicted: Root mean predicted variance, in the unit of the draws.
        seen: Root mean square error, corrected for the error of the mean of draws.
    """

    predicted: float
    seen: float


@dataclass(frozen=True)
class Reliability:
    """Seen against predicted std over bins of pixels.

    Attributes:
        bins: From the smallest to the largest predicted std.
        slope: Of the seen against the predicted std.
        intercept: In the unit of the draws.
        error: Mean over the bins of ``|seen - predicted| / predicted`` (ENCE).
    """

    bins: tuple[Bin, ...]
    slope: float
    intercept: float
    error: float


@dataclass(frozen=True)
class SpreadSkill:
    """Spread against error.

    Attributes:
        ratio: Spread over error, 1 for an ideal sampler at any number of draws; below 1 the
            draws are too narrow.
        reliability: The same in bins of the predicted std.
        perfect: Bins of an ideal sampler: mean over draws that take the place of the truth. The
            std of few draws is itself noisy, so the slope is below 1 even then. None with two
            draws.
    """

    ratio: Estimate
    reliability: Reliability
    perfect: Reliability | None


def spread_skill(scenes: Scenes, *, bins: int = 10, replays: int = 8) -> SpreadSkill:
    r"""Compare the variance of draws with the squared error of their mean.

    .. math:: \sqrt{\frac{L + 1}{L} \, \frac{\overline{s^2}}{\overline{(x - \bar x)^2}}}

    The factor pays for the error of the mean of :math:`L` draws, which for an ideal sampler
    makes :math:`E (x - \bar x)^2 = (1 + 1 / L) E s^2`.

    Args:
        scenes: Truths and draws.
        bins: Groups of pixels of equal number.
        replays: Draws that play the truth.

    References:
        Fortin et al., "Why should ensemble spread match the RMSE of the ensemble mean?",
        J. Hydrometeorol. 15:1708-1713, 2014, eq. 8. Bins: Levi et al., "Evaluating and
        Calibrating Uncertainty Prediction in Regression Tasks", Sensors 22:5540, 2022, eq. 8.
    """
    ratio = ratio_over_scenes(
        _per_scene(scenes.variance), _per_scene(_squared_error(scenes)), groups=scenes.groups
    )
    perfect = None
    if scenes.draw_count > 2:
        count = min(replays, scenes.draw_count)
        rows = [_bin_table(scenes.promote(draw), bins) for draw in range(count)]
        perfect = _reliability(np.mean(rows, axis=0))
    return SpreadSkill(
        Estimate(*(float(np.sqrt(end)) for end in (ratio.value, ratio.low, ratio.high))),
        _reliability(_bin_table(scenes, bins)),
        perfect,
    )


@dataclass(frozen=True)
class Ceiling:
    """A score whose value for an ideal sampler is not 1, beside that value.

    Attributes:
        value: For the truth.
        ceiling: For a draw that plays the truth; needs no truth.
    """

    value: float
    ceiling: float

    @property
    def share(self) -> float:
        """Value over ceiling: the number to quote."""
        return self.value / self.ceiling


@dataclass(frozen=True)
class ErrorUncertainty:
    """Correlation of the std map with the errors.

    Attributes:
        spearman: Rank correlation of absolute error and std; higher is better.
        ause: Area between the sparsification curves of std and of the error itself, as a share
            of the mean absolute error; lower is better.
        aurg: Area gained over removing pixels at random, likewise; higher is better.
    """

    spearman: Ceiling
    ause: Ceiling
    aurg: Ceiling


def error_uncertainty(scenes: Scenes) -> ErrorUncertainty:
    """Correlate error and std within scenes, beside the value of an ideal sampler.

    Raises:
        ValueError: If there are only two draws: the ceiling needs one to play the truth.

    References:
        Ilg et al., "Uncertainty Estimates and Multi-hypotheses Networks for Optical Flow",
        ECCV 2018, section 4.1 (sparsification). arXiv:1802.07095
    """
    if scenes.draw_count < 3:
        raise ValueError("the ceiling needs at least 3 draws, of which one plays the truth.")
    value = _association(scenes)
    count = min(4, scenes.draw_count)
    ceiling = np.mean([_association(scenes.promote(draw)) for draw in range(count)], axis=0)
    rows = (Ceiling(float(v), float(c)) for v, c in zip(value, ceiling, strict=True))
    return ErrorUncertainty(*rows)


@dataclass(frozen=True)
class ThreeDecibels:
    """The cheapest check of a sampler: how much worse a draw is than the mean.

    Attributes:
        gap: PSNR of the estimate minus PSNR of a draw, in dB.
        expected: The same for an ideal sampler: 3.01 dB against the posterior mean.
        spread_over_error: Posterior variance over the squared error of the posterior mean that
            the gap implies; 1 is right, below 1 the draws are too narrow.
    """

    gap: Estimate
    expected: float
    spread_over_error: float


def three_decibels(scenes: Scenes, *, mmse: Images | None = None) -> ThreeDecibels:
    r"""Check the 3 dB identity :math:`E \|x - x_l\|^2 = 2\, E \|x - m\|^2`.

    Truth and draw are independent given the measurement and identically distributed, so each is
    as far from the posterior mean :math:`m`. The mean of :math:`L` draws has error
    :math:`(1 + 1 / L)` times that of :math:`m`.

    Args:
        scenes: Truths and draws.
        mmse: Posterior mean from elsewhere (a network); the mean of the draws if left out.

    Raises:
        ValueError: If ``mmse`` does not have the shape of the truth.
    """
    if mmse is not None and mmse.shape != scenes.truth.shape:
        raise ValueError(
            f"mmse must be one image per scene, {scenes.truth.shape}, but has shape {mmse.shape}."
        )
    count = scenes.draw_count
    estimate = scenes.mean if mmse is None else mmse
    of_draw = _per_scene(np.mean([(scenes.truth - x) ** 2 for x in scenes.draws], axis=0))
    of_estimate = _per_scene((scenes.truth - estimate) ** 2)
    ratio = ratio_over_scenes(of_draw, of_estimate, groups=scenes.groups)
    gap = Estimate(*(float(10 * np.log10(end)) for end in (ratio.value, ratio.low, ratio.high)))
    if mmse is not None:
        return ThreeDecibels(gap, float(DECIBELS_OF_A_DRAW), ratio.value - 1)
    # error e, variance v: a draw is e + v away, the mean of L draws e + v / L.
    spread = (ratio.value - 1) / (1 - ratio.value / count) if ratio.value < count else np.inf
    return ThreeDecibels(gap, float(10 * np.log10(2 / (1 + 1 / count))), float(spread))


def _per_scene(values: Images) -> Float[np.ndarray, " scene"]:
    return values.reshape(len(values), -1).mean(1, dtype=np.float64)


def _squared_error(scenes: Scenes) -> Images:
    """Squared error, less what the finite number of draws adds to that of their mean."""
    return np.square(scenes.truth - scenes.mean) / (1 + 1 / scenes.draw_count)


def _bin_table(scenes: Scenes, bins: int) -> Float[np.ndarray, "bin 2"]:
    """Mean predicted variance and mean squared error of each bin."""
    variance, error = scenes.variance.ravel(), _squared_error(scenes).ravel()
    parts = np.array_split(np.argsort(variance), min(bins, variance.size))
    return np.array([(variance[part].mean(), error[part].mean()) for part in parts])


def _reliability(table: Float[np.ndarray, "bin 2"]) -> Reliability:
    predicted, seen = np.sqrt(table).T
    slope, intercept = (
        np.polyfit(predicted, seen, 1)
        if np.ptp(predicted) > 1e-6 * predicted.max()
        else (np.nan, np.nan)
    )
    used = predicted > 0
    miss = np.abs(seen - predicted)[used] / predicted[used]
    rows = tuple(Bin(float(p), float(s)) for p, s in zip(predicted, seen, strict=True))
    return Reliability(rows, float(slope), float(intercept), float(miss.mean()))


def _association(scenes: Scenes) -> Float[np.ndarray, " 3"]:
    """Spearman's correlation, AUSE and AURG, each the mean over scenes."""
    rows = []
    for error, std in zip(np.abs(scenes.truth - scenes.mean), scenes.variance**0.5, strict=True):
        error, std = error.ravel(), std.ravel()
        if np.ptp(error) == 0 or np.ptp(std) == 0:
            continue
        by_std, best = _sparsification(error, std), _sparsification(error, error)
        mean = error.mean()
        spearman = stats.spearmanr(error, std)[0]
        rows.append((spearman, (by_std - best).mean() / mean, (mean - by_std).mean() / mean))
    return np.mean(rows, axis=0)


def _sparsification(
    error: Float[np.ndarray, " pixel"], order: Float[np.ndarray, " pixel"]
) -> Float[np.ndarray, " pixel"]:
    """Mean error of what is left after removing the largest ``order``, one pixel at a time."""
    kept = error[np.argsort(order, kind="stable")]
    return (np.cumsum(kept) / np.arange(1, len(kept) + 1))[::-1]
