"""Studies on the command line: benchmarks in part, their pages, and calibration cards."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from typer.testing import CliRunner, Result

from tests.benchmarks.benchmark_page import page
from tests.benchmarks.card_plans import PLANS, Variant
from tests.benchmarks.overhead import overhead
from tests.benchmarks.write_cards import card
from tests.cli.test_cli import run
from tests.front import PIPELINE, tiny_prior, use_prior, write_scan
from uqrestore.benchmarks import cells


@pytest.fixture(autouse=True, scope="module")
def _tiny_zoo() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        use_prior(monkeypatch, tiny_prior())
        yield


def tool(command: Callable[..., None], *arguments: object) -> Result:
    """Run one of the maintainers' commands, as ``python -m tests.benchmarks.NAME`` does."""
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(command)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def write_bench(folder: Path, **changes: object) -> Path:
    mask = {"law": "patches", "side": 1, "visible": 0.3}
    bench = {
        "kind": "benchmark",
        "title": "tiny bench",
        "scan": str(write_scan(folder / "s.nii.gz")),
        "slices": 4,
        "prior": "tiny",
        "operators": {
            "cartesian": PIPELINE["operator"],
            "pixels": {"name": "inpainting", "mask": mask},
        },
        "methods": {"pigdm 3": {"name": "pigdm", "steps": 3}},
        "draws": 9,
    }
    (folder / "bench.yaml").write_text(yaml.safe_dump(bench | changes))
    return folder / "bench.yaml"


@pytest.mark.parametrize("text", ["", '{"rows": [', "[1]", '{"rows": []}'])
def test_a_table_that_cannot_be_read_is_named(tmp_path: Path, text: str) -> None:
    table = tmp_path / "cut.json"
    table.write_text(text)
    result = tool(page, table, "-o", tmp_path / "bench.md")
    assert result.exit_code == 2
    assert "cut.json" in result.output
    assert not (tmp_path / "bench.md").exists()


