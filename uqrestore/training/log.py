"""Log of a training run: one row a validation, none twice after a resume."""

import csv
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from uqrestore._shared.files import create_new, write_text

LOG = "log.csv"
LOCK = ".training.lock"
"""File that is locked while a process trains in its folder."""


@contextmanager
def only_training(folder: Path) -> Iterator[None]:
    """Hold the lock of a run folder.

    Raises:
        ValueError: If another process trains in it.
    """
    path = folder / LOCK
    try:
        lock = create_new(path, wait=False)
    except BlockingIOError:
        raise ValueError(
            f"{folder}: another process trains in this folder; wait for it to end, or choose "
            "another folder by --out."
        ) from None
    with lock:
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def rows_of(folder: Path) -> list[dict[str, str]]:
    """Return the rows of a log; none where there is no log yet."""
    path = folder / LOG
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def drop_later_rows(folder: Path, seen: int) -> None:
    """Remove the rows that a killed run wrote after its last saved state.

    Args:
        folder: Of the run.
        seen: Samples of the saved state; the resumed run makes the later rows again.
    """
    rows = rows_of(folder)
    kept = [row for row in rows if float(row["seen"]) <= seen]
    if len(kept) < len(rows):
        lines = [",".join(rows[0]), *(",".join(row.values()) for row in kept)]
        write_text(folder / LOG, "".join(f"{line}\r\n" for line in lines) if kept else "")
        if not kept:
            (folder / LOG).unlink()


def add_row(folder: Path, row: Mapping[str, Any]) -> None:
    """Append a row to the log."""
    path = folder / LOG
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(row))
        if new:
            writer.writeheader()
        writer.writerow(row)


def summary_writer() -> Callable[..., Any]:
    """Return the writer of TensorBoard.

    Raises:
        ImportError: If it is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise ImportError(
            "TensorBoard is not installed; pip install 'uqrestore[tensorboard]', or leave it out: "
            "log.csv holds the same."
        ) from None
    return SummaryWriter
