"""One exact test under SBC, TARP, PIT and coverage: the rank of the truth among the draws."""

import functools
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy import stats

from uqrestore.metrics._checks import check_level

Values = Float[np.ndarray, "candidate scene"]
Ranks = Int[np.ndarray, " scene"]


@dataclass(frozen=True, eq=False)
class RankTest:
    """Ranks of the truth, one per scene, which an ideal sampler makes uniform.

    Attributes:
        ranks: How many of the draws lie below the truth, 0 to ``draws``.
        draws: Draws per scene.
        p_value: Exact probability, under an ideal sampler, of ranks at least as uneven.
    """

    ranks: Ranks
    draws: int
    p_value: float

    @property
    def shift(self) -> float:
        """How far the mean rank is from the middle, in standard errors; high truth is positive."""
        variance = ((self.draws + 1) ** 2 - 1) / 12
        return float((self.ranks.mean() - self.draws / 2) / np.sqrt(variance / len(self.ranks)))

    @property
    def opening(self) -> float:
        """How much the ranks crowd at both ends, in standard errors; negative: at one place."""
        wanted = (np.arange(self.draws + 1) - self.draws / 2) ** 2
        excess = self.ranks.var() - wanted.mean()
        return float(excess / (wanted.std() / np.sqrt(len(self.ranks))))

    def histogram(self) -> Int[np.ndarray, " rank"]:
        """Count the scenes at every rank."""
        return np.bincount(self.ranks, minlength=self.draws + 1)


def rank_test(values: Values, generator: np.random.Generator) -> RankTest:
    r"""Test that the truth could be any of the draws.

    If the draws come from the posterior then, given the measurement, truth and draws are
    exchangeable. So the rank of the truth by *any* statistic that is symmetric in the candidates
    is uniform on :math:`\{0, \dots, L\}`: no Gaussian assumption, no asymptotics.

    Args:
        values: The statistic of each candidate, the truth first.
        generator: Breaks ties, which else would favour one end.

    Returns:
        The ranks and their p-value.

    Raises:
        ValueError: If a value is NaN, or there are fewer than two scenes or draws.

    References:
        Talts et al., "Validating Bayesian Inference Algorithms with Simulation-Based
        Calibration", 2018. arXiv:1804.06788, theorem 1. Any statistic of the data too: Modrak et
        al., Bayesian Analysis 20, 2025. arXiv:2211.02383
    """
    if np.isnan(values).any():
        raise ValueError(
            f"{int(np.isnan(values).sum())} values of the statistic are NaN, which have no rank."
        )
    truth, others = values[0], values[1:]
    ties = (others == truth).sum(0)
    ranks = (others < truth).sum(0) + generator.integers(0, ties + 1)
    return RankTest(ranks, len(others), uniformity_p_value(ranks, len(others)))


def uniformity_p_value(ranks: Ranks, draws: int) -> float:
    r"""Return the exact p-value of independent ranks being uniform on ``0 .. draws``.

    The number of ranks below :math:`k` is binomial. The statistic is the smallest of its
    two-sided tail probabilities over all :math:`k`; the p-value is the chance that a uniform
    sample has a smaller one, computed by recursion over :math:`k` without approximation, so
    it holds for five scenes and nine draws as for thousands.

    Args:
        ranks: One rank per independent scene.
        draws: :math:`L`.

    Raises:
        ValueError: If there are fewer than two scenes or draws, or a rank is out of range.

    References:
        Sailynoja, Burkner & Vehtari, "Graphical test for discrete uniformity and its
        applications", Stat. Comput. 32:32, 2022, section 2.2. arXiv:2103.10522
    """
    if draws < 2 or len(ranks) < 2:
        raise ValueError(
            f"ranks need at least 2 scenes and 2 draws, got {len(ranks)} scenes and {draws} draws."
        )
    if ranks.min() < 0 or ranks.max() > draws:
        raise ValueError(
            f"with {draws} draws ranks go from 0 to {draws} but these go from {ranks.min()} to "
            f"{ranks.max()}."
        )
    below = np.bincount(ranks, minlength=draws + 1)[:-1].cumsum()
    tails = _tails(len(ranks), draws)
    return _crossing_probability(len(ranks), draws, float(tails[np.arange(draws), below].min()))


def uniformity_band(
    scenes: int, draws: int, *, level: float = 0.95
) -> tuple[Float[np.ndarray, " rank"], Float[np.ndarray, " rank"]]:
    """Return the simultaneous band of the share of ranks below ``1 .. draws``.

    An ideal sampler's whole curve stays within it with probability at least ``level``; leaving
    it is what :func:`uniformity_p_value` tests.

    Args:
        scenes: Number of scenes.
        draws: Draws per scene.
        level: Probability of staying within.

    Returns:
        Lower and upper shares, both included.
    """
    check_level("the level of the band", level)
    tails = _tails(scenes, draws)
    candidates = np.unique(tails[tails <= 1 - level])
    low, high = 0, len(candidates)  # the widest rejection whose chance is still below 1 - level
    while low < high:
        middle = (low + high) // 2
        if _crossing_probability(scenes, draws, float(candidates[middle])) <= 1 - level:
            low = middle + 1
        else:
            high = middle
    kept = tails > (candidates[low - 1] if low else 0)
    first, last = kept.argmax(1), scenes - kept[:, ::-1].argmax(1)
    return first / scenes, last / scenes


def holm(p_values: Float[np.ndarray, " test"]) -> Float[np.ndarray, " test"]:
    """Return p-values corrected for being the most striking of several, by Holm's steps."""
    order = np.argsort(p_values)
    steps = p_values[order] * np.arange(len(p_values), 0, -1)
    corrected = np.empty_like(p_values)
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return corrected


@functools.lru_cache(maxsize=16)
def _tails(scenes: int, draws: int) -> Float[np.ndarray, "draw count"]:
    """Two-sided tail probability of every count of ranks below ``k = 1 .. draws``."""
    share = np.arange(1, draws + 1)[:, None] / (draws + 1)
    count = np.arange(scenes + 1)
    lower = stats.binom.cdf(count, scenes, share)
    upper = stats.binom.sf(count - 1, scenes, share)
    return np.minimum(2 * np.minimum(lower, upper), 1)


def _crossing_probability(scenes: int, draws: int, tail: float) -> float:
    """Return the chance that uniform ranks have a count whose tail is at most ``tail``.

    Multinomial counts are independent Poisson ones given their sum, so the distribution of the
    running count is a convolution per step. The chance of leaving is summed over the step of the
    first exit: only positive terms, so the smallest p-values keep their digits.
    """
    # Tails that are equal in exact arithmetic differ in their last digits.
    allowed = _tails(scenes, draws) > tail * (1 + 1e-9)
    rate = scenes / (draws + 1)
    counts = np.arange(scenes + 1)
    kernel = stats.poisson.pmf(counts, rate)
    kernel = kernel[: np.flatnonzero(kernel)[-1] + 1]
    walk, start, crossing = np.ones(1), 0, 0.0
    for step in range(draws):
        walk = np.convolve(walk, kernel)[: scenes + 1 - start]
        here = counts[start : start + len(walk)]
        stays = allowed[step, here]
        rest = stats.poisson.pmf(scenes - here[~stays], rate * (draws - step))
        crossing += float(walk[~stays] @ rest)
        if not stays.any():
            break
        first, last = np.flatnonzero(stays)[[0, -1]]
        walk, start = walk[first : last + 1], start + int(first)
    return min(crossing / float(stats.poisson.pmf(scenes, scenes)), 1.0)
