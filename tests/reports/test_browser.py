"""The page in a real browser: offline, without errors, quick, reachable by keyboard, printable."""

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.reports.chromium import launch
from uqrestore.reports.example import write_example
from uqrestore.reports.page import write_report

pytestmark = pytest.mark.browser
LARGEST_PDF = 6  # pages
LONGEST = 50  # ms from slider to picture


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with launch() as chromium:
        yield chromium


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    file = write_example(folder / "field.posterior.h5", shape=(36, 30), slices=5, components=5)
    return write_report(file, folder).page


@pytest.fixture(scope="module")
def seen(browser: Any, report: Path) -> Iterator[tuple[Any, list[str], list[str]]]:  # noqa: ANN401
    """The page, whatever it asked the network for, and whatever it complained about."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    requests: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on(
        "console",
        lambda message: complaints.append(message.text) if message.type == "error" else None,
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(report.as_uri())
    page.wait_for_selector("html[data-ready=yes]")
    page.locator("#volume").scroll_into_view_if_needed()
    page.wait_for_selector("#volume[data-ready]", timeout=60_000)
    yield page, requests, complaints
    page.close()


def picture(page: Any, name: str) -> str:  # noqa: ANN401
    return page.evaluate(f"document.getElementById('map-{name}').toDataURL()")


def test_nothing_is_asked_of_a_network_and_nothing_fails(
    seen: tuple[Any, list[str], list[str]], report: Path
) -> None:
    page, requests, complaints = seen
    page.select_option("#overlay", "pc0")
    page.wait_for_timeout(500)
    outside = [url for url in requests if not url.startswith(("data:", "blob:"))]
    assert outside == [report.as_uri()]
    assert complaints == []


def test_the_volume_viewer_draws(seen: tuple[Any, list[str], list[str]]) -> None:
    page = seen[0]
    page.locator("#volume").scroll_into_view_if_needed()
    assert page.get_attribute("#volume", "data-ready") == "yes"
    from matplotlib.image import imread

    assert page.evaluate("uqreport.volumes()") == 2, "the mean and its overlay"
    shot = imread(io.BytesIO(page.locator("#volume").screenshot()), format="png")
    assert len(np.unique(shot.reshape(-1, shot.shape[-1]), axis=0)) > 100, "empty: one colour"


@pytest.mark.parametrize("component", range(5))
def test_every_slider_changes_the_picture_at_once(
    seen: tuple[Any, list[str], list[str]], component: int
) -> None:
    page = seen[0]
    page.click("#reset")
    before = picture(page, "moved")

    slider = page.locator(f"#component-{component}")
    slider.focus()
    for _ in range(8):
        page.keyboard.press("ArrowRight")

    assert page.inner_text(f"#alpha-{component}") == "+0.40 std"
    assert page.evaluate("uqreport.lastMilliseconds()") < LONGEST
    assert picture(page, "moved") != before
    page.click("#reset")
    assert picture(page, "moved") == before


def test_sliders_combine(seen: tuple[Any, list[str], list[str]]) -> None:
    page = seen[0]
    page.evaluate("[0, 1, 2, 3, 4].forEach((k) => uqreport.slide(k, k - 2))")
    both = picture(page, "change")
    page.evaluate("uqreport.slide(4, 0)")
    assert picture(page, "change") != both
    assert "within" in page.inner_text("#badge-range")
    page.evaluate("uqreport.slide(0, 3)")
    assert "beyond" in page.inner_text("#badge-range")
    page.click("#reset")


def test_the_slice_slider_moves_every_panel(seen: tuple[Any, list[str], list[str]]) -> None:
    page = seen[0]
    names = ("mean", "std", "contour", "moved")
    before = [picture(page, name) for name in names]
    page.locator("#slice-where").focus()
    page.keyboard.press("ArrowLeft")
    assert all(picture(page, n) != b for n, b in zip(names, before, strict=True))
    assert page.input_value("#slice-images") == page.input_value("#slice-where")
    page.keyboard.press("ArrowRight")


def test_the_keyboard_reaches_every_control(seen: tuple[Any, list[str], list[str]]) -> None:
    page = seen[0]
    wanted = page.evaluate(
        "[...document.querySelectorAll('input, button, select, canvas')].map((e) => e.id)"
        ".filter((id) => id)"
    )
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    reached = []
    for _ in range(400):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id"))
        if set(wanted) <= set(reached):
            break
    assert set(wanted) <= set(reached)


def test_arrow_keys_read_values(seen: tuple[Any, list[str], list[str]]) -> None:
    page = seen[0]
    page.locator("#map-mean").focus()
    page.keyboard.press("ArrowUp")
    readout = page.inner_text("#readout")
    assert re.search(r"x \S+, y \S+, z \S+ mm: +mean \S+, std \S+, 88.2 % interval", readout)


def test_the_widest_spot_is_one_click_away(seen: tuple[Any, list[str], list[str]]) -> None:
    page = seen[0]
    page.evaluate("uqreport.state.at = null")
    page.locator("[data-spot]").first.click()
    page.wait_for_function("uqreport.state.at !== null")  # a busy machine draws late


def test_axe_finds_no_serious_fault(seen: tuple[Any, list[str], list[str]]) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="no axe-core")
    found = axe.Axe().run(seen[0]).response["violations"]
    grave = [
        (fault["id"], fault["help"], [node["html"][:120] for node in fault["nodes"]][:3])
        for fault in found
        if fault["impact"] in ("serious", "critical")
    ]
    assert grave == []


def test_it_prints_on_a_few_pages(browser: Any, report: Path) -> None:  # noqa: ANN401
    page = browser.new_page()
    page.goto(report.as_uri())
    page.wait_for_selector("html[data-ready=yes]")
    pdf = page.pdf(format="A4", print_background=True)
    page.close()
    assert 2 <= len(re.findall(rb"/Type\s*/Page\b", pdf)) <= LARGEST_PDF
