"""Four ways to choose the width of an interval so that a promise holds for new scenes.

Losses are tables ``(scene, width)``: what each scene loses at each of increasing widths.
"""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy import stats

from uqrestore.conformal.bounds import (
    BOUNDS,
    BoundName,
    betting_bound,
    check_losses,
    hoeffding_bentkus_p_value,
    smallest_count,
)
from uqrestore.metrics._checks import check_level

Losses = Float[np.ndarray, "scene width"]
Widths = Float[np.ndarray, " width"]

# Widths to choose from, in predicted standard deviations; each is 1 % above the one before.
WIDTHS = np.geomspace(0.05, 1000, 1000)


def split_conformal(scores: Float[np.ndarray, " scene"], alpha: float) -> float:
    r"""Return the width that a new scene's score exceeds with probability at most ``alpha``.

    The :math:`\lceil (n + 1)(1 - \alpha) \rceil`-th smallest score: the new score is equally
    likely to fall into each of the gaps between exchangeable ones.

    Args:
        scores: Width that each calibration scene would have needed.
        alpha: Probability of failing, over calibration sets and new scenes together; for one
            calibration set see :func:`coverage_range`.

    Raises:
        ValueError: If ``alpha`` is no probability, or there are too few scenes for it.

    References:
        Vovk, Gammerman & Shafer, "Algorithmic Learning in a Random World", 2005; Lei et al.,
        J. Am. Stat. Assoc. 113:1094-1111, 2018, theorem 2.2.
    """
    check_level("alpha", alpha)
    rank = math.ceil((len(scores) + 1) * (1 - alpha) - 1e-9)
    if rank > len(scores):
        raise ValueError(
            f"{len(scores)} scenes cannot promise {100 * (1 - alpha):g} %: it takes at least "
            f"{math.ceil((1 - alpha) / alpha - 1e-9)}. Add scenes or raise alpha."
        )
    return float(np.sort(scores)[rank - 1])


def coverage_range(scenes: int, alpha: float, *, level: float = 0.9) -> tuple[float, float]:
    r"""Return where the coverage of one calibration set lies with probability ``level``.

    Given the calibration set, coverage is :math:`\mathrm{Beta}(n + 1 - l, l)` with :math:`l =
    \lfloor (n + 1) \alpha \rfloor` (for scores without ties; else it is higher).

    References:
        Vovk, "Conditional validity of inductive conformal predictors", ACML 2012, section 3.
    """
    low, high = stats.beta.ppf(
        [(1 - level) / 2, (1 + level) / 2], *coverage_distribution(scenes, alpha)
    )
    return float(low), float(high)


def coverage_distribution(scenes: int, alpha: float) -> tuple[int, int]:
    """Return the two parameters of the Beta law of :func:`coverage_range`."""
    spared = math.floor((scenes + 1) * alpha + 1e-9)
    return scenes + 1 - spared, spared


def conformal_risk_control(losses: Losses, widths: Widths, alpha: float) -> float:
    r"""Return the smallest width whose expected loss on a new scene is at most ``alpha``.

    .. math:: \inf \Big\{ \lambda : \frac{n}{n + 1} \hat R(\lambda) + \frac{1}{n + 1} \le \alpha
              \Big\}

    Args:
        losses: In [0, 1], not increasing with the width.
        widths: Increasing.
        alpha: Expected loss, over calibration sets and new scenes together.

    Raises:
        ValueError: If losses increase, or too few scenes or too narrow widths cannot reach it.

    References:
        Angelopoulos et al., "Conformal Risk Control", ICLR 2024, theorem 1. arXiv:2208.02814
    """
    _check_table(losses, widths, alpha)
    n = len(losses)
    if 1 / (n + 1) > alpha:
        raise ValueError(
            f"{n} scenes cannot promise an expected loss of {alpha:g}: it takes at least "
            f"{math.ceil(1 / alpha - 1 - 1e-9)} scenes without any loss. Add scenes or raise alpha."
        )
    good = n / (n + 1) * losses.mean(0) + 1 / (n + 1) <= alpha + 1e-12
    if not good[-1]:
        raise ValueError(_too_narrow(losses, widths, alpha))
    return float(widths[good.argmax()])


