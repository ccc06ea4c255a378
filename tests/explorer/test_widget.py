"""The explorer: what it sends, and in a real browser what it shows."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import uqrestore as uq
from tests.explorer.stage import stage
from tests.reports.cases import write_plain
from tests.reports.chromium import launch
from uqrestore.explorer import OpenPosterior
from uqrestore.noise import Gaussian
from uqrestore.operators.nonlinear import UncertainGain
from uqrestore.priors.gaussian import gaussian_field
from uqrestore.reports.example import write_example
from uqrestore.scans import Intensity

widget = pytest.importorskip("uqrestore.explorer.widget", reason="anywidget is not installed")


@pytest.fixture(scope="module")
def posterior(tmp_path_factory: pytest.TempPathFactory) -> OpenPosterior:
    folder = tmp_path_factory.mktemp("widget")
    return uq.open(write_example(folder / "field.posterior.h5", shape=(30, 26)))


def test_the_arrays_are_those_of_the_slice(posterior: OpenPosterior) -> None:
    explorer = posterior.explore(z=1)
    rows, columns = explorer.meta["shape"]
    blocks = np.frombuffer(explorer.arrays, "<f4").reshape(-1, rows, columns)

    assert len(blocks) == 2 + explorer.meta["components"] + explorer.meta["draws"]
    np.testing.assert_array_equal(blocks[0], posterior.mean[1])
    np.testing.assert_array_equal(blocks[-1], posterior.samples[-1, 1])
    json.dumps(explorer.meta, allow_nan=False)


def test_intensities_of_any_unit_are_readable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("uqrestore.reports.example.INTENSITY", Intensity(5e-5, 4e-5, "a.u."))
    posterior = uq.open(write_example(tmp_path / "small.posterior.h5", shape=(12, 10)))
    explorer = posterior.explore(z=1)
    first = np.frombuffer(explorer.arrays, "<f4").reshape(-1, *explorer.meta["shape"])[0]

    assert explorer.meta["unit"] == "\u00d710\u207b\u2076 a.u."
    np.testing.assert_allclose(first, 1e6 * posterior.mean[1], rtol=1e-5)
    assert 10 < explorer.meta["window"][1] < 200
    bar = posterior.plot().axes[-1]
    assert bar.get_xlabel() == explorer.meta["unit"]


def test_means_of_regions_are_marked_unless_the_draws_are_exact(
    posterior: OpenPosterior, tmp_path: Path
) -> None:
    assert posterior.explore(z=1).meta["regionsWarning"] == ""
    plain = uq.open(write_plain(tmp_path / "plain.posterior.h5"))
    assert "not calibrated" in plain.explore(z=1).meta["regionsWarning"]


def test_another_slice_sends_other_arrays(posterior: OpenPosterior) -> None:
    explorer = posterior.explore(z=1)
    before = explorer.arrays
    explorer.z = 2
    assert explorer.arrays != before
    assert explorer.meta["zmm"] == 6.0


def test_the_state_is_also_python(posterior: OpenPosterior) -> None:
    explorer = posterior.explore(z=1)
    explorer.alpha, explorer.region = [1.0, 0.0, 0.0], [0, 27]
    np.testing.assert_allclose(explorer.image(), posterior.combine([1], z=1))
    assert np.argwhere(explorer.mask()).tolist() == [[0, 0], [1, 1]]


def test_the_sliders_can_move_the_components_of_a_region(posterior: OpenPosterior) -> None:
    explorer = posterior.explore(z=1)
    whole = explorer.arrays
    explorer.alpha = [2.0, 0.0, 0.0]
    explorer.scope = [i * 26 + j for i in range(10, 15) for j in range(9, 13)]
    mask = np.zeros((30, 26), bool)
    mask[10:15, 9:13] = True
    found = posterior.region_components(mask, z=1)

    assert explorer.alpha == [0.0, 0.0, 0.0], "numbers of other components mean nothing here"
    assert explorer.meta["scope"] == 20
    assert explorer.arrays != whole
    blocks = np.frombuffer(explorer.arrays, "<f4").reshape(-1, 30, 26)
    np.testing.assert_allclose(blocks[2:5], found.steps, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(explorer.meta["scores"], found.coefficients, atol=1e-4)
    explorer.alpha = [1.5, 0.0, 0.0]
    np.testing.assert_allclose(explorer.image(), posterior.mean[1] + 1.5 * found.steps[0])
    explorer.scope = []
    assert explorer.arrays == whole
    assert explorer.meta["scope"] == 0


@pytest.fixture(scope="module")
def uncertain(tmp_path_factory: pytest.TempPathFactory) -> OpenPosterior:
    """A file of one slice with an unknown gain."""
    out = tmp_path_factory.mktemp("gain") / "gain.posterior.h5"
    prior = gaussian_field((1, 12, 10))
    operator = UncertainGain(uq.operators.Radon.sparse_view((1, 12, 10), views=5), 2.0, 0.2)
    x = prior.draw(uq.SampleNoise(0, [0], slices=[0]))[0].float()
    problem = uq.GeneralProblem.simulate(operator, x, Gaussian(0.3))
    options: dict[str, Any] = {"samples": 9, "levels": 5, "data_products": 60, "leaps": 2}
    uq.sample(operator, problem, prior, out=out, method="local_laplace", **options)
    return uq.open(out)


def test_unknown_parameters_are_listed_with_their_draws(
    uncertain: OpenPosterior, posterior: OpenPosterior
) -> None:
    assert posterior.explore(z=1).meta["parameters"] == []
    (gain,) = uncertain.explore(z=0).meta["parameters"]
    drawn = uncertain.parameters["gain"].isel(chain=0, z=0).values
    assert gain["name"] == "gain"
    np.testing.assert_allclose(gain["values"], drawn, rtol=1e-6)
    assert gain["prior_std"] == pytest.approx(0.4, rel=0.3)


@pytest.mark.browser
def test_a_parameter_shows_its_correlation_with_the_image(
    uncertain: OpenPosterior, tmp_path: Path
) -> None:
    with launch() as browser:
        page = browser.new_page(viewport={"width": 1160, "height": 700})
        page.goto(stage(uncertain, tmp_path, z=0).as_uri())
        page.get_by_text(re.compile(r"^gain: [\d.]+ to [\d.]+")).click()
        assert "correlation with gain, -1 to 1" in page.inner_text(".uq-explorer")


@pytest.fixture(scope="module")
def page(posterior: OpenPosterior, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with launch() as browser:
        page = browser.new_page(viewport={"width": 1160, "height": 700})
        page.faults = []
        page.on("pageerror", lambda error: page.faults.append(str(error)))
        page.goto(stage(posterior, tmp_path_factory.mktemp("stage"), z=1).as_uri())
        page.wait_for_selector(".uq-explorer canvas")
        yield page
        assert page.faults == []


def left(page: Any) -> str:  # noqa: ANN401
    return page.evaluate("document.querySelectorAll('.uq-explorer canvas')[0].toDataURL()")


@pytest.mark.browser
def test_sliders_move_the_picture_within_50_ms(page: Any) -> None:  # noqa: ANN401
    before = left(page)
    page.get_by_label("component 2", exact=True).focus()
    for _ in range(20):
        page.keyboard.press("ArrowRight")
    assert page.evaluate("model.get('alpha')[1]") == 1.0
    assert left(page) != before
    assert float(page.get_attribute(".uq-explorer", "data-milliseconds")) < 50
    page.get_by_text("back to the mean").click()
    assert left(page) == before


@pytest.mark.browser
def test_a_click_asks_about_a_pixel(page: Any, posterior: OpenPosterior) -> None:  # noqa: ANN401
    page.locator(".uq-explorer canvas").first.click(position={"x": 90, "y": 120})
    row, column = page.evaluate("model.get('pixel')")
    low, high = posterior.interval(posterior.pixel(1, row, column))
    fields = re.search(r"draws ([\d.]+) to ([\d.]+)", page.inner_text(".uq-explorer"))
    assert fields is not None
    assert float(fields[1]) == pytest.approx(low, rel=0.01)
    assert float(fields[2]) == pytest.approx(high, rel=0.01)
    page.get_by_label("map on the right").select_option("correlation with the pixel")
    assert "correlation with the pixel, -1 to 1" in page.inner_text(".uq-explorer")


@pytest.mark.browser
def test_a_drag_lassoes_a_region(page: Any) -> None:  # noqa: ANN401
    box = page.locator(".uq-explorer canvas").first.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x - 40, y - 40)
    page.mouse.down()
    for to in ((x + 40, y - 40), (x + 40, y + 40), (x - 40, y + 40)):
        page.mouse.move(*to)
    page.mouse.up()
    count = page.evaluate("model.get('region').length")
    area = (80 / box["width"]) * (80 / box["height"]) * 30 * 26
    assert count == pytest.approx(area, rel=0.25)
    assert f"mean of {count} pixels" in page.inner_text(".uq-explorer")
    assert "Not calibrated" not in page.inner_text(".uq-explorer"), "exact draws are right"
    page.evaluate("model.get('meta').regionsWarning = 'not calibrated, for ...'")
    page.get_by_label("map on the right").select_option("standard deviation")
    assert "△ Not calibrated. Do not use" in page.inner_text(".uq-explorer .soft")


@pytest.mark.browser
def test_a_button_asks_for_the_components_of_the_region(page: Any) -> None:  # noqa: ANN401
    box = page.locator(".uq-explorer canvas").first.bounding_box()
    page.mouse.move(box["x"] + 90, box["y"] + 90)
    page.mouse.down()
    for to in ((150, 90), (150, 150), (90, 150)):
        page.mouse.move(box["x"] + to[0], box["y"] + to[1])
    page.mouse.up()
    page.get_by_text("components of the region").click()
    assert page.evaluate("model.get('scope').length") == page.evaluate("model.get('region').length")


@pytest.mark.browser
def test_the_state_can_be_copied_as_code_that_runs(
    page: Any,  # noqa: ANN401
    posterior: OpenPosterior,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page.locator(".uq-explorer canvas").first.click(position={"x": 90, "y": 120})
    code = page.inner_text(".uq-explorer pre")
    monkeypatch.chdir(Path(posterior.path).parent)
    names: dict[str, Any] = {}
    exec(code, names)
    assert names["correlation"].shape == (30, 26)
    assert names["low"] < names["high"]
