"""From a YAML file to a checked pipeline; every mistake names its file, line and key."""

import itertools
import os
import re
import reprlib
import typing
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from uqrestore._shared.text import did_you_mean
from uqrestore.pipeline.kinds import KINDS
from uqrestore.pipeline.parts import Pipeline

LARGEST_FILE = 2**20  # bytes
MOST_VALUES = 10_000  # keys and values, those of an alias counted each time it is used
DEEPEST = 20  # mappings and lists within one another
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

KeyPath = tuple[str | int, ...]
Kind = TypeVar("Kind", bound=Pipeline)


class PipelineError(ValueError):
    """A mistake in a pipeline file: one line with file, line, key and correction."""


def read_pipeline(path: str | os.PathLike[str]) -> Pipeline:
    """Read and check one pipeline file, without looking at the names inside.

    ``load_pipeline`` also checks that operators, methods and their options exist, which needs
    torch; this does not.

    Args:
        path: A YAML file.

    Raises:
        PipelineError: If the file cannot be read, is no YAML, or does not hold what its kind
            needs.
    """
    path = Path(path)
    raw, lines = _parse(path)
    kind = raw.get("kind")
    if kind not in KINDS:
        reason = f"{kind!r} is no kind of pipeline" if "kind" in raw else "'kind' is missing"
        raise fault(path, lines, ("kind",), f"{reason}; {can_be(kind, KINDS)}")
    try:
        return KINDS[str(kind)].model_validate(raw)
    except ValidationError as error:
        # A misspelt key is unknown, and missing under its right name: report the former.
        faults = sorted(error.errors(include_url=False), key=lambda e: e["type"] == "missing")
        first = faults[0]
        text = _explain(KINDS[str(kind)], first["loc"], dict(first))
        if len(faults) > 1:
            text += f" (and {len(faults) - 1} more)"
        raise fault(path, lines, first["loc"], text) from None


def change(pipeline: Kind, **values: object) -> Kind:
    """Return the pipeline with some values changed, checked like a file.

    Raises:
        PipelineError: If a value is not allowed.
    """
    raw = pipeline.model_dump() | {k: v for k, v in values.items() if v is not None}
    try:
        return type(pipeline).model_validate(raw)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "pipeline"
        text = _explain(type(pipeline), first["loc"], dict(first))
        raise PipelineError(f"{where}: {text}") from None


def key_lines(path: Path) -> dict[KeyPath, int]:
    """Return the line, from 1, of every key and list item of a YAML file."""
    return _parse(path)[1]


def fault(path: Path, lines: dict[KeyPath, int], key: KeyPath, text: str) -> PipelineError:
    """Return the error that points to ``key``, or to the nearest key above it in the file."""
    at = next((lines[key[:n]] for n in range(len(key), -1, -1) if key[:n] in lines), 1)
    where = ".".join(map(str, key)) or "pipeline"
    return PipelineError(f"{path}:{at}: {where}: {text}")


def can_be(wrong: object, names: Iterable[str]) -> str:
    """Return what may stand there, and the nearest name to what does."""
    known = sorted(names)
    return f"it can be {', '.join(known) or 'nothing'}.{did_you_mean(wrong, known)}"


