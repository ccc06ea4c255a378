"""Bundled pipelines by name, from the folder of the wheel or of the clone."""

import os
from pathlib import Path

import yaml

import uqrestore
from uqrestore.pipeline.reading import PipelineError, can_be


def pipelines_folder() -> Path:
    """Return the folder of the bundled pipelines.

    A wheel carries them as ``uqrestore/_pipelines``; a clone, and an editable install of it,
    has them at its top level. The clone is known by its ``pyproject.toml``: a wheel's
    neighbour called ``pipelines`` would be some other package.

    Raises:
        PipelineError: If the installation has lost them.
    """
    package = Path(uqrestore.__file__).parent
    if (package / "_pipelines").is_dir():
        return package / "_pipelines"
    clone = package.parent
    if (clone / "pyproject.toml").is_file() and (clone / "pipelines").is_dir():
        return clone / "pipelines"
    raise PipelineError(
        f"{package / '_pipelines'}: the bundled pipelines are missing; reinstall uqrestore, "
        "or give the path of a pipeline file."
    )


def list_pipelines() -> dict[str, Path]:
    """Return the bundled pipelines: name to file, sorted by name."""
    return {path.stem: path for path in sorted(pipelines_folder().glob("*.yaml"))}


def describe(path: Path) -> tuple[str, str]:
    """Return kind and title of a pipeline file, without checking the rest of it."""
    raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    return str(raw.get("kind", "?")), str(raw.get("title", ""))


def find_pipeline(name: str | os.PathLike[str]) -> Path:
    """Return the file of a pipeline given by its path, or by name from any folder.

    Raises:
        PipelineError: If there is neither such a file nor such a name.
    """
    path = Path(name)
    if path.is_file() or path.suffix in {".yaml", ".yml"} or len(path.parts) > 1:
        return path
    known = list_pipelines()
    if str(name) not in known:
        raise PipelineError(
            f"there is no pipeline {str(name)!r}, nor a file of that name; "
            f"{can_be(str(name), known)}"
        )
    return known[str(name)]
