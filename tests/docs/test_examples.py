"""Every block of code in the documentation runs, and every command in it exists."""

import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

from uqrestore.cli.app import app
from uqrestore.reports.example import write_example

ROOT = Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
PAGES = [page for page in PAGES if not {"_build", "reference"} & set(page.parts)]
FENCE = re.compile(r"^( *)```(\w+)\n(.*?)^\1```", re.S | re.M)
GENERATED = {"reference/api.md", "reference/cli.md"}  # by the build of the pages
INCLUDED = re.compile(r"^```\{literalinclude\} (\S+\.py)\n```", re.M)
RUN_ELSEWHERE = {"file-format.md"}  # tests/posterior/test_file_format.py


def blocks(page: Path, *languages: str) -> list[str]:
    """Return the code of a page, that of files which it includes among it."""

    def included(match: re.Match[str]) -> str:
        return f"```python\n{(page.parent / match[1]).read_text()}```"

    whole = INCLUDED.sub(included, page.read_text())
    return [text for _, name, text in FENCE.findall(whole) if name in languages]


def named(pages: list[Path]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return pytest.mark.parametrize(
        "page", pages, ids=lambda page: page.relative_to(ROOT).as_posix()
    )


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_example(tmp_path_factory.mktemp("docs") / "brain.posterior.h5")


@pytest.mark.usefixtures("as_users_run_it")
@named([page for page in PAGES if blocks(page, "python") and page.name not in RUN_ELSEWHERE])
def test_the_python_of_a_page_runs_from_top_to_bottom(
    page: Path, example: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in (tmp_path, tmp_path / "restored"):  # the names that the pages use
        folder.mkdir(exist_ok=True)
        for name in ("brain.posterior.h5", "head.posterior.h5"):
            (folder / name).write_bytes(example.read_bytes())
    names: dict[str, Any] = {"__name__": "page"}
    monkeypatch.setitem(sys.modules, "page", type(sys)("page"))
    for number, text in enumerate(blocks(page, "python")):
        exec(compile(text, f"{page.name}, block {number + 1}", "exec"), names)


@named([page for page in PAGES if blocks(page, "py")])
def test_python_that_is_only_shown_is_python_with_gaps(page: Path) -> None:
    for text in blocks(page, "py"):
        whole = re.sub(r"^ *\.\.\.\n", "", text, flags=re.M)
        if "{" in whole and "}" not in whole:
            whole += "}"
        compile(whole, page.name, "exec")


@named([page for page in PAGES if "uqrestore " in "".join(blocks(page, "bash", "text"))])
def test_every_command_of_a_page_exists_with_its_options(page: Path) -> None:
    group: Any = typer.main.get_command(app)
    for text in blocks(page, "bash"):
        joined = text.replace("\\\n", " ")
        for line in re.findall(r"(?:^|&& *)(uqrestore [^&\n]*)", joined, re.M):
            _, name, *arguments = shlex.split(line.partition("#")[0])
            assert name in group.commands, f"{page.name}: {line}"
            command = group.commands[name]
            if arguments:
                command.make_context(name, arguments, resilient_parsing=False).close()


@named(PAGES)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    text = FENCE.sub("", page.read_text())
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        if not target.startswith(("http", "mailto")) and target not in GENERATED:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_command_line_page_names_every_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    import generate  # pyright: ignore[reportMissingImports]

    text = generate.command_line()
    for name in typer.main.get_command(app).commands:  # pyright: ignore
        assert f"## uqrestore {name}" in text
    assert "needed" in text


def test_the_api_page_holds_every_public_name_of_every_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    import generate  # pyright: ignore[reportMissingImports]

    page = generate.api()
    for module in generate.modules():
        for name in generate.public_names(module):
            at_the_front_door = f":class:`uqrestore.{name}`\n" in page
            assert f":: {module.__name__}.{name}\n" in page or at_the_front_door
    for name in ("sample", "operators.MaskedFourier", "operators.masks.cartesian", "zoo.load_card"):
        assert f":: uqrestore.{name}\n" in page


def test_equations_that_the_code_cites_are_those_of_the_page() -> None:
    labels = re.findall(r"^:label: (\w+)$", (ROOT / "docs" / "maths.md").read_text(), re.M)
    code = "".join(path.read_text() for path in (ROOT / "uqrestore").rglob("*.py"))
    cited = {int(number) for number in re.findall(r"docs/maths\.md, eq\. \((\d+)\)", code)}

    assert {labels[number - 1] for number in cited} == {"sliders", "chi2", "coverage"}
