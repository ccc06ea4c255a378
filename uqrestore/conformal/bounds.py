"""Upper bounds of a mean risk from the losses of a finite number of units, distribution-free."""

import math
from collections.abc import Callable
from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy import optimize, stats

from uqrestore.metrics._checks import check_level

Losses = Float[np.ndarray, " scene"]
BoundName = Literal["wsr", "hb"]


def hoeffding_bentkus_p_value(mean: float, scenes: int, risk: float) -> float:
    r"""Return a p-value of "the risk is above ``risk``" from the mean loss of scenes.

    .. math:: \min\big( e^{-n\, h(\min(\hat R, \alpha), \alpha)},\;
              e \, P(\mathrm{Bin}(n, \alpha) \le \lceil n \hat R \rceil) \big)

    with :math:`h(a, b)` the divergence of two coins. Valid for any losses in [0, 1].

    Args:
        mean: :math:`\hat R`.
        scenes: :math:`n`.
        risk: :math:`\alpha`.

    References:
        Bates et al., "Distribution-Free, Risk-Controlling Prediction Sets", J. ACM 68:43, 2021,
        theorem 4 and proposition 2 (with the ceiling). arXiv:2101.02703
    """
    low = min(mean, risk)
    divergence = _term(low, risk) + _term(1 - low, 1 - risk)
    # The ceiling of a mean that is a whole number up to rounding is that number.
    successes = math.ceil(scenes * mean - 1e-9)
    bentkus = math.e * float(stats.binom.cdf(successes, scenes, risk))
    return min(math.exp(-scenes * divergence), bentkus, 1.0)


def hoeffding_bentkus_bound(losses: Losses, delta: float) -> float:
    """Return an upper bound of the mean loss that fails with probability at most ``delta``.

    Looks at the mean alone, so it is the one to quote for losses that are 0 or 1.

    Raises:
        ValueError: If losses leave [0, 1] or ``delta`` is no probability.
    """
    check_losses(losses)
    check_level("delta", delta)
    mean = float(losses.mean())

    def excess(risk: float) -> float:
        return hoeffding_bentkus_p_value(mean, len(losses), risk) - delta

    if mean >= 1 or excess(1 - 1e-12) > 0:
        return 1.0
    return _root(excess, mean, 1 - 1e-12)


def betting_bound(losses: Losses, delta: float) -> float:
    r"""Return an upper bound of the mean loss that fails with probability at most ``delta``.

    .. math:: \inf \{ r : \max_i \prod_{j \le i} (1 - \nu_j (L_j - r)) > 1 / \delta \}, \quad
              \nu_j = \min\Big(1, \sqrt{\frac{2 \log (1 / \delta)}{n \hat\sigma^2_{j - 1}}}\Big)

    with running mean and variance that start from 1/2 and 1/4. Adapts to the variance of the
    losses, so it is far tighter than Hoeffding's where scenes resemble each other.

    Args:
        losses: In [0, 1], in an order that does not depend on them.
        delta: Probability of failing.

    Raises:
        ValueError: If losses leave [0, 1] or ``delta`` is no probability.

    References:
        Waudby-Smith & Ramdas, "Estimating means of bounded random variables by betting", J. R.
        Stat. Soc. B 86:1-27, 2024. arXiv:2010.09686; in this form Bates et al., 2021,
        proposition 5.
    """
    check_losses(losses)
    check_level("delta", delta)
    n = len(losses)
    step = np.arange(1, n + 1)
    mean = (0.5 + np.cumsum(losses)) / (1 + step)
    variance = (0.25 + np.cumsum((losses - mean) ** 2)) / (1 + step)
    before = np.concatenate([[0.25], variance[:-1]])
    stake = np.minimum(1, np.sqrt(2 * math.log(1 / delta) / (n * before)))

    def excess(risk: float) -> float:
        with np.errstate(divide="ignore"):  # a stake of all on a loss of 1 loses all
            wealth = np.cumsum(np.log(1 - stake * (losses - risk)))
        return float(wealth.max()) - math.log(1 / delta)

    if excess(1.0) <= 0:
        return 1.0
    if excess(0.0) > 0:
        return 0.0
    return _root(excess, 0.0, 1.0)


BOUNDS: dict[BoundName, Callable[[Losses, float], float]] = {
    "wsr": betting_bound,
    "hb": hoeffding_bentkus_bound,
}


def smallest_count(alpha: float, delta: float, bound: BoundName = "wsr") -> int:
    """Number of units without any loss that it takes to certify a risk below ``alpha``."""
    low, high = 2, 2
    while BOUNDS[bound](np.zeros(high), delta) >= alpha:
        low, high = high, 2 * high
    while low < high:
        middle = (low + high) // 2
        if BOUNDS[bound](np.zeros(middle), delta) < alpha:
            high = middle
        else:
            low = middle + 1
    return high


def check_losses(losses: Float[np.ndarray, "..."]) -> None:
    """Raise unless there are at least two losses, all in [0, 1].

    Raises:
        ValueError: If there are not.
    """
    if len(losses) < 2:
        raise ValueError(
            f"a bound needs the losses of at least 2 people or scenes, got {len(losses)}."
        )
    if not (np.isfinite(losses).all() and losses.min() >= 0 and losses.max() <= 1):
        raise ValueError(
            f"losses must lie in [0, 1] but go from {losses.min():.3g} to {losses.max():.3g}; "
            "divide them by their largest possible value."
        )


def _root(excess: Callable[[float], float], low: float, high: float) -> float:
    """Return where a function changes sign, rounded up: no bound may be too small."""
    root = optimize.brentq(excess, low, high, xtol=1e-10)
    assert isinstance(root, float)
    return root + 1e-10


def _term(a: float, b: float) -> float:
    return a * math.log(a / b) if a > 0 else 0.0
