"""Tables of a report hold what its JSON holds."""

import csv
from pathlib import Path

from typer.testing import CliRunner

from uqrestore.cli.app import app
from uqrestore.reports.example import write_example
from uqrestore.reports.tables import write_tables

REGION = {
    "name": "left\thalf\n",
    "voxels": 3,
    "millilitres": 0.5,
    "position_mm": [1.0, 2.0, 3.5],
    "mean": 1 / 3,
    "interval": [0.25, 0.5],
    "interval_level": 0.9,
    "truth": None,
    "above_threshold": None,
}


def rows(path: Path, delimiter: str) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file, delimiter=delimiter))


def test_regions_and_numbers_come_back(tmp_path: Path) -> None:
    data = {"numbers": {"slices": 5, "psnr_mean": 24.5, "coverage": None}, "regions": [REGION]}
    numbers, regions = write_tables(data, tmp_path / "n.csv", tmp_path / "r.tsv")
    assert {row["name"]: row["value"] for row in rows(numbers, ",")} == {
        "slices": "5",
        "psnr_mean": "24.5",
        "coverage": "n/a",
    }
    (row,) = rows(regions, "\t")
    assert {row["low"], row["mean"], row["high"]} == {"0.25", "0.3333333", "0.5"}
    assert (row["x_mm"], row["z_mm"], row["truth"]) == ("1", "3.5", "n/a")
    assert row["warning"] == "n/a"
    warned = {"numbers": {}, "regions": [REGION], "regions_warning": "not calibrated: ..."}
    _, marked = write_tables(warned, tmp_path / "n.csv", tmp_path / "m.tsv")
    assert rows(marked, "\t")[0]["warning"] == "interval not calibrated"
    assert len(regions.read_text().splitlines()) == 2, "control characters stay out"


def test_a_report_without_regions_keeps_the_columns(tmp_path: Path) -> None:
    _, empty = write_tables({"numbers": {}, "regions": []}, tmp_path / "n.csv", tmp_path / "r.tsv")
    _, full = write_tables(
        {"numbers": {}, "regions": [REGION]}, tmp_path / "n.csv", tmp_path / "f.tsv"
    )
    assert empty.read_text() == full.read_text().splitlines()[0] + "\n"


def test_the_command_writes_them_beside_the_report(tmp_path: Path) -> None:
    path = write_example(tmp_path / "field.posterior.h5")
    result = CliRunner().invoke(app, ["report", str(path), "--tables"])
    assert result.exit_code == 0, result.output
    names = {row["name"] for row in rows(tmp_path / "field.report.numbers.csv", ",")}
    assert {"draws", "coverage", "half_width"} <= names
    assert len(rows(tmp_path / "field.report.regions.tsv", "\t")) >= 3
