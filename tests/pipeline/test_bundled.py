"""Pipelines that ship are found by name from any folder; a file is found by its path."""

from pathlib import Path

import pytest

import uqrestore
from uqrestore.pipeline import (
    KINDS,
    PipelineError,
    describe,
    find_pipeline,
    list_pipelines,
    read_pipeline,
)
from uqrestore.pipeline.find import pipelines_folder


def test_every_pipeline_that_ships_can_be_read() -> None:
    assert {"brain-cs4-ssd", "brain-inpainting-ddnm", "train-brain-prior"} <= set(list_pipelines())
    for path in list_pipelines().values():
        pipeline = read_pipeline(path)
        assert describe(path)[1] == pipeline.title
        assert type(pipeline) is KINDS[describe(path)[0]]


def test_all_kinds_ship() -> None:
    assert {describe(path)[0] for path in list_pipelines().values()} == set(KINDS)


def test_a_name_is_found_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    assert read_pipeline(find_pipeline("brain-cs4-ssd")).title


def test_a_file_wins_over_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "brain-cs4-ssd").write_text("kind: restore\n")

    assert find_pipeline("brain-cs4-ssd") == Path("brain-cs4-ssd")
    assert find_pipeline("other/mine.yaml") == Path("other/mine.yaml")


def test_an_unknown_name_gets_the_nearest_one() -> None:
    with pytest.raises(PipelineError, match=r"'brain-cs4-sds'.*Did you mean 'brain-cs4-ssd'\?"):
        find_pipeline("brain-cs4-sds")


def install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    package = folder / "uqrestore"
    package.mkdir()
    monkeypatch.setattr(uqrestore, "__file__", str(package / "__init__.py"))
    return package


def test_a_wheel_carries_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = install(tmp_path, monkeypatch)
    (package / "_pipelines").mkdir()
    (tmp_path / "pipelines").mkdir()

    assert pipelines_folder() == package / "_pipelines"


def test_a_neighbour_of_the_wheel_is_no_clone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch)
    (tmp_path / "pipelines").mkdir()

    with pytest.raises(PipelineError, match="reinstall"):
        pipelines_folder()
    (tmp_path / "pyproject.toml").touch()
    assert pipelines_folder() == tmp_path / "pipelines"
