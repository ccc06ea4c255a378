"""Central intervals between order statistics of draws: exact for any number of draws.

If truth and draws are exchangeable, as they are for an ideal sampler, the truth is equally likely
to fall into each of the ``m + 1`` gaps between ``m`` ordered draws. The interval from the
``r``-th smallest to the ``r``-th largest draw then holds it with probability
``(m + 1 - 2 r) / (m + 1)``, whatever the distribution. Interpolated sample quantiles have no such
probability, so the library never interpolates: it takes the interval whose probability comes
nearest to the level asked for, and names that probability. See docs/maths.md, eq. (11).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Real


@dataclass(frozen=True)
class CentralInterval:
    """Interval from the ``rank``-th smallest to the ``rank``-th largest draw.

    Attributes:
        draws: Number of draws, ``m``.
        rank: ``r``; 1 spans from the smallest draw to the largest.
    """

    draws: int
    rank: int

    @property
    def level(self) -> float:
        """Probability that an ideal sampler's interval holds the truth."""
        return (self.draws + 1 - 2 * self.rank) / (self.draws + 1)

    @property
    def tails(self) -> tuple[float, float]:
        """Probability that the truth lies below each end."""
        return self.rank / (self.draws + 1), 1 - self.rank / (self.draws + 1)

    @property
    def name(self) -> str:
        """The level as text, such as ``88.2 %``."""
        return percent(self.level)

    @property
    def ends(self) -> str:
        """The two draws that the interval ends on, as text."""
        if self.rank == 1:
            return f"the smallest to the largest of {self.draws} draws"
        nth = {2: "2nd", 3: "3rd"}.get(self.rank, f"{self.rank}th")
        return f"the {nth} smallest to the {nth} largest of {self.draws} draws"

    def of(
        self, draws: Real[np.ndarray, " draw *shape"]
    ) -> tuple[Real[np.ndarray, " *shape"], Real[np.ndarray, " *shape"]]:
        """Return the lower and the upper ends of intervals of draws.

        Raises:
            ValueError: If the number of draws is another.
        """
        if len(draws) != self.draws:
            raise ValueError(f"the interval is one of {self.draws} draws but got {len(draws)}.")
        places = self.rank - 1, self.draws - self.rank
        ordered = np.partition(draws, places, axis=0)
        return np.asarray(ordered[places[0]]), np.asarray(ordered[places[1]])


def central_interval(draws: int, level: float | int = 0.9) -> CentralInterval:
    """Return the central interval whose probability comes nearest to a level.

    Of two that come equally near it is the wider one. With fewer than 19 draws nothing reaches
    90 %; the interval from the smallest to the largest draw is then the nearest there is.

    Raises:
        ValueError: If there is no draw, or the level is no probability.
    """
    if draws < 1:
        raise ValueError(f"an interval needs at least one draw, got {draws}.")
    if not 0 < level < 1:
        raise ValueError(
            "the nominal level of an interval is a probability between 0 and 1, both excluded, "
            f"got {level}; 90 % is written 0.9."
        )
    position = (draws + 1) * (1 - level) / 2
    # The slack keeps 39 draws at 90 %, whose position is 1.9999999999999996, on rank 2.
    rank = int(np.ceil(position - 0.5 - 1e-9))
    return CentralInterval(draws, min(max(rank, 1), (draws + 1) // 2))


def exact_level(level: float, draws: int) -> float:
    """Return the quantile level next to ``level`` at which a draw stands; the median stays.

    The level of the ``k``-th smallest of ``m`` draws is ``k / (m + 1)``, the probability that a
    truth exchangeable with them lies below it.
    """
    if level == 0.5:
        return level
    low, high = central_interval(draws, abs(1 - 2 * level)).tails
    return low if level < 0.5 else high


def quantiles(
    draws: Real[np.ndarray, " draw *shape"], levels: tuple[float, ...]
) -> Real[np.ndarray, " level *shape"]:
    """Return quantiles of draws at levels made by :func:`exact_level`: order statistics.

    The median of an even number of draws is the mean of the middle two.
    """
    ordered = np.sort(draws, axis=0)
    places = [level * (len(draws) + 1) - 1 for level in levels]
    pairs = [(int(place + 1e-6), int(np.ceil(place - 1e-6))) for place in places]
    return np.stack([(ordered[low] + ordered[high]) / 2 for low, high in pairs])


def percent(share: float) -> str:
    """Write a share as a percentage with at most one decimal, such as ``90 %`` or ``88.2 %``."""
    return f"{100 * share:.1f}".removesuffix(".0") + " %"
