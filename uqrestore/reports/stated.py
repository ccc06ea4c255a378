"""Reading of provenance, which may hold anything: parts by name, options as text."""

import json
from collections.abc import Mapping
from typing import Any


def part(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return a part of provenance; empty if it is missing or of another type."""
    found = data.get(name)
    return found if isinstance(found, Mapping) else {}


def flat(value: Any) -> Any:  # noqa: ANN401  (any JSON value)
    """Bring options back beside the name of their part, as a pipeline file writes them."""
    if not isinstance(value, Mapping):
        return value
    own = {key: flat(item) for key, item in value.items() if key != "options"}
    options = value.get("options")
    return own | (dict(options) if isinstance(options, Mapping) else {})


def plain(value: Any) -> str:  # noqa: ANN401  (any JSON value)
    """Write a value of provenance on one line."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {plain(item)}" for key, item in value.items())
    return value if isinstance(value, str) else json.dumps(value)


def options(value: Any) -> str:  # noqa: ANN401  (any JSON value)
    """Write options in brackets; nothing if there are none."""
    if not isinstance(value, Mapping) or not value:
        return ""
    return f" ({plain(flat(value))})"
