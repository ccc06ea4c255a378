"""Guarantees for region means: rates over new people, and what cannot be promised."""

import numpy as np
import pytest

from uqrestore.conformal.guarantee import Guarantee, OutOfScopeError
from uqrestore.conformal.region_means import PersonRegions, calibrate_regions, region_setting
from uqrestore.conformal.scope import Setting


def setting(key: str = "") -> Setting:
    keys = (key,) if key else ()
    return Setting(operator="inpainting", model="field", sampler={"name": "x"}, keys=keys)


def people(count: int, rng: np.random.Generator, slices: int = 5) -> list[PersonRegions]:
    """Draw people whose scores are those of draws that are too narrow, and biased in one region."""
    found = []
    for number in range(count):
        scores = {
            "a": abs(1.7 * rng.standard_normal()),
            "b": abs(3 + rng.standard_normal()),
        }
        if number % 2:
            scores["rare"] = 1.0
        found.append(PersonRegions(scores, setting(f"{number}"), slices))
    return found


def test_regions_of_new_people_are_inside_as_often_as_promised() -> None:
    rng, inside = np.random.default_rng(0), []
    for _ in range(300):
        guarantee = calibrate_regions(people(19, rng), alpha=0.1)
        new = people(10, rng)
        inside.append(
            [np.mean([one.scores[r] <= guarantee.widths[r] for one in new]) for r in "ab"]
        )
    # 18 of 19 scores below: the expected rate is 18 / 20, of each region.
    np.testing.assert_allclose(np.mean(inside, axis=0), 0.9, atol=0.02)


def test_a_region_of_too_few_people_is_left_out() -> None:
    guarantee = calibrate_regions(people(12, np.random.default_rng(1)), alpha=0.1)
    assert sorted(guarantee.widths) == ["a", "b"]
    assert "each of 2 regions by itself" in guarantee.statement
    assert "people like the 12 of the calibration" in guarantee.statement
    assert "median" in guarantee.size


def test_a_guarantee_comes_back_from_json_and_holds_for_as_many_slices() -> None:
    guarantee = calibrate_regions(people(12, np.random.default_rng(1)), alpha=0.1)
    again = Guarantee.from_json(guarantee.to_json())
    assert again == guarantee
    again.check(region_setting(setting(), 5))
    with pytest.raises(OutOfScopeError, match="slices 6 is not in 5"):
        again.check(region_setting(setting(), 6))
    with pytest.raises(OutOfScopeError, match="1 of its 1 scenes were calibrated on"):
        again.check(region_setting(setting("3"), 5))
    with pytest.raises(ValueError, match="no pixel intervals"):
        again.interval(np.zeros(2), np.ones(2), region_setting(setting(), 5))


def test_what_cannot_be_promised_is_refused() -> None:
    rng = np.random.default_rng(2)
    with pytest.raises(ValueError, match="it takes at least 9"):
        calibrate_regions(people(8, rng), alpha=0.1)
    with pytest.raises(ValueError, match="appears in two files"):
        calibrate_regions([*people(9, rng), *people(1, rng)], alpha=0.1)
    still = [PersonRegions({"a": np.inf}, setting(f"{i}"), 5) for i in range(9)]
    with pytest.raises(ValueError, match="do not vary in a"):
        calibrate_regions(still, alpha=0.1)
    with pytest.raises(ValueError, match="share no region"):
        calibrate_regions([PersonRegions({}, setting(f"{i}"), 5) for i in range(9)], alpha=0.1)
