"""Many files: each its page, one page over all, and a bad file stops no other."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.reports.cases import HOSTILE, hostile_plan, write_plain
from uqrestore.cli.app import app
from uqrestore.reports.example import write_example
from uqrestore.reports.group import write_reports


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("group")
    for seed in (0, 1):
        write_example(folder / f"s{seed}.posterior.h5", slices=2, draws=6, seed=seed)
    (folder / "broken.h5").write_bytes(b"no HDF5")
    write_plain(folder / "hostile.h5", hostile_plan())
    return folder


def test_a_bad_file_stops_no_other(folder: Path, tmp_path: Path) -> None:
    written = write_reports(sorted(folder.glob("*.h5")), tmp_path)

    assert [w.page.name for w in written.reports] == [
        "hostile.report.html",
        "s0.report.html",
        "s1.report.html",
    ]
    assert [name for name, _ in written.failures] == ["broken.h5"]
    assert written.page is not None
    text = written.page.read_text()
    assert "broken.h5" in text
    assert 'href="s0.report.html"' in text
    assert HOSTILE not in text
    content = json.loads((tmp_path / "group.report.json").read_text())
    assert len(content["reports"]) == 3
    assert content["failures"][0]["file"] == "broken.h5"


def test_two_files_of_one_name_are_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    other = tmp_path / "b" / "s0.posterior.h5"
    other.write_bytes((folder / "s0.posterior.h5").read_bytes())
    with pytest.raises(ValueError, match="both get the report"):
        write_reports([folder / "s0.posterior.h5", other], tmp_path)


def test_the_command_writes_pages_beside_the_files(folder: Path) -> None:
    files = [str(folder / f"s{seed}.posterior.h5") for seed in (0, 1)]

    done = CliRunner().invoke(app, ["report", *files])
    again = CliRunner().invoke(app, ["report", *files])

    assert done.exit_code == 0, done.output
    assert (folder / "s1.report.html").is_file()
    assert (folder / "group.report.html").is_file()
    assert again.exit_code == 2
    assert "--overwrite" in again.output


def test_the_command_names_what_it_could_not_report(folder: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["report", str(folder / "broken.h5"), "-o", str(tmp_path)])
    assert done.exit_code == 2
    assert "broken.h5: is not an HDF5 file or is damaged" in done.output