def control_risk(
    losses: Losses, widths: Widths, alpha: float, delta: float, *, bound: BoundName = "wsr"
) -> float:
    r"""Return a width whose risk is below ``alpha``, but for unlucky calibration sets (RCPS).

    .. math:: \inf \{ \lambda : \hat R^+(\lambda') < \alpha \;\; \forall \lambda' \ge \lambda \}

    Args:
        losses: In [0, 1], not increasing with the width.
        widths: Increasing.
        alpha: Mean loss of new scenes.
        delta: Probability of a calibration set that breaks the promise.
        bound: ``"wsr"`` (betting; adapts to the variance) or ``"hb"`` (Hoeffding-Bentkus).

    Raises:
        ValueError: If losses increase, or too few scenes or too narrow widths cannot reach it.

    References:
        Bates et al., "Distribution-Free, Risk-Controlling Prediction Sets", J. ACM 68:43, 2021,
        theorem 1. arXiv:2101.02703
    """
    _check_table(losses, widths, alpha)
    check_level("delta", delta)
    needed = smallest_count(alpha, delta, bound)
    if len(losses) < needed:
        raise ValueError(
            f"{len(losses)} scenes cannot certify a risk of {alpha:g} with delta {delta:g}: it "
            f"takes at least {needed} scenes, even without any loss. Add scenes or raise alpha."
        )
    chosen, known, upper = None, None, 1.0
    for k in reversed(range(len(widths))):
        if known is None or (losses[:, k] != known).any():  # wide intervals all lose alike
            known = losses[:, k]
            upper = BOUNDS[bound](known, delta)
        if upper >= alpha:
            break
        chosen = float(widths[k])
    if chosen is None:
        raise ValueError(_too_narrow(losses, widths, alpha))
    return chosen


def learn_then_test(
    losses: Float[np.ndarray, "scene setting"],
    alpha: float,
    delta: float,
    *,
    order: Sequence[int] | None = None,
) -> list[int]:
    """Return the settings whose risk is below ``alpha``, all of them with one ``delta``.

    For what has no direction in which it gets safer: thresholds of two kinds, numbers of draws,
    samplers. Losses may go up and down.

    Args:
        losses: In [0, 1], of each setting.
        alpha: Mean loss of new scenes.
        delta: Probability that any of the returned settings breaks the promise.
        order: Settings from the most to the least promising, chosen without these losses: they
            are tested in turn, by betting, until one fails. Left out, all are tested at once, by
            Hoeffding and Bentkus with Holm's correction.

    Raises:
        ValueError: If losses leave [0, 1] or too few scenes cannot certify anything.

    References:
        Angelopoulos et al., "Learn then Test: Calibrating Predictive Algorithms to Achieve Risk
        Control", 2021, theorem 1 and propositions 3 and 4. arXiv:2110.01052
    """
    check_level("alpha", alpha)
    check_level("delta", delta)
    check_losses(losses)
    n, settings = losses.shape
    needed = (
        smallest_count(alpha, delta, "wsr")
        if order is not None
        else smallest_count(alpha, delta / settings, "hb")
    )
    if n < needed:
        raise ValueError(
            f"{n} scenes cannot certify a risk of {alpha:g} for one of {settings} settings with "
            f"delta {delta:g}: it takes at least {needed} scenes. Add scenes or raise alpha."
        )
    found: list[int] = []
    if order is not None:
        for setting in order:
            if betting_bound(losses[:, setting], delta) >= alpha:
                break
            found.append(int(setting))
        return found
    means = losses.mean(0)
    for setting in np.argsort(means, kind="stable"):
        p_value = hoeffding_bentkus_p_value(float(means[setting]), n, alpha)
        if p_value > delta / (settings - len(found)):
            break
        found.append(int(setting))
    return found


def _check_table(losses: Losses, widths: Widths, alpha: float) -> None:
    check_level("alpha", alpha)
    check_losses(losses)
    if losses.shape[1] != len(widths) or not (np.diff(widths) > 0).all():
        raise ValueError(
            f"losses {losses.shape} must be (scene, width) for increasing widths, got "
            f"{len(widths)} of them."
        )
    if (np.diff(losses, axis=1) > 1e-9).any():
        raise ValueError(
            "a loss grows with the width, so there is no smallest safe width; use "
            "learn_then_test, which needs no order."
        )


def _too_narrow(losses: Losses, widths: Widths, alpha: float) -> str:
    return (
        f"even at width {widths[-1]:g} the mean loss of {len(losses)} scenes is "
        f"{losses[:, -1].mean():.3g}, too close to {alpha:g} to certify; offer wider intervals, "
        "more scenes or a larger alpha."
    )
