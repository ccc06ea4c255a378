"""Proper scores of draws, without the bias that a finite number of draws brings."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from uqrestore.diagnostics.bootstrap import Estimate, mean_over_scenes
from uqrestore.diagnostics.scenes import Scenes

Truth = Float[np.ndarray, "scene *image"]
Draws = Float[np.ndarray, "draw scene *image"]
PerScene = Float[np.ndarray, " scene"]
Score = Callable[[Truth, Draws], PerScene]

AT_ONCE = 2**24  # numbers in memory at once


def fair_crps(
    truth: Truth, draws: Draws, *, above: float = -np.inf, below: float = np.inf
) -> Truth:
    r"""Return the continuous ranked probability score of every pixel, in its unit.

    .. math:: \frac{1}{L} \sum_l |x_l - x| - \frac{1}{2 L (L - 1)} \sum_{l, m} |x_l - x_m|

    Its mean does not depend on the number of draws; the usual form is too large by the factor
    ``1 + 1 / L`` for an ideal sampler.

    Args:
        truth: One image per scene.
        draws: Draws of it.
        above: Count only what happens above this intensity,
        below: and below this one: the range that a reader cares about.

    References:
        Ferro, Q. J. R. Meteorol. Soc. 140:1917-1923, 2014, eq. 4; thresholds: Allen et al.,
        2022, arXiv:2202.12732, proposition 1.
    """
    truth = np.clip(truth, above, below).astype(np.float64)
    draws = np.sort(np.clip(draws, above, below).astype(np.float64), axis=0)
    count = len(draws)
    misses = np.abs(draws - truth).mean(0)
    # The sum over pairs of sorted draws: each is the larger of `rank` and the smaller of the rest.
    weight = (2 * np.arange(count) - count + 1).reshape(-1, *[1] * truth.ndim)
    return misses - (weight * draws).sum(0) / (count * (count - 1))


def fair_energy(truth: Truth, draws: Draws) -> PerScene:
    r"""Return the energy score of each scene: the CRPS of whole images, in their unit.

    .. math:: \frac{1}{L} \sum_l \|x_l - x\| - \frac{1}{2 L (L - 1)} \sum_{l, m} \|x_l - x_m\|

    In many dimensions it hardly sees correlation: score patches too.

    References:
        Gneiting & Raftery, J. Am. Stat. Assoc. 102:359-378, 2007, eq. 22.
    """
    count, scores = len(draws), []
    step = max(1, AT_ONCE // max(draws[:, :1].size, 1))
    for start in range(0, len(truth), step):
        part = slice(start, start + step)
        rows = (draws[:, part] - truth[part]).astype(np.float64)
        rows = rows.reshape(count, rows.shape[1], -1).swapaxes(0, 1)
        gram = rows @ rows.swapaxes(-1, -2)
        square = np.diagonal(gram, axis1=-2, axis2=-1)
        pairs = np.sqrt(np.maximum(square[:, :, None] + square[:, None] - 2 * gram, 0))
        pairs[:, np.arange(count), np.arange(count)] = 0
        spread = pairs.sum((-2, -1)) / (2 * count * (count - 1))
        scores.append(np.sqrt(square).mean(-1) - spread)
    return np.concatenate(scores)


def patch_energy(size: int) -> Score:
    """Return the fair energy score of square patches, mean over the patches that tile an image.

    Raises:
        ValueError: When scoring, if images are not ``(channel, row, column)`` or are smaller.
    """

    def score(truth: Truth, draws: Draws) -> PerScene:
        if truth.ndim != 4 or min(truth.shape[-2:]) < size:
            raise ValueError(
                f"patches of {size} pixels need images (channel, row, column) at least as large, "
                f"got {truth.shape[1:]}."
            )
        rows, columns = (range(0, side - size + 1, size) for side in truth.shape[-2:])
        tiles = [
            (..., slice(row, row + size), slice(column, column + size))
            for row, column in itertools.product(rows, columns)
        ]
        return np.mean([fair_energy(truth[tile], draws[tile]) for tile in tiles], axis=0)

    return score


def variogram(truth: Truth, draws: Draws, *, p: float = 0.5, reach: int | None = None) -> PerScene:
    r"""Return the variogram score: it sees wrong correlation that the energy score does not.

    .. math:: \sum_{i, j} \Big( |x_i - x_j|^p - \frac{1}{L} \sum_l |x_{l,i} - x_{l,j}|^p \Big)^2

    Args:
        truth: One image per scene.
        draws: Draws of it.
        p: Power.
        reach: Only pairs at most this far apart along each axis of space; every pair of the
            image (all channels) if left out, which is for a few hundred pixels.

    References:
        Scheuerer & Hamill, Mon. Weather Rev. 143:1321-1334, 2015, eq. 13.
    """
    if reach is None:
        truth, draws = truth.reshape(len(truth), -1), draws.reshape(*draws.shape[:2], -1)
        first, second = np.triu_indices(truth.shape[1], 1)
        return 2 * _variogram_gap(truth, draws, p, (..., first), (..., second))
    scores = np.zeros(len(truth))
    for shift in itertools.product(range(-reach, reach + 1), repeat=truth.ndim - 2):
        if shift <= (0,) * len(shift):
            continue  # each pair once
        first = tuple(slice(max(s, 0), min(s, 0) or None) for s in shift)
        second = tuple(slice(max(-s, 0), min(-s, 0) or None) for s in shift)
        scores += _variogram_gap(truth, draws, p, (..., *first), (..., *second))
    return 2 * scores


@dataclass(frozen=True)
class ScoreRow:
    """One score, beside those of an ideal sampler and of trivial baselines.

    Attributes:
        name: Which score; lower is better.
        value: Mean over scenes, with its interval.
        floor: Score of the draws when one of them is the truth.
        constant: Score of the mean of draws plus noise of one constant std, the root mean
            square error over all scenes.
        independent: Score of draws whose pixels are made independent: mean plus noise of the
            draws' own std. Only correlations tell it from the draws.
    """

    name: str
    value: Estimate
    floor: float
    constant: float
    independent: float

    @property
    def skill(self) -> float:
        """Share of the way from the better trivial baseline to the floor; 1 is perfect."""
        ceiling = min(self.constant, self.independent)
        gap = ceiling - self.floor
        return (ceiling - self.value.value) / gap if gap > 0 else float("nan")


def score_table(scenes: Scenes, *, seed: int = 0) -> list[ScoreRow]:
    """Score the draws, an ideal sampler, and two baselines that any sampler should beat.

    The floor lets each of up to four draws play the truth, so it is an ideal sampler's score
    only as far as the draws have the right spread; read it beside the battery.

    Args:
        scenes: Truths and at least three draws, images ``(channel, row, column)``.
        seed: Of the baselines' noise.

    Raises:
        ValueError: If there are fewer than three draws.
    """
    if scenes.draw_count < 3:
        raise ValueError(
            f"a floor needs at least 3 draws (one plays the truth), got {scenes.draw_count}."
        )
    rng = np.random.default_rng(seed)
    white = rng.standard_normal(scenes.draws.shape)
    rms = np.sqrt(np.mean((scenes.truth - scenes.mean) ** 2))
    constant = scenes.mean + rms * white
    independent = scenes.mean + np.sqrt(scenes.variance) * white
    played = [scenes.promote(draw) for draw in range(min(4, scenes.draw_count))]
    rows = []
    for name, score in _scores(scenes).items():
        values = score(scenes.truth, scenes.draws)
        floor = np.mean([score(scene.truth, scene.draws).mean() for scene in played])
        rows.append(
            ScoreRow(
                name,
                mean_over_scenes(values, groups=scenes.groups),
                float(floor),
                float(score(scenes.truth, constant).mean()),
                float(score(scenes.truth, independent).mean()),
            )
        )
    return rows


def _scores(scenes: Scenes) -> dict[str, Score]:
    def crps(truth: Truth, draws: Draws) -> PerScene:
        return fair_crps(truth, draws).reshape(len(truth), -1).mean(1)

    def near_variogram(truth: Truth, draws: Draws) -> PerScene:
        return variogram(truth, draws, reach=1)

    chosen: dict[str, Score] = {"crps": crps, "energy": fair_energy, "variogram": near_variogram}
    for size in (3, 8, 16):
        if scenes.truth.ndim == 4 and min(scenes.truth.shape[-2:]) > size:
            chosen[f"energy of {size} x {size} patches"] = patch_energy(size)
    return chosen


def _variogram_gap(
    truth: Truth, draws: Draws, p: float, first: tuple[object, ...], second: tuple[object, ...]
) -> PerScene:
    """Sum over pairs, each once, of the squared gap between observed and drawn variogram."""
    gap = np.abs(truth[first] - truth[second]).astype(np.float64) ** p  # type: ignore[index]
    for draw in draws:
        gap -= np.abs(draw[first] - draw[second]) ** p / len(draws)  # type: ignore[index]
    return np.square(gap).reshape(len(truth), -1).sum(1)
