"""Coverage of central intervals of the draws, beside that of an ideal sampler."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from uqrestore.diagnostics.bootstrap import Estimate, mean_over_scenes
from uqrestore.diagnostics.scenes import Scenes
from uqrestore.posterior.intervals import central_interval

LEVELS = (0.5, 0.8, 0.9, 0.95, 0.99)
Mask = Bool[np.ndarray, "..."]
Images = Float[np.ndarray, "scene *image"]


@dataclass(frozen=True)
class Coverage:
    """Central intervals of one level.

    Attributes:
        level: Exact coverage of an ideal sampler with this number of draws; see
            :mod:`uqrestore.posterior.intervals`.
        coverage: Share of pixels whose truth is inside, mean over scenes, with its interval.
        band: Where an ideal sampler's coverage of these scenes lies 95 % of the time.
        width: Mean width of the intervals (sharpness), in the unit of the draws.
        interval_score: Width plus the penalty for misses; lower is better.
    """

    level: float
    coverage: Estimate
    band: tuple[float, float]
    width: float
    interval_score: float

    @property
    def consistent(self) -> bool:
        """Whether the coverage lies in the band of an ideal sampler."""
        return self.band[0] <= self.coverage.value <= self.band[1]


def measure_coverage(
    scenes: Scenes,
    levels: Sequence[float] = LEVELS,
    *,
    mask: Mask | None = None,
    replays: int = 20,
) -> list[Coverage]:
    r"""Measure pixel-wise coverage of central intervals, with scenes as the unit.

    The intervals end on order statistics of the draws, so that an ideal sampler's coverage is
    *exactly* the level of the row, whatever the distribution. The width of the band is that of
    replays where draws play the truth; it needs no truth.

    Args:
        scenes: Truths and draws.
        levels: Levels wanted; each stands for the nearest one that this number of draws has.
        mask: Where to look, ``(*image)`` or ``(scene, *image)``; everywhere if left out.
        replays: Draws that play the truth, at most all of them.

    Returns:
        One row for each different interval.

    Raises:
        ValueError: If a level is no probability, or the mask leaves a scene empty.

    References:
        Interval score: Gneiting & Raftery, J. Am. Stat. Assoc. 102:359-378, 2007, eq. 43.
    """
    inside = _inside(scenes, mask)
    pixels = inside.reshape(len(scenes), -1).sum(1)

    def per_scene(values: np.ndarray) -> Float[np.ndarray, " scene"]:
        return np.where(inside, values, 0).reshape(len(scenes), -1).sum(1) / pixels

    count = min(replays, scenes.draw_count) if scenes.draw_count > 2 else 0
    played = [scenes.promote(draw) for draw in range(count)]
    rows = []
    for interval in dict.fromkeys(central_interval(scenes.draw_count, level) for level in levels):
        level = interval.level
        low, high = interval.of(scenes.draws)
        below, above = np.maximum(low - scenes.truth, 0), np.maximum(scenes.truth - high, 0)
        replayed = [per_scene(_hits(play, level)).mean() for play in played]
        sd = np.std(replayed, ddof=1) if count > 1 else np.inf
        band = max(level - 1.96 * sd, 0.0), min(level + 1.96 * sd, 1.0)
        rows.append(
            Coverage(
                level,
                mean_over_scenes(per_scene(_hits(scenes, level)), groups=scenes.groups),
                (float(band[0]), float(band[1])),
                float(per_scene(high - low).mean()),
                float(per_scene(high - low + 2 / (1 - level) * (below + above)).mean()),
            )
        )
    return rows


@dataclass(frozen=True)
class Stratum:
    """Coverage of some of the pixels.

    Attributes:
        coverage: Over the scenes that have such pixels.
        expected: The same where draws play the truth: an ideal sampler's coverage.
    """

    coverage: Estimate
    expected: float


Labels = Shaped[np.ndarray, "..."]


def coverage_by(
    scenes: Scenes,
    strata: Labels | Callable[[Scenes], Labels],
    *,
    level: float = 0.9,
    mask: Mask | None = None,
    replays: int = 8,
) -> dict[str, Stratum]:
    """Measure coverage within strata: an average can hide a group that is served badly.

    Args:
        scenes: Truths and at least three draws.
        strata: A label per scene, ``(scene,)`` (operator, acceleration, site), or per pixel,
            ``(*image)`` or ``(scene, *image)`` (organ, decile of intensity). Strata that are
            made from draws (:func:`std_decile`) are given as the function that makes them: a
            small std of few draws is often small by chance, for an ideal sampler too, so the
            replays must choose their own.
        level: Level wanted, of the nearest interval that this number of draws has.
        mask: Where to look.
        replays: Draws that play the truth.

    Raises:
        ValueError: If the strata fit neither scenes nor pixels.
    """
    inside = _inside(scenes, mask)
    level = central_interval(scenes.draw_count, level).level
    found = _stratum_hits(scenes, strata, level, inside)
    count = min(replays, scenes.draw_count) if scenes.draw_count > 2 else 0
    played = [_stratum_hits(scenes.promote(j), strata, level, inside) for j in range(count)]
    rows = {}
    for label, (present, share) in found.items():
        groups = None if scenes.groups is None else scenes.groups[present]
        others = [replay[label][1].mean() for replay in played if label in replay]
        expected = float(np.mean(others)) if others else float("nan")
        rows[label] = Stratum(mean_over_scenes(share, groups=groups), expected)
    return rows


def std_decile(scenes: Scenes) -> Int[np.ndarray, " scene *image"]:
    """Label pixels by the decile of the draws' std, for :func:`coverage_by`."""
    return deciles(scenes.variance)


