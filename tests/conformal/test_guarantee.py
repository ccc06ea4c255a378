"""A guarantee holds what it was made of, survives a file, and refuses what it knows nothing of."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from tests.conformal.test_scope import KNEE
from uqrestore.conformal.guarantee import Guarantee, OutOfScopeError, calibrate
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


def test_statements_say_what_is_promised() -> None:
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


def test_too_few_scenes_are_told_how_many_it_takes() -> None:
    with pytest.raises(ValueError, match="at least 25 scenes"):
        calibrate(predictions(24), [KNEE], alpha=0.1, delta=0.1)
    with pytest.raises(ValueError, match="alpha is a probability"):
        calibrate(predictions(24), [KNEE], alpha=10.0)


def test_a_file_that_was_changed_by_hand_promises_nothing(tmp_path: Path) -> None:
    data = json.loads(guarantee().to_json())
    data["keys"] = data["keys"][1:]
    path = tmp_path / "G.json"
    path.write_text(json.dumps(data))
    with pytest.raises(ValueError, match=r"G\.json: .*does not fit its hash"):
        Guarantee.load(path)
    path.write_text("{}")
    with pytest.raises(ValueError, match="not a guarantee"):
        Guarantee.load(path)
    path.write_text("no json")
    with pytest.raises(ValueError, match=r"G\.json"):
        Guarantee.load(path)
