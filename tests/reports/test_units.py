"""Numbers of any magnitude are readable, and right."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from tests.reports.test_page import Elements
from uqrestore.posterior import PosteriorWriter
from uqrestore.posterior.example import example_plan
from uqrestore.reports.findings import find
from uqrestore.reports.page import render
from uqrestore.reports.units import display_unit, number, share_of_variance


def write(path: Path, scale: float) -> Path:
    """Write draws around 100 whose every intensity is multiplied, with noise of that size."""
    plan = example_plan(draws=5)
    y = scale * plan.y[1]
    plan = dataclasses.replace(plan, y=(plan.y[0], y.astype(np.float32)), noise_std=5.0 * scale)
    random = np.random.default_rng(0)
    shape = (5, len(plan.slices), 1, plan.rows, plan.columns)
    images = scale * (plan.y[1].reshape(shape[1:]) / scale + random.normal(0, 5, shape))
    with PosteriorWriter(path, plan) as writer:
        writer.write(range(5), plan.slices, images.astype(np.float32))
        return writer.finish(writer.summarise(components=2))


@pytest.mark.parametrize("scale", [1e-30, 1e-6, 1.0, 1e30])
def test_the_unit_of_the_images_changes_no_judgement(tmp_path: Path, scale: float) -> None:
    wanted = find(write(tmp_path / "one.h5", 1.0))
    found = find(write(tmp_path / "a.h5", scale))
    assert not isinstance(wanted.fit, str)
    assert not isinstance(found.fit, str)
    np.testing.assert_allclose(found.fit.draws, wanted.fit.draws, rtol=1e-4)
    assert found.fit.typical == pytest.approx(1, abs=0.3)
    np.testing.assert_allclose(found.fit.gram, wanted.fit.gram, rtol=1e-3, atol=1e-4)
    assert found.half_width_share == pytest.approx(wanted.half_width_share, rel=1e-4)
    assert found.unit.factor * found.window[1] == pytest.approx(100, rel=0.3, abs=200)


def test_tiny_intensities_are_readable(tmp_path: Path) -> None:
    findings = find(write(tmp_path / "a.h5", 3.5e-7))
    page = tmp_path / "a.html"
    page.write_text(render(findings))
    text = Elements(page).text
    assert findings.unit.name == "\u00d710⁻⁶ a.u."
    assert "1 on this page is 1e-6 a.u. in the file" in text
    assert "e-05" not in text


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (0.0, "0"),
        (3.5e-04, "0.00035"),
        (3.5e-08, "3.5 \u00d710⁻⁸"),
        (123456.7, "123457"),
        (-12.3456, "-12.35"),
        (100.0, "100"),
    ],
)
def test_numbers_are_written_without_exponents(value: float, wanted: str) -> None:
    assert number(value) == wanted


def test_units_in_the_usual_range_stay() -> None:
    assert display_unit(911.0, "a.u.").name == "a.u."
    assert display_unit(3000.0, "HU").note == ""
    assert display_unit(3.5e-5, "T").text(3.5e-5) == "35 \u00d710⁻⁶ T"


def test_a_component_never_has_zero_percent() -> None:
    assert share_of_variance(0.004) == "below 1 % of variance"
    assert share_of_variance(0.0) == "no variance in the draws left out of its fit"
    assert share_of_variance(0.41) == "41 % of the variance"
