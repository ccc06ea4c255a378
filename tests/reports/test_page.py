"""A report needs the posterior file alone, says what is missing, and believes no string."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.reports.cases import (
    HOSTILE,
    hostile_plan,
    write_newer,
    write_partial,
    write_plain,
)
from uqrestore.posterior import PosteriorError
from uqrestore.reports.example import write_example
from uqrestore.reports.page import Written, write_report
from uqrestore.reports.sections import SECTIONS


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    folder = tmp_path_factory.mktemp("report")
    return write_report(write_example(folder / "field.posterior.h5"), folder / "out")


class Elements(HTMLParser):
    """Collects elements, their attributes, and the text that a reader sees."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text, self._hidden = "", 0
        self.feed(page.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self._hidden += tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        self.text += "" if self._hidden else " ".join(data.split()) + " "


ORDER = [
    "verdict",
    "images",
    "where",
    "how",
    "numbers",
    "varying",
    "fit",
    "calibration",
    "limits",
    "methods",
    "provenance",
]


def test_the_sections_stand_in_order(written: Written) -> None:
    sections = [a["id"] for tag, a in Elements(written.page).found if tag == "section"]
    assert sections == ORDER
    # Unknown parameters have a section where there are any.
    assert [section.id for section in SECTIONS] == [*ORDER[:6], "parameters", *ORDER[6:]]


def test_nothing_points_to_a_network(written: Written) -> None:
    for tag, attributes in Elements(written.page).found:
        for name in ("src", "href", "action", "data"):
            assert not (attributes.get(name) or "").startswith(("http", "//")), (tag, attributes)
    assert written.page.stat().st_size < 15e6


def test_every_picture_has_a_description(written: Written) -> None:
    pictures = [a for t, a in Elements(written.page).found if a.get("role") == "img"]
    assert len(pictures) > 10
    assert all(picture.get("aria-label") for picture in pictures)


def test_every_section_says_how_to_read_it(written: Written) -> None:
    text = Elements(written.page).text
    for words in ("What it shows", "Good", "Bad", "What to do"):
        assert len(re.findall(rf"\b{words}\b", text)) == len(ORDER)


def test_exact_draws_get_a_clean_verdict(written: Written) -> None:
    verdict = written.data["verdict"]
    assert {light["grade"] for light in verdict.values()} == {"good"}, verdict
    assert written.data["numbers"]["data_fit"] == pytest.approx(1, abs=0.1)
    assert written.data["missing"] == []


def test_machines_get_plain_finite_numbers(written: Written) -> None:
    fields = json.loads(written.machine.read_text(), parse_constant=pytest.fail)
    assert fields["format"] == "uqrestore-report-1"
    assert fields["numbers"]["draws"] == 16
    assert fields["regions"][0]["interval"][0] < fields["regions"][0]["mean"]


def test_the_same_file_gives_the_same_page(written: Written, tmp_path: Path) -> None:
    source = written.page.parent.parent / "field.posterior.h5"
    assert write_report(source, tmp_path).page.read_bytes() == written.page.read_bytes()


def test_a_report_is_not_replaced_unless_asked(written: Written) -> None:
    source, folder = written.page.parent.parent / "field.posterior.h5", written.page.parent
    with pytest.raises(FileExistsError, match="--overwrite"):
        write_report(source, folder)
    write_report(source, folder, overwrite=True)


def test_hostile_strings_stay_text(tmp_path: Path) -> None:
    name = "<img src=x onerror=alert(3)>'\"&.posterior.h5"
    page = write_report(write_plain(tmp_path / name, hostile_plan()), tmp_path / "out").page

    elements = Elements(page)
    assert "img" not in {tag for tag, _ in elements.found}
    handlers = [k for _, attributes in elements.found for k in attributes if k.startswith("on")]
    assert not handlers
    scripts = [t for t, a in elements.found if t == "script" and not a.get("id")]
    assert len(scripts) == 1, "the script of the page, no other"
    assert "<script>alert(1)" not in page.read_text()
    assert HOSTILE in elements.text, "escaped, but shown; and never evaluated"
    assert "out of scope" in elements.text


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        ("No principal components", "sliders"),
        ("No mask of the object", "mask"),
        ("No reference image", "truth"),
        ("which method drew it", "card"),
        ("The file does not say.", "scope"),
        ("The card of the prior is not known", "prior"),
    ],
)
def test_what_is_missing_is_stated(tmp_path: Path, wanted: str, why: str) -> None:
    page = write_report(write_plain(tmp_path / "a.h5"), tmp_path / "out").page
    assert wanted in Elements(page).text, why


def test_an_unfinished_run_shows_what_is_there(tmp_path: Path) -> None:
    written = write_report(write_partial(tmp_path / "a.posterior.h5"))
    assert written.page.name == "a.report.html"
    assert written.data["numbers"]["draws"] == 3
    assert written.data["numbers"]["half_width"] > 0
    assert written.data["verdict"]["Draws"]["word"] == "partial"
    assert "Run the same command to resume it" in Elements(written.page).text


def test_a_run_that_only_began_still_gets_a_page(tmp_path: Path) -> None:
    written = write_report(write_partial(tmp_path / "a.posterior.h5", draws=1))
    assert "No slice of this file has two draws yet" in Elements(written.page).text


def test_a_newer_schema_is_shown_as_far_as_it_is_understood(tmp_path: Path) -> None:
    written = write_report(write_newer(tmp_path / "a.posterior.h5"))
    assert re.search(
        "schema uqrestore-2, this report reads uqrestore-1", written.data["missing"][0]
    )
    assert written.data["numbers"]["draws"] == 3


def test_a_flipped_byte_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    path = write_plain(tmp_path / "a.h5")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(PosteriorError, match="a byte has changed"):
        write_report(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", [b"", b"not HDF5 at all"])
def test_what_is_no_posterior_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.h5"
    path.write_bytes(content)
    with pytest.raises(PosteriorError, match=r"a\.h5"):
        write_report(path)
