"""A guarantee holds what it was made of, survives a file, and refuses what it knows nothing of."""

import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from tests.conformal.test_scope import KNEE
from uqrestore.conformal.calibrate import calibrate
from uqrestore.conformal.guarantee import Guarantee, OutOfScopeError
from uqrestore.conformal.predictions import Predictions


def predictions(scenes: int, seed: int = 0) -> Predictions:
    g = np.random.default_rng(seed)
    truth = g.standard_normal((scenes, 1, 6, 7))
    scale = np.full(truth.shape, 0.5)
    return Predictions(truth, truth + g.standard_normal(truth.shape), scale)


def guarantee(method: str = "rcps") -> Guarantee:
    return calibrate(predictions(60), [KNEE], method=method)  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["split_conformal", "crc", "rcps"])
def test_it_survives_a_file(method: str, tmp_path: Path) -> None:
    before = guarantee(method)
    before.save(tmp_path / "G.json")
    after = Guarantee.load(tmp_path / "G.json")

    assert after == before
    assert after.statement == before.statement
    assert json.loads((tmp_path / "G.json").read_text())["statement"] == before.statement


def test_statements_name_what_is_guaranteed() -> None:
    assert "at least 90 % have all pixels inside" in guarantee("split_conformal").statement
    assert "between 83.3 % and 95.6 %" in guarantee("split_conformal").statement
    assert "On average over scenes like the 60" in guarantee("crc").statement
    assert "With 90 % confidence" in guarantee("rcps").statement
    some = calibrate(predictions(60), [KNEE], method="split_conformal", share=0.95)
    assert "at least 95 % of pixels inside" in some.statement


def test_the_interval_is_the_centre_and_the_width() -> None:
    g = guarantee()
    centre, scale = np.ones((1, 6, 7)), np.full((1, 6, 7), 0.5)
    low, high = g.interval(centre, scale, KNEE)
    np.testing.assert_allclose(high - centre, g.widths["interval"] * scale)
    np.testing.assert_allclose(centre - low, g.widths["interval"] * scale)


@pytest.mark.parametrize("method", ["split_conformal", "crc", "rcps"])
def test_new_scenes_are_covered_though_the_std_was_half_of_what_it_should_be(method: str) -> None:
    g = guarantee(method)
    new = predictions(400, seed=9)
    missed = new.misses(np.array([g.widths["interval"]]))[:, 0]

    if method == "split_conformal":
        assert np.mean(missed == 0) > 0.83
    else:
        assert missed.mean() < 0.1
    assert g.widths["interval"] > 3


def test_out_of_scope_it_refuses_and_says_why() -> None:
    other = dataclasses.replace(KNEE, operator="inpainting", noise_std=0.4)
    with pytest.raises(
        OutOfScopeError, match=r"operator inpainting.*noise_std 0.4.*Calibrate with"
    ):
        guarantee().check(other)
    with pytest.raises(OutOfScopeError):
        guarantee().interval(np.ones((1, 6, 7)), np.ones((1, 6, 7)), other)


def test_the_calibration_scenes_cannot_be_the_test_scenes() -> None:
    g = guarantee()
    seen = dataclasses.replace(KNEE, keys=(g.keys[5], "0123456789abcdef"))
    with pytest.raises(OutOfScopeError, match=f"1 of its 2 scenes were calibrated on.*{g.keys[5]}"):
        g.check(seen)
    g.check(dataclasses.replace(KNEE, keys=predictions(5, seed=1).keys))


def test_copies_of_a_scene_are_no_evidence() -> None:
    p = predictions(60)
    twice = Predictions(*(np.concatenate([a, a[:3]]) for a in (p.truth, p.centre, p.scale)))
    with pytest.raises(ValueError, match="3 of 63 calibration scenes are copies"):
        calibrate(twice, [KNEE])


def test_too_few_scenes_are_refused_with_the_number_it_takes() -> None:
    with pytest.raises(ValueError, match="at least 25"):
        calibrate(predictions(24), [KNEE], alpha=0.1, delta=0.1)
    with pytest.raises(ValueError, match="alpha is a probability"):
        calibrate(predictions(24), [KNEE], alpha=10.0)


