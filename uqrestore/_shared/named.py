"""Names in files: of a registry, or of a Python object of the user's own."""

import importlib
import re
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

from uqrestore._shared.text import did_you_mean

Named = TypeVar("Named")
IMPORT = re.compile(r"[\w.]+:\w+")


def is_import(name: str) -> bool:
    """Return True for ``package.module:name``, which is imported instead of looked up."""
    return ":" in name


def name_by_import(raw: dict[Any, Any], key: str) -> dict[Any, Any]:
    """Return a part of a file with the value of ``python:`` as its name.

    Args:
        raw: The part as it was read.
        key: Key of the name, which ``python:`` replaces.

    Raises:
        ValueError: If the part has both, or the value is not ``package.module:name``.
    """
    if "python" not in raw:
        return raw
    rest = {name: value for name, value in raw.items() if name != "python"}
    if key in rest or not IMPORT.fullmatch(str(raw["python"])):
        raise ValueError(f"python: write 'python: package.module:name' instead of {key!r}")
    return {key: raw["python"]} | rest


def find_named(name: str, registry: Mapping[str, Named], what: str) -> Named:
    """Return what a name in a file stands for.

    Args:
        name: Key of the registry, or ``package.module:name`` of an importable module.
        registry: Everything of this kind that ships.
        what: Kind, for the error, such as ``method``.

    Raises:
        ValueError: If there is no such key, module or object.
    """
    if not is_import(name):
        if name not in registry:
            known = sorted(registry)
            raise ValueError(
                f"there is no {what} {name!r}; it can be {', '.join(known)}, or "
                f"'python: package.module:name'.{did_you_mean(name, known)}"
            )
        return registry[name]
    module, _, place = name.partition(":")
    importlib.invalidate_caches()  # the file may have been written a moment ago
    try:
        found = importlib.import_module(module)
    except Exception as error:
        missing = isinstance(error, ModuleNotFoundError) and module.startswith(str(error.name))
        cure = "install it, or set PYTHONPATH to its folder" if missing else "correct the module"
        reason = "there is no such module" if missing else f"{type(error).__name__}: {error}"
        raise ValueError(f"{what} {name!r} cannot be imported ({reason}); {cure}.") from error
    if not callable(getattr(found, place, None)):
        public = sorted(key for key, value in vars(found).items() if callable(value))
        raise ValueError(
            f"{what} {name!r}: {module} has no function or class {place!r}."
            f"{did_you_mean(place, public)}"
        )
    return getattr(found, place)


def source_of(name: str) -> Path | None:
    """Return the file of the module that a name is imported from; None for names of a registry."""
    if not is_import(name):
        return None
    spec = find_spec(name.partition(":")[0])
    return None if spec is None or spec.origin is None else Path(spec.origin)