def deciles(values: Float[np.ndarray, " scene *image"]) -> Int[np.ndarray, " scene *image"]:
    """Label pixels by decile, 0 to 9, for :func:`coverage_by`, such as deciles of intensity."""
    edges = np.quantile(values, np.arange(1, 10) / 10)
    return np.searchsorted(edges, values, side="right")


def hits(
    truth: Float[np.ndarray, " *image"], draws: Float[np.ndarray, " draw *image"], rank: float | int
) -> Float[np.ndarray, " *image"]:
    """Return 1 for pixels whose truth is inside the central interval of the draws, else 0.

    Ties count with the mean over the ranks they could have.

    Args:
        truth: One image, or several.
        draws: Posterior draws of it.
        rank: The interval runs from the ``rank``-th smallest to the ``rank``-th largest draw. Of
            a fraction, a truth in the gap that each end then lies in counts in part.
    """
    count, whole = len(draws), int(rank + 1e-9)
    inside = np.zeros(count + 1)
    inside[whole : count + 1 - whole] = 1
    inside[[whole, count - whole]] = 1 - max(rank - whole, 0)
    total = np.concatenate([[0], inside.cumsum()])
    first = (draws < truth).sum(0)
    last = (draws <= truth).sum(0)
    return (total[last + 1] - total[first]) / (last - first + 1)


def _hits(scenes: Scenes, level: float) -> Images:
    """Return hits of intervals of exactly this level, also where it lies between two ranks."""
    return hits(scenes.truth, scenes.draws, (scenes.draw_count + 1) * (1 - level) / 2)


def _stratum_hits(
    scenes: Scenes, strata: Labels | Callable[[Scenes], Labels], level: float, inside: Mask
) -> dict[str, tuple[Bool[np.ndarray, " scene"], Float[np.ndarray, " present"]]]:
    """Return, for each label, which scenes have it and their coverage there."""
    labels = np.asarray(strata(scenes) if callable(strata) else strata)
    if labels.shape == (len(scenes),):
        labels = labels.reshape(-1, *[1] * (scenes.truth.ndim - 1))
    elif labels.shape not in (scenes.truth.shape, scenes.truth.shape[1:]):
        raise ValueError(
            f"strata have shape {labels.shape} but must label scenes, ({len(scenes)},), or pixels, "
            f"{scenes.truth.shape}."
        )
    labels = np.broadcast_to(labels, scenes.truth.shape)
    hit = _hits(scenes, level).reshape(len(scenes), -1)
    found = {}
    for label in np.unique(labels[inside]):
        here = (inside & (labels == label)).reshape(len(scenes), -1)
        count = here.sum(1)
        share = (hit * here).sum(1)[count > 0] / count[count > 0]
        found[str(label)] = (count > 0, share)
    return found


def _inside(scenes: Scenes, mask: Mask | None) -> Mask:
    shape = scenes.truth.shape
    if mask is None:
        return np.ones(shape, bool)
    if mask.shape not in (shape, shape[1:]):
        raise ValueError(f"the mask has shape {mask.shape} but the images are {shape}.")
    inside = np.broadcast_to(mask, shape)
    empty = np.flatnonzero(~inside.reshape(len(scenes), -1).any(1))
    if len(empty):
        raise ValueError(f"the mask leaves no pixel in scenes {empty[:5].tolist()}.")
    return inside