def _parse(path: Path) -> tuple[dict[str, Any], dict[KeyPath, int]]:
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise PipelineError(f"{path}: is larger than {LARGEST_FILE} bytes; is it a pipeline?")
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise PipelineError(f"{path}: no such pipeline file; check the path.") from None
    except IsADirectoryError:
        raise PipelineError(f"{path}: is a folder; name one pipeline file in it.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise PipelineError(f"{path}: cannot be read as text ({error}).") from None
    if control := CONTROL.search(text.replace("\r\n", "\n")):
        line = 1 + text.count("\n", 0, control.start())
        raise PipelineError(f"{path}:{line}: holds {control[0]!r}; remove control characters.")
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if not isinstance(node, yaml.MappingNode):
            raise PipelineError(
                f"{path}:1: a pipeline is a mapping that starts with 'kind: restore', "
                "'kind: train' or 'kind: benchmark'."
            )
        lines = dict(_walk(path, node, (), itertools.count(1)))
        return loader.construct_document(node), lines
    except PipelineError:
        raise
    except RecursionError:
        raise PipelineError(f"{path}: is nested deeper than {DEEPEST} levels.") from None
    except yaml.MarkedYAMLError as error:
        at = error.problem_mark.line + 1 if error.problem_mark else 1
        raise PipelineError(f"{path}:{at}: is not valid YAML: {error.problem}.") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a number or date that is none
        raise PipelineError(f"{path}: is not valid YAML: {str(error).splitlines()[0]}.") from None
    finally:
        loader.dispose()


def _walk(
    path: Path, node: yaml.Node, key: KeyPath, count: Iterator[int]
) -> Iterator[tuple[KeyPath, int]]:
    """Yield every key with its line; refuse what no pipeline holds.

    An alias is followed each time it is used, so that aliases of aliases are counted in full.
    """
    line = node.start_mark.line + 1
    if len(key) > DEEPEST:
        raise PipelineError(f"{path}:{line}: is nested deeper than {DEEPEST} levels.")
    if next(count) > MOST_VALUES:
        raise PipelineError(f"{path}:{line}: the file holds more than {MOST_VALUES} values.")
    yield key, line
    if isinstance(node, yaml.ScalarNode):
        _check_text(path, node)
    if isinstance(node, yaml.SequenceNode):
        for i, item in enumerate(node.value):
            yield from _walk(path, item, (*key, i), count)
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for name, value in node.value:
            line = name.start_mark.line + 1
            if not isinstance(name, yaml.ScalarNode):
                raise PipelineError(f"{path}:{line}: a key is a list or mapping; write a word.")
            _check_text(path, name)
            inner = (*key, str(name.value))
            if name.value in seen:
                # YAML would let the second silently win.
                where = ".".join(map(str, inner))
                raise PipelineError(f"{path}:{line}: {where}: is given twice; keep one.")
            seen.add(name.value)
            yield from _walk(path, value, inner, count)
            yield inner, line


def _check_text(path: Path, node: yaml.ScalarNode) -> None:
    """Refuse control characters that are written as escapes, such as a NUL in a file name."""
    if control := CONTROL.search(node.value):
        line = node.start_mark.line + 1
        raise PipelineError(f"{path}:{line}: holds {control[0]!r}; remove control characters.")


def _explain(model: type[BaseModel], loc: KeyPath, error: dict[str, Any]) -> str:
    """Return in plain text what pydantic found wrong at ``loc``."""
    kind, got = error["type"], error["input"]
    if kind == "extra_forbidden":
        return f"there is no {loc[-1]!r} here; {can_be(loc[-1], _fields_at(model, loc[:-1]))}"
    if kind == "missing":
        return f"{loc[-1]!r} is missing; add it."
    if kind == "model_type":
        keys = ", ".join(sorted(_fields_at(model, loc)))
        return f"wants a mapping with keys such as {keys}, got {reprlib.repr(got)}."
    text = error["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return f"{text}." if kind == "value_error" else f"{text}, got {reprlib.repr(got)}."


def _fields_at(model: type[BaseModel], loc: KeyPath) -> set[str]:
    """Return the keys that the model nested at ``loc`` accepts."""
    here: object = model
    for key in loc:
        inside = list(_models_in(here))
        if not inside:
            return set()
        fields = inside[0].model_fields
        # A key that is no field is an index or a label: stay with the type of its items.
        here = fields[str(key)].annotation if str(key) in fields else inside[0]
    found = next(_models_in(here), None)
    return set() if found is None else set(found.model_fields) - {"options"}


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in typing.get_args(annotation):
        yield from _models_in(inner)
