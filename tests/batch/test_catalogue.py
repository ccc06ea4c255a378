"""The catalogue of a folder in which not everything is as it should be."""

import csv
import dataclasses
from pathlib import Path

import h5py
import pytest

from tests.posterior.forged import external_link, forge
from tests.posterior.runs import finished, plan
from uqrestore.batch import write_catalogue

FORMULA = '=HYPERLINK("http://somewhere";"here")'


def rows(path: Path) -> dict[str, dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return {row["name"]: row for row in csv.DictReader(file)}


def set_attribute(path: Path, name: str, value: object) -> Path:
    with h5py.File(path, "r+") as file:
        if value is None:
            del file.attrs[name]
        else:
            file.attrs[name] = value
    return path


def test_malformed_files_are_rows_and_no_end(tmp_path: Path) -> None:
    finished(tmp_path / "sound.posterior.h5", plan())
    (tmp_path / "text.posterior.h5").write_text("text")
    (tmp_path / "empty.posterior.h5").touch()
    (tmp_path / "folder.posterior.h5").mkdir()
    for name, key, value in (
        ("figures", "figures", "[1]"),
        ("provenance", "provenance", '{"scan": 3}'),
        ("scope", "scope", '{"findings": 3}'),
        ("fingerprint", "fingerprint", None),
    ):
        set_attribute(finished(tmp_path / f"{name}.posterior.h5", plan()), key, value)
    forge(tmp_path / "forged", external_link)
    found = rows(write_catalogue(tmp_path))
    assert found.pop("sound")["status"] == "complete"
    assert found.pop("forged/other", None) is None
    assert len(found) == 8
    for name, row in found.items():
        assert row["status"] == "damaged", name
        assert row["error"]
        assert "\n" not in row["error"]


@pytest.mark.parametrize("text", [FORMULA, "+1", "-2", "@x", "\t=1", " =1", "\uff1d1", "\x1b[2J"])
def test_no_cell_is_a_formula_or_steers_a_terminal(text: str, tmp_path: Path) -> None:
    of = dataclasses.replace(
        plan(), provenance={"scan": {"name": text}}, scope={"in_scope": False, "findings": [text]}
    )
    path = finished(tmp_path / "a.posterior.h5", of)
    set_attribute(path, "figures", '{"=1+1": 3.5, "psnr": -2.5}')
    catalogue = write_catalogue(tmp_path)
    row = rows(catalogue)["a"]
    for cell in (*row, *row.values()):
        assert cell == "-2.5" or cell.strip()[:1] not in set("=+-@\uff1d") - {""}, cell
    assert row["psnr"] == "-2.5", "numbers stay numbers"
    assert catalogue.read_text(encoding="utf-8").replace("\n", "").isprintable()