def test_a_part_of_a_benchmark_and_its_page(tmp_path: Path) -> None:
    path, tables = write_bench(tmp_path), []
    for operator in ("pixels", "cartesian"):
        tables.append(tmp_path / f"{operator}.json")
        result = run("run", path, "--slices", 2, "--draws", 3, "--only", operator, "-o", tables[-1])
        assert result.exit_code == 0, result.output
    content = json.loads(tables[0].read_text())
    assert (content["pipeline"]["slices"], content["pipeline"]["draws"]) == (2, 3)
    assert {row["operator"] for row in content["rows"]} == {"pixels"}
    drawn = content["rows"][1]
    assert (drawn["nfe"], drawn["products"]) == (3, 3)

    result = tool(page, *tables, "-o", tmp_path / "bench.md")
    assert result.exit_code == 0, result.output
    text = (tmp_path / "bench.md").read_text()
    assert "2 slices x 3 draws" in text
    assert text.count("| pigdm 3 |") == 2
    assert "3 + 3" in text
    assert "![tiny bench](bench.png)" in text
    assert "Not run" not in text
    assert tool(page, tables[0], "-o", tmp_path / "part.md").exit_code == 0
    assert "Not run yet: `pigdm 3` (cartesian at 0)." in (tmp_path / "part.md").read_text()
    assert (tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG")
    assert tool(page, *tables, "-o", tmp_path / "bench.md").exit_code == 2

    (tmp_path / "bench.md").write_text("# old\n\n## By hand\n\nKept.\n")
    assert tool(page, *tables, "-o", tmp_path / "bench.md", "--overwrite").exit_code == 0
    assert (tmp_path / "bench.md").read_text() == text + "\n## By hand\n\nKept.\n"


def test_the_picture_of_a_sweep_has_a_panel_for_its_first_option(tmp_path: Path) -> None:
    sweep = {"steps": [3, 4], "eta": [0.0, 0.8], "travel_repeat": [1, 2]}
    path = write_bench(tmp_path, methods={"ddnm": {"name": "ddnm", "sweep": sweep}})
    short = ["--slices", 2, "--draws", 2, "--only", "pixels"]
    result = run("run", path, *short, "-o", tmp_path / "t.json")
    assert result.exit_code == 0, result.output
    assert len(json.loads((tmp_path / "t.json").read_text())["rows"]) == 9
    assert tool(page, tmp_path / "t.json", "-o", tmp_path / "t.md").exit_code == 0


def without_seconds(path: Path) -> list[dict[str, object]]:
    pieces = json.loads(path.read_text())["pieces"]
    lines = [{k: v for k, v in piece.items() if k != "seconds"} for piece in pieces]
    return sorted(lines, key=lambda piece: json.dumps(piece, sort_keys=True))


def test_a_run_that_is_stopped_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    methods = {
        "steps 3": {"name": "ddnm", "steps": 3},
        "steps 5, once": {"name": "ddnm", "steps": 5, "slices": 1},
    }
    path = write_bench(tmp_path, methods=methods, batch_size=1)
    whole, table = tmp_path / "whole.json", tmp_path / "t.json"
    short = ["run", path, "--draws", 2, "--only", "pixels"]
    assert run(*short, "-o", whole).exit_code == 0

    calls, draw = [], cells.draw

    def stop_at_the_third(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - passed through
        calls.append(kwargs["slices"])
        if len(calls) == 3:
            raise KeyboardInterrupt
        return draw(*args, **kwargs)

    monkeypatch.setattr(cells, "draw", stop_at_the_third)
    stopped = run(*short, "-o", table)
    assert stopped.exit_code == 1
    assert "run the same command again" in stopped.stderr
    assert len(without_seconds(table)) == 4 + 2
    assert run(*short, "-o", table).exit_code == 0
    assert without_seconds(table) == without_seconds(whole)
    assert len(calls) == 3 + 3, "nothing is done twice"
    rows = json.loads(table.read_text())["rows"]
    assert [row["slices"] for row in rows] == [4, 4, 1]
    assert [row["gain"] is None for row in rows] == [True, False, False]

    other = run("run", path, "--draws", 3, "--only", "pixels", "-o", table)
    assert other.exit_code == 2
    assert "not of this pipeline" in other.stderr


def test_half_precision_moves_results_by_less_than_the_draws_do(tmp_path: Path) -> None:
    found = []
    for precision in ("fp32", "bf16"):
        table = tmp_path / f"{precision}.json"
        path = write_bench(tmp_path, precision=precision)
        assert run("run", path, "--slices", 2, "--only", "pixels", "-o", table).exit_code == 0
        found.append(json.loads(table.read_text())["rows"][1]["psnr"])
    assert found[0] != found[1]
    assert abs(found[0] - found[1]) < 0.1


def test_an_operator_that_the_benchmark_has_not_is_named(tmp_path: Path) -> None:
    result = run("run", write_bench(tmp_path), "--only", "blur")
    assert result.exit_code == 2
    assert "no operator or method blur" in result.stderr
    assert "cartesian, pixels" in result.stderr


def test_a_card_is_measured_and_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PLANS, "ddnm", {"three steps": Variant({"steps": 3}, (0.0,))})  # type: ignore[arg-type]
    short = ["--truths", 1, "--draws", 8, "--no-mixtures", "-o", tmp_path]
    result = tool(card, "ddnm", *short)
    assert result.exit_code == 0, result.output
    first = json.loads((tmp_path / "ddnm.json").read_text())
    assert [row["calls"] for row in first["measured"]] == [3] * 5
    assert "# ddnm" in (tmp_path / "ddnm.md").read_text()
    assert "three steps" in (tmp_path / "README.md").read_text()

    again = tool(card, "ddnm", *short, "--no-fields")
    assert again.exit_code == 0, again.output
    assert json.loads((tmp_path / "ddnm.json").read_text()) == first

    two = {"two steps": Variant({"steps": 2}, (0.0,)), **PLANS["ddnm"]}
    monkeypatch.setitem(PLANS, "ddnm", two)  # type: ignore[arg-type]
    assert tool(card, "ddnm", *short, "--missing").exit_code == 0
    more = json.loads((tmp_path / "ddnm.json").read_text())
    assert [row["calls"] for row in more["measured"]] == [2] * 5 + [3] * 5
    assert more["measured"][5:] == first["measured"], "the seconds too: nothing was measured again"
    assert more["references"] == first["references"]


@pytest.mark.parametrize(
    ("command", "arguments", "words"),
    [
        (card, ["dnm"], ["no method 'dnm' has a card", "ddnm"]),
        (card, ["ddnm", "-o", "nowhere"], ["nowhere", "--out"]),
        (overhead, ["dnm"], ["no method dnm", "ddnm"]),
    ],
)
def test_a_mistake_is_one_line(
    command: Callable[..., None],
    arguments: list[str],
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    result = tool(command, *arguments)
    assert result.exit_code == 2, result.output
    for word in words:
        assert word in result.stderr
