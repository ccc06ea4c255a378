"""Guarantees for the means of named regions, from people whose truth is known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from uqrestore.conformal.guarantee import Guarantee
from uqrestore.conformal.scope import Scope, Setting
from uqrestore.conformal.widths import split_conformal
from uqrestore.metrics._checks import check_level

SLICES = "slices"
"""Parameter of the scope beside those of the operator: a mean of more slices is another number."""


@dataclass(frozen=True)
class PersonRegions:
    """Region means of one person.

    Attributes:
        scores: Distance of the true mean of each region from that of the draws, in standard
            deviations of the means of the draws.
        setting: Measurement and restoration.
        slices: Number of slices restored.
    """

    scores: Mapping[str, float]
    setting: Setting
    slices: int


def region_setting(setting: Setting, slices: int) -> Setting:
    """Return a setting that states the number of slices."""
    return replace(setting, parameters={**setting.parameters, SLICES: slices})


def calibrate_regions(people: Sequence[PersonRegions], *, alpha: float = 0.1) -> Guarantee:
    """Choose the width of the interval of each region by split conformal prediction.

    Each region is calibrated by itself, on the people who have it; one that too few have is left
    out. Regions must be drawn in new people as they were in these: what drawing them on the truth
    does to their means is then part of what is calibrated.

    Args:
        people: One entry a person.
        alpha: Probability that the true mean of a region of a new person is outside.

    Raises:
        ValueError: If no region is known in enough people, stating how many it takes; or a person
            appears twice.
    """
    check_level("alpha", alpha)
    keys = tuple(key for person in people for key in person.setting.keys)
    if len(set(keys)) < len(keys):
        raise ValueError("a slice appears in two files of the calibration; remove one of them.")
    found: dict[str, list[float]] = {}
    for person in people:
        for name, score in person.scores.items():
            found.setdefault(name, []).append(score)
    widths, refused = {}, ""
    for name, scores in sorted(found.items()):
        try:
            widths[name] = split_conformal(np.array(scores), alpha)
        except ValueError as error:
            refused = str(error)
    unbounded = [name for name, width in widths.items() if not np.isfinite(width)]
    if not widths or unbounded:
        raise ValueError(
            f"the draws do not vary in {unbounded[0]}, so no width covers it; leave it out."
            if unbounded
            else refused or "the people share no region; give labels of the same names."
        )
    return Guarantee(
        method="region_means",
        alpha=alpha,
        delta=None,
        bound=None,
        share=1.0,
        widths=widths,
        components=0,
        keys=keys,
        unit="person",
        units=len(people),
        scope=Scope.covering([region_setting(one.setting, one.slices) for one in people]),
    )