def people(count: int, slices: int = 4, seed: int = 0) -> Predictions:
    """Slices of people who share their error: one person's slices are not independent."""
    g = np.random.default_rng(seed)
    truth = g.standard_normal((count * slices, 1, 6, 7))
    size = np.repeat(np.exp(0.5 * g.standard_normal(count)), slices)[:, None, None, None]
    centre = truth + size * g.standard_normal(truth.shape)
    groups = np.repeat(np.arange(count), slices)
    return Predictions(truth, centre, np.full(truth.shape, 0.5), groups=groups)


@pytest.mark.parametrize("method", ["split_conformal", "crc", "rcps", "learn_then_test"])
def test_people_are_the_units_where_somebody_has_several_slices(method: str) -> None:
    made = calibrate(people(60), [KNEE], method=method, alpha=0.2)  # type: ignore[arg-type]
    assert (made.unit, made.units, made.scenes) == ("person", 60, 240)
    assert "people like the 60 of the calibration (240 slices)" in made.statement
    new = people(400, seed=7)
    width = made.widths["interval"]
    if method == "split_conformal":
        assert np.mean(new.scores() <= width) > 0.72, "in every slice of a person at once"
    else:
        assert new.misses(np.array([width])).mean() < 0.2


def test_six_people_of_four_slices_are_not_24_units() -> None:
    with pytest.raises(ValueError, match=r"6 calibration units \(people.* at least 9\. Add people"):
        calibrate(people(6), [KNEE], method="split_conformal")
    with pytest.raises(ValueError, match=r"6 calibration units \(people.* at least 25"):
        calibrate(people(6), [KNEE], method="rcps")


def test_one_slice_a_person_is_the_same_as_no_person_named() -> None:
    with_people = calibrate(people(60, slices=1), [KNEE])
    alone = calibrate(dataclasses.replace(people(60, slices=1), groups=None), [KNEE])
    assert with_people == alone
    assert with_people.unit == "slice"


def test_groups_name_the_person_of_every_scene() -> None:
    with pytest.raises(ValueError, match="each of the 8 scenes but has 7 entries"):
        dataclasses.replace(people(2), groups=np.arange(7))


def changed(**changes: object) -> str:
    """Return a guarantee with other values, and with the hash that fits them."""
    data = json.loads(guarantee().to_json()) | changes
    del data["sha256"]
    digest = hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
    return json.dumps(data | {"sha256": digest})


EDITS = {
    "method": "crc",
    "alpha": 0.2,
    "delta": 0.05,
    "bound": "hb",
    "share": 0.5,
    "widths": {"interval": 0.01},
    "components": 3,
    "keys": ["0123456789abcdef"] * 60,
    "unit": "person",
    "units": 30,
    "statement": "Everything is inside.",
    "calibration_sha256": "0" * 64,
    "scope": json.loads(guarantee().to_json())["scope"] | {"noise_std": [0.0, 9.0]},
}


def test_every_field_is_under_the_hash() -> None:
    fields = set(json.loads(guarantee().to_json())) - {"format", "sha256"}
    assert set(EDITS) == fields


@pytest.mark.parametrize("name", EDITS)
def test_a_field_that_was_edited_is_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / "G.json"
    path.write_text(json.dumps(json.loads(guarantee().to_json()) | {name: EDITS[name]}))
    with pytest.raises(ValueError, match=r"G\.json: .*does not fit its SHA-256"):
        Guarantee.load(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"widths": {"interval": -1.0}},
        {"widths": {"interval": float("nan")}},
        {"widths": {"interval": float("inf")}},
        {"widths": {"interval": "2"}},
        {"widths": {"interval": True}},
        {"widths": {"component": 2.0, "residual": 2.0}},
        {"widths": {}},
        {"alpha": 0.0},
        {"alpha": None},
        {"delta": 7},
        {"method": "by eye"},
        {"share": 1.5},
        {"components": -1},
        {"unit": "pixel"},
        {"units": 61},
    ],
)
def test_values_that_no_calibration_gives_are_refused(changes: dict[str, object]) -> None:
    name = next(iter(changes))
    with pytest.raises(ValueError, match=f"no calibration gives .*{name}"):
        Guarantee.from_json(changed(**changes))


@pytest.mark.parametrize("text", ["{}", "no json", "[" * 100_000, '{"format": 3}', "[1]", ""])
def test_what_is_no_guarantee_is_named(text: str, tmp_path: Path) -> None:
    path = tmp_path / "G.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"G\.json"):
        Guarantee.load(path)
