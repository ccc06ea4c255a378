"""How often intervals of the draws hold the truth, beside what a perfect sampler would show."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from uqrestore.diagnostics.bootstrap import Estimate, mean_over_scenes
from uqrestore.diagnostics.scenes import Scenes
from uqrestore.metrics._checks import check_level

LEVELS = (0.5, 0.8, 0.9, 0.95, 0.99)
Mask = Bool[np.ndarray, "..."]
Images = Float[np.ndarray, "scene *image"]


@dataclass(frozen=True)
class Coverage:
    """Central intervals at one nominal level.

    Attributes:
        level: Nominal level.
        coverage: Share of pixels whose truth is inside, mean over scenes, with its interval.
        expected: What a perfect sampler reaches with this number of draws.
        band: Where a perfect sampler's coverage of these scenes lies 95 % of the time.
        width: Mean width of the intervals (sharpness), in the unit of the draws.
        interval_score: Width plus the penalty for misses; lower is better.
    """

    level: float
    coverage: Estimate
    expected: float
    band: tuple[float, float]
    width: float
    interval_score: float

    @property
    def consistent(self) -> bool:
        """Whether the coverage lies in the band of a perfect sampler."""
        return self.band[0] <= self.coverage.value <= self.band[1]


def measure_coverage(
    scenes: Scenes,
    levels: Sequence[float] = LEVELS,
    *,
    mask: Mask | None = None,
    replays: int = 20,
) -> list[Coverage]:
    r"""Measure pixel-wise coverage at nominal levels, with scenes as the unit.

    A truth between the two draws that an end of the interval lies between counts as covered in
    part, so that a perfect sampler's coverage is *exactly* ``expected``, whatever its law.

    The width of the band is that of replays where draws play the truth; it needs no truth.

    Args:
        scenes: Truths and draws.
        levels: Nominal levels.
        mask: Where to look, ``(*image)`` or ``(scene, *image)``; everywhere if left out.
        replays: Draws that play the truth, at most all of them.

    Returns:
        One row per level.

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
    for level in levels:
        low, high = intervals(scenes, level)
        below, above = np.maximum(low - scenes.truth, 0), np.maximum(scenes.truth - high, 0)
        expected = expected_coverage(scenes.draw_count, level)
        replayed = [per_scene(_hits(play, level)).mean() for play in played]
        sd = np.std(replayed, ddof=1) if count > 1 else np.inf
        band = max(expected - 1.96 * sd, 0.0), min(expected + 1.96 * sd, 1.0)
        rows.append(
            Coverage(
                level,
                mean_over_scenes(per_scene(_hits(scenes, level)), groups=scenes.groups),
                expected,
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
        expected: The same where draws play the truth: a perfect sampler's coverage.
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
            small std of few draws is often small by chance, for a perfect sampler too, so the
            replays must choose their own.
        level: Nominal level.
        mask: Where to look.
        replays: Draws that play the truth.

    Raises:
        ValueError: If the strata fit neither scenes nor pixels.
    """
    inside = _inside(scenes, mask)
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
    """Label pixels by decile, 0 to 9, for :func:`coverage_by`: of an intensity, say."""
    edges = np.quantile(values, np.arange(1, 10) / 10)
    return np.searchsorted(edges, values, side="right")


def intervals(
    scenes: Scenes, level: float
) -> tuple[Float[np.ndarray, " scene *image"], Float[np.ndarray, " scene *image"]]:
    """Return the central interval of the draws of each pixel.

    Quantiles stand at ``i / (L + 1)`` (Weibull), where a truth from the same law falls between
    two of them with the nominal probability; numpy's default covers ``(L - 1) / (L + 1)`` of it.

    Raises:
        ValueError: If the level is no probability.
    """
    check_level("the nominal level of an interval", level)
    tails = [(1 - level) / 2, (1 + level) / 2]
    low, high = np.quantile(scenes.draws, tails, axis=0, method="weibull")
    return low, high


def expected_coverage(draws: int, level: float) -> float:
    """Return the coverage of a perfect sampler: the level, or what the range of draws can cover.

    ``L`` draws reach at most ``(L - 1) / (L + 1)``: 99 % intervals need 199 draws.
    """
    return min(level, (draws - 1) / (draws + 1))


def hits(
    truth: Float[np.ndarray, " *image"], draws: Float[np.ndarray, " draw *image"], level: float
) -> Float[np.ndarray, " *image"]:
    """Say of each pixel whether the truth is inside the interval: 1, 0, or in part at the ends.

    With ``h = (L + 1) (1 - level) / 2``, an end lies between draws number ``floor(h)`` and the
    next; a truth in that gap is inside for the part ``1 - (h - floor(h))`` of it. Ties count
    with the mean over the ranks they could have.

    Args:
        truth: One image, or several.
        draws: Posterior draws of it.
        level: Nominal level of the interval.
    """
    check_level("the nominal level of an interval", level)
    count = len(draws)
    position = max((count + 1) * (1 - level) / 2, 1.0)
    whole = int(position + 1e-9)
    inside = np.zeros(count + 1)
    inside[whole : count + 1 - whole] = 1
    inside[[whole, count - whole]] = 1 - max(position - whole, 0)
    total = np.concatenate([[0], inside.cumsum()])
    first = (draws < truth).sum(0)
    last = (draws <= truth).sum(0)
    return (total[last + 1] - total[first]) / (last - first + 1)


def _hits(scenes: Scenes, level: float) -> Images:
    return hits(scenes.truth, scenes.draws, level)


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
