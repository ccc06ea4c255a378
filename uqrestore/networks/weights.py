"""Weights on disk: safetensors and JSON only, written whole or not at all."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from uqrestore._shared.files import atomic, write_text


class WeightsError(ValueError):
    """A file of weights cannot be used; the text names it and says what to do."""


def save_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors so that a kill at any moment leaves the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not save_file, which makes files that only their owner can read.
    with atomic(path) as temporary:
        temporary.write_bytes(
            save({name: t.detach().contiguous().cpu() for name, t in tensors.items()})
        )


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Read tensors; never runs code.

    Raises:
        WeightsError: If the file is missing, truncated or not safetensors.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: no such file.")
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(
            f"{path}: not a whole safetensors file ({error}); fetch or train it again."
        ) from error


def sha256(path: Path) -> str:
    """Return the hex digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def save_json(path: Path, content: Mapping[str, object]) -> None:
    """Write JSON so that a kill at any moment leaves the old file or the new one."""
    write_text(path, json.dumps(content, indent=2) + "\n")


def load_json(path: Path) -> dict:
    """Read JSON.

    Raises:
        WeightsError: If the file is missing, not JSON, or holds no object.
    """
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(f"{path}: not a readable JSON file ({error}).") from error
    if not isinstance(found, dict):
        raise WeightsError(f"{path}: holds JSON, but no object of names and values.")
    return found
