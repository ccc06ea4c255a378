"""Checks of an output before any draw: its name, what lies there, and the memory it takes."""

import os
from contextlib import suppress
from pathlib import Path

from uqrestore._shared.files import temporary_name
from uqrestore._shared.memory import available_bytes
from uqrestore.posterior import _partial as part
from uqrestore.posterior.errors import PosteriorError
from uqrestore.posterior.open import is_complete
from uqrestore.posterior.plan import PosteriorPlan

HDF5 = b"\x89HDF\r\n\x1a\n"
OUTPUT_BYTES = 2**20  # within which every posterior file names its format


def part_of(path: Path) -> Path:
    """Return the partial file of a posterior file."""
    return path.with_name(path.name + ".part")


def check_place(path: Path, plan: PosteriorPlan, overwrite: bool) -> None:
    """Refuse a place where a posterior file cannot or must not be written.

    Raises:
        PosteriorError: Saying why, and what to do.
    """
    if not path.parent.is_dir():
        raise PosteriorError(f"{path.parent}: no such folder; make it or choose another.")
    longest = _longest_name(path.parent) - len(temporary_name(part_of(path)).name) + len(path.name)
    if len(os.fsencode(path.name)) > longest:
        raise PosteriorError(
            f"{path}: its name has {len(os.fsencode(path.name))} bytes, but with what is added "
            f"while it is written {longest} fit on this drive; choose a shorter name."
        )
    if os.path.lexists(path) and not overwrite:
        remove_leftovers(path, plan.fingerprint)
        raise PosteriorError(
            f"{path}: exists already; pass --overwrite to replace it, or choose another name."
        )
    if os.path.lexists(path) and not is_output(path):
        raise PosteriorError(
            f"{path}: exists and is no posterior file, so it is not replaced; choose another "
            "name, or remove it."
        )


def check_memory(path: Path, plan: PosteriorPlan) -> None:
    """Refuse more draws than can be summarised in the memory that is free."""
    needed, free = plan.summary_bytes, available_bytes()
    if free is not None and needed > free:
        raise PosteriorError(
            f"{path}: {plan.draws} draws of {len(plan.slices)} slices need "
            f"{needed / 2**30:.1f} GiB of memory to be summarised but {free / 2**30:.1f} GiB "
            "are free; ask for fewer draws."
        )


def is_output(path: Path) -> bool:
    """Return True for a posterior file, whole or damaged, and for an empty file."""
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        start = file.read(OUTPUT_BYTES)
    return not start or (start.startswith(HDF5) and b" uqrestore-" in start)


def _longest_name(folder: Path) -> int:
    """Return how many bytes a name in a folder may have."""
    try:
        return os.pathconf(folder, "PC_NAME_MAX")
    except (AttributeError, OSError, ValueError):  # not a POSIX system
        return 255


def remove_leftovers(path: Path, fingerprint: str) -> None:
    """Remove the partial file beside a finished one of the same run.

    It stays where a process is killed between the two last steps of ``finish``.
    """
    part_path = part_of(path)
    if part_path.exists() and is_complete(path, fingerprint):
        with suppress(PosteriorError, OSError), part.lock(part_path):
            part_path.unlink()
