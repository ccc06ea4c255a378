"""The page on the file format names every variable, and its examples run."""

import re
from pathlib import Path

import pytest

from tests.posterior.runs import finished, plan
from uqrestore.posterior import SCHEMA

PAGE = Path(__file__).parents[2] / "docs" / "file-format.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S)


def test_every_variable_of_the_schema_is_described() -> None:
    text = PAGE.read_text()
    for path in SCHEMA:
        assert f"`{path}`" in text or f"`{path.rpartition('/')[2]}`" in text, path


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_examples_run(example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    finished(tmp_path / "brain.posterior.h5", plan())
    names: dict[str, object] = {}
    exec(example, names)
    assert names.get("faults", []) == []
