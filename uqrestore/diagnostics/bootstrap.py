"""Intervals that resample scenes, never pixels."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from uqrestore.metrics._checks import check_level

Weights = Float[np.ndarray, "repeat scene"]


@dataclass(frozen=True)
class Estimate:
    """A number and what other scenes of the same kind could have made of it.

    Attributes:
        value: From the scenes as they are.
        low: Lower end of the bootstrap interval.
        high: Upper end.
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3g} ({self.low:.3g} to {self.high:.3g})"


def scene_bootstrap(
    statistic: Callable[[Weights], Float[np.ndarray, " repeat"]],
    scenes: int,
    *,
    groups: Int[np.ndarray, " scene"] | None = None,
    level: float = 0.95,
    repeats: int = 1000,
    seed: int = 0,
) -> Estimate:
    """Resample scenes, or whole people where scenes share a person.

    Args:
        statistic: A number from weights of the scenes; each row of weights sums to 1.
        scenes: Number of scenes.
        groups: The person each scene comes from.
        level: Probability that the interval is meant to have.
        repeats: Resamplings.
        seed: Of the resampling.

    References:
        Efron & Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.
    """
    check_level("the level of the bootstrap interval", level)
    labels = np.arange(scenes) if groups is None else np.unique(groups, return_inverse=True)[1]
    units = int(labels.max()) + 1
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(units, np.full(units, 1 / units), size=repeats)[:, labels]
    weights = np.concatenate([np.ones((1, scenes)), counts])
    values = statistic(weights / weights.sum(1, keepdims=True))
    low, high = np.nanquantile(values[1:], [(1 - level) / 2, (1 + level) / 2])
    return Estimate(float(values[0]), float(low), float(high))


def mean_over_scenes(
    values: Float[np.ndarray, " scene"],
    *,
    groups: Int[np.ndarray, " scene"] | None = None,
    level: float = 0.95,
) -> Estimate:
    """Return the mean of one number per scene with its bootstrap interval."""
    values = values.astype(np.float64)
    return scene_bootstrap(lambda w: w @ values, len(values), groups=groups, level=level)


def ratio_over_scenes(
    above: Float[np.ndarray, " scene"],
    below: Float[np.ndarray, " scene"],
    *,
    groups: Int[np.ndarray, " scene"] | None = None,
    level: float = 0.95,
) -> Estimate:
    """Return the ratio of two means over scenes with its bootstrap interval."""

    def ratio(weights: Weights) -> Float[np.ndarray, " repeat"]:
        total = weights @ below
        return weights @ above / np.where(total > 0, total, np.nan)

    return scene_bootstrap(ratio, len(above), groups=groups, level=level)
