"""Calibration of pixel intervals on scenes with known truth."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Int

from uqrestore.conformal import widths as conformal
from uqrestore.conformal.bounds import BoundName
from uqrestore.conformal.guarantee import Guarantee, Unit, percent
from uqrestore.conformal.predictions import Predictions
from uqrestore.conformal.scope import Scope, Setting
from uqrestore.conformal.widths import WIDTHS
from uqrestore.metrics._checks import check_level


def calibrate(
    predictions: Predictions,
    settings: Sequence[Setting],
    *,
    method: Literal["split_conformal", "crc", "rcps", "learn_then_test"] = "rcps",
    alpha: float = 0.1,
    delta: float = 0.1,
    share: float = 1.0,
    bound: BoundName = "wsr",
) -> Guarantee:
    """Choose the width of pixel intervals from scenes with known truth.

    Args:
        predictions: Centre, scale and truth of the calibration scenes; their ``groups`` make
            people the exchangeable units.
        settings: Measurement and restoration of each scan; at least one.
        method: ``"split_conformal"``: a share of pixels at once; ``"crc"``: mean share of
            missed pixels, on average over calibration sets; ``"rcps"``: the same, with
            confidence over calibration sets; ``"learn_then_test"``: as ``rcps``, by testing one
            width after the other from the widest on, which needs no monotone losses.
        alpha: Probability of failing, or share of missed pixels.
        delta: For ``rcps`` and ``learn_then_test``, the probability of an unlucky calibration
            set.
        share: For ``split_conformal``, the share of pixels that must be inside.
        bound: For ``rcps``.

    Raises:
        ValueError: If there are too few units for the guarantee, stating how many it takes, or a
            scene appears twice.
    """
    check_scenes_differ(predictions.keys)
    check_level("alpha", alpha)
    if method == "split_conformal":
        width = conformal.split_conformal(predictions.scores(share=share), alpha)
    elif method == "crc":
        width = conformal.conformal_risk_control(predictions.misses(WIDTHS), WIDTHS, alpha)
    elif method == "learn_then_test":
        order = range(len(WIDTHS) - 1, -1, -1)
        safe = conformal.learn_then_test(predictions.misses(WIDTHS), alpha, delta, order=order)
        if not safe:
            raise ValueError(
                f"even intervals of {WIDTHS[-1]:g} predicted standard deviations miss too many "
                f"pixels for a risk of {percent(alpha)}; the draws are far too narrow."
            )
        width = float(WIDTHS[safe[-1]])
    else:
        losses = predictions.misses(WIDTHS)
        width = conformal.control_risk(losses, WIDTHS, alpha, delta, bound=bound)
    return Guarantee(
        method=method,
        alpha=alpha,
        delta=delta if method in {"rcps", "learn_then_test"} else None,
        bound=bound if method == "rcps" else None,
        share=share if method == "split_conformal" else 1.0,
        widths={"interval": width},
        components=0,
        keys=predictions.keys,
        unit=unit_of(predictions.groups, len(predictions)),
        units=predictions.units,
        scope=Scope.covering(settings),
    )


def unit_of(groups: Int[np.ndarray, " scene"] | None, scenes: int) -> Unit:
    """Exchangeable unit of calibration scenes: a person, where somebody has several slices."""
    return "slice" if groups is None or len(np.unique(groups)) == scenes else "person"


def check_scenes_differ(keys: Sequence[str]) -> None:
    """Refuse a calibration that counts a scene twice.

    Raises:
        ValueError: If a hash appears twice.
    """
    if len(set(keys)) < len(keys):
        raise ValueError(
            f"{len(keys) - len(set(keys))} of {len(keys)} calibration scenes are copies of "
            "others; copies are not independent evidence. Remove them."
        )
