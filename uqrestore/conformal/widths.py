"""Four methods that choose the width of an interval so that a guarantee holds for new units.

A unit is what is exchangeable: a person, or a scene where no person has two. Losses are tables
``(unit, width)``: the loss of each unit at each of increasing widths.
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

Losses = Float[np.ndarray, "unit width"]
Widths = Float[np.ndarray, " width"]

UNITS = "calibration units (people, or single scenes of different people)"

# Widths to choose from, in predicted standard deviations; each is 1 % above the one before.
WIDTHS = np.geomspace(0.05, 1000, 1000)


def split_conformal(scores: Float[np.ndarray, " unit"], alpha: float) -> float:
    r"""Width that the score of a new unit exceeds with probability at most ``alpha``.

    The :math:`\lceil (n + 1)(1 - \alpha) \rceil`-th smallest score: the new score is equally
    likely to fall into each of the gaps between exchangeable ones.

    Args:
        scores: Width that each calibration unit would have needed.
        alpha: Probability of failing, on average over calibration sets and new units; for one
            calibration set see :func:`coverage_range`.

    Raises:
        ValueError: If ``alpha`` is no probability, or there are too few units for it.

    References:
        Vovk, Gammerman & Shafer, "Algorithmic Learning in a Random World", 2005; Lei et al.,
        J. Am. Stat. Assoc. 113:1094-1111, 2018, theorem 2.2.
    """
    check_level("alpha", alpha)
    rank = math.ceil((len(scores) + 1) * (1 - alpha) - 1e-9)
    if rank > len(scores):
        raise ValueError(
            f"{len(scores)} {UNITS} cannot guarantee {100 * (1 - alpha):g} %: it takes at least "
            f"{math.ceil((1 - alpha) / alpha - 1e-9)}. Add people or raise alpha."
        )
    return float(np.sort(scores)[rank - 1])


def coverage_range(units: int, alpha: float, *, level: float = 0.9) -> tuple[float, float]:
    r"""Range that holds the coverage of one calibration set with probability ``level``.

    Given the calibration set, coverage is :math:`\mathrm{Beta}(n + 1 - l, l)` with :math:`l =
    \lfloor (n + 1) \alpha \rfloor` (for scores without ties; else it is higher).

    References:
        Vovk, "Conditional validity of inductive conformal predictors", ACML 2012, section 3.
    """
    low, high = stats.beta.ppf(
        [(1 - level) / 2, (1 + level) / 2], *coverage_distribution(units, alpha)
    )
    return float(low), float(high)


def coverage_distribution(units: int, alpha: float) -> tuple[int, int]:
    """The two parameters of the Beta distribution of :func:`coverage_range`."""
    spared = math.floor((units + 1) * alpha + 1e-9)
    return units + 1 - spared, spared


def conformal_risk_control(losses: Losses, widths: Widths, alpha: float) -> float:
    r"""Smallest width whose expected loss on a new unit is at most ``alpha``.

    .. math:: \inf \Big\{ \lambda : \frac{n}{n + 1} \hat R(\lambda) + \frac{1}{n + 1} \le \alpha
              \Big\}

    Args:
        losses: In [0, 1], not increasing with the width.
        widths: Increasing.
        alpha: Expected loss, on average over calibration sets and new units.

    Raises:
        ValueError: If losses increase, or units are too few or widths too narrow to reach it.

    References:
        Angelopoulos et al., "Conformal Risk Control", ICLR 2024, theorem 1. arXiv:2208.02814
    """
    _check_table(losses, widths, alpha)
    n = len(losses)
    if 1 / (n + 1) > alpha:
        raise ValueError(
            f"{n} {UNITS} cannot guarantee an expected loss of {alpha:g}: it takes at least "
            f"{math.ceil(1 / alpha - 1 - 1e-9)} without any loss. Add people or raise alpha."
        )
    good = n / (n + 1) * losses.mean(0) + 1 / (n + 1) <= alpha + 1e-12
    if not good[-1]:
        raise ValueError(_too_narrow(losses, widths, alpha))
    return float(widths[good.argmax()])


def control_risk(
    losses: Losses, widths: Widths, alpha: float, delta: float, *, bound: BoundName = "wsr"
) -> float:
    r"""Width whose risk is below ``alpha``, except for unlucky calibration sets (RCPS).

    .. math:: \inf \{ \lambda : \hat R^+(\lambda') < \alpha \;\; \forall \lambda' \ge \lambda \}

    Args:
        losses: In [0, 1], not increasing with the width.
        widths: Increasing.
        alpha: Mean loss of new units.
        delta: Probability of a calibration set for which the risk is higher.
        bound: ``"wsr"`` (betting; adapts to the variance) or ``"hb"`` (Hoeffding-Bentkus).

    Raises:
        ValueError: If losses increase, or units are too few or widths too narrow to reach it.

    References:
        Bates et al., "Distribution-Free, Risk-Controlling Prediction Sets", J. ACM 68:43, 2021,
        theorem 1. arXiv:2101.02703
    """
    _check_table(losses, widths, alpha)
    check_level("delta", delta)
    needed = smallest_count(alpha, delta, bound)
    if len(losses) < needed:
        raise ValueError(
            f"{len(losses)} {UNITS} cannot certify a risk of {alpha:g} with delta {delta:g}: it "
            f"takes at least {needed}, even without any loss. Add people or raise alpha."
        )
    chosen, known, upper = None, None, 1.0
    for k in reversed(range(len(widths))):
        if known is None or (losses[:, k] != known).any():  # wide intervals have equal losses
            known = losses[:, k]
            upper = BOUNDS[bound](known, delta)
        if upper >= alpha:
            break
        chosen = float(widths[k])
    if chosen is None:
        raise ValueError(_too_narrow(losses, widths, alpha))
    return chosen


def learn_then_test(
    losses: Float[np.ndarray, "unit setting"],
    alpha: float,
    delta: float,
    *,
    order: Sequence[int] | None = None,
) -> list[int]:
    """Settings whose risk is below ``alpha``, all of them with one ``delta``.

    For settings without a monotone loss: thresholds of two kinds, numbers of draws, samplers.

    Args:
        losses: In [0, 1], of each setting.
        alpha: Mean loss of new units.
        delta: Probability that any of the returned settings has a higher risk.
        order: Settings by decreasing expected safety, chosen without these losses: they
            are tested in turn, by betting, until one fails. Left out, all are tested at once, by
            Hoeffding and Bentkus with Holm's correction.

    Raises:
        ValueError: If losses leave [0, 1] or there are too few units to certify anything.

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
            f"{n} {UNITS} cannot certify a risk of {alpha:g} for one of {settings} settings with "
            f"delta {delta:g}: it takes at least {needed}. Add people or raise alpha."
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
            f"losses {losses.shape} must be (unit, width) for increasing widths, got "
            f"{len(widths)} of them."
        )
    if (np.diff(losses, axis=1) > 1e-9).any():
        raise ValueError(
            "a loss grows with the width, so there is no smallest safe width; use "
            "learn_then_test, which needs no order."
        )


def _too_narrow(losses: Losses, widths: Widths, alpha: float) -> str:
    return (
        f"even at width {widths[-1]:g} the mean loss of {len(losses)} {UNITS} is "
        f"{losses[:, -1].mean():.3g}, too close to {alpha:g} to certify; offer wider intervals, "
        "more people or a larger alpha."
    )
