"""Terminal output: lines, progress bars with the time left, and errors in one line."""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console

from uqrestore._shared.text import printable
from uqrestore._shared.version import __version__

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

    from uqrestore.restoration.restore import Progress

out, err = Console(soft_wrap=True), Console(stderr=True, soft_wrap=True)

USER_MISTAKE, FAILURE = 2, 1


class DamagedFileError(RuntimeError):
    """A posterior file that is not what was written."""


def say(line: str) -> None:
    """Print a line for the user."""
    text = "\n".join(map(printable, line.split("\n")))  # names and titles come from strangers
    out.print(text, markup=False, highlight=False)


def psnr_line(psnr: Mapping[str, float], data_range: float, *, measured: bool = False) -> str:
    """Return one line with the PSNR of the images of a posterior file.

    Args:
        psnr: In dB, by the name of the image in the file.
        data_range: Peak, in the units of the file.
        measured: True for raw k-space with its reference, whose brightness is the peak.
    """
    from uqrestore.reports.contents import TITLES

    names = {**TITLES, "mean": "mean", "mmse": "network mean"}
    known = {name: psnr[name] for name in names if name in psnr} | dict(psnr)
    values = ", ".join(f"{names.get(n, n)} {value:.2f}" for n, value in known.items())
    peak = f"peak {data_range:.4g}"
    if measured:
        return f"PSNR inside the mask: {values} dB ({peak}, the brightness of the reference)"
    return f"PSNR inside the brain mask: {values} dB ({peak}, that is 2 in network units [-1, 1])"


@contextmanager
def one_line_faults(kept: Path | None = None) -> Iterator[None]:
    """Turn an exception into one line and an exit code: 2 for a mistake, 1 for a failure.

    ``UQRESTORE_TRACEBACK=1`` lets the exception through, for a report of a bug.

    Args:
        kept: File that keeps the work of a run that is stopped, if there is one.
    """
    try:
        yield
    except KeyboardInterrupt:
        hint = ""
        if kept is not None and kept.exists():
            hint = f" {kept} keeps what is done: run the same command again to resume."
        err.print(printable(f"Stopped.{hint}"), markup=False, highlight=False)
        raise typer.Exit(FAILURE) from None
    except Exception as error:
        if os.environ.get("UQRESTORE_TRACEBACK"):
            raise
        code, text = _judge(error)
        err.print(printable(f"Error: {text}"), markup=False, highlight=False)
        raise typer.Exit(code) from None


def _judge(error: Exception) -> tuple[int, str]:
    """Return the exit code and the line for an exception."""
    text = printable(" ".join(str(error).split()))
    mistakes = FileNotFoundError | FileExistsError | IsADirectoryError | NotADirectoryError
    if isinstance(error, ValueError | mistakes | PermissionError):
        return USER_MISTAKE, text
    if isinstance(error, ImportError) and "pip install" in text:  # an extra that is missing
        return USER_MISTAKE, text
    if isinstance(error, OSError | ArithmeticError | DamagedFileError):
        return FAILURE, text
    return FAILURE, (
        f"{type(error).__name__}: {text or 'no message'}. This is a fault of uqrestore "
        f"{__version__}: please report it with the output of UQRESTORE_TRACEBACK=1."
    )


@contextmanager
def restoration_bar() -> Iterator[Callable[["Progress"], None]]:
    """Show slices and samples done and the time left; silent where there is no terminal."""
    bar = _bar("{task.fields[words]}")
    with bar:
        task = bar.add_task("", total=None, words="loading the prior")

        def advance(now: "Progress") -> None:
            words = (
                f"slices {now.slices_done}/{now.slices}  samples {now.samples_done}/{now.samples}"
            )
            bar.update(task, total=now.samples, completed=now.samples_done, words=words)

        yield advance


@contextmanager
def count_bar(what: str) -> Iterator[Callable[..., None]]:
    """Show how many of a known number of things are done, and the time left.

    Yields:
        ``(done, total)`` or ``(done, total, words)``, where the words take the place of ``what``.
    """
    bar = _bar("{task.description} {task.completed:.0f}/{task.total:.0f}")
    with bar:
        task = bar.add_task(what, total=0)

        def advance(done: int, total: int, words: str = what) -> None:
            bar.update(task, completed=done, total=total, description=words)

        yield advance


class ProgressLines:
    """Times of the lines of a log without a terminal: every minute or every 5 %."""

    def __init__(self, seconds: float = 60.0, share: float = 0.05) -> None:
        self.seconds, self.share = seconds, share
        self._time, self._done = time.monotonic(), 0.0

    def due(self, done: float) -> bool:
        """Return whether to print a line at this share of the work."""
        now = time.monotonic()
        if now - self._time < self.seconds and done - self._done < self.share and done < 1:
            return False
        self._time, self._done = now, done
        return True


def _bar(text: str) -> "RichProgress":
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    return RichProgress(
        TextColumn(text, markup=False),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=out,  # that of the lines, which then appear above the bar
        transient=True,
        disable=not out.is_terminal,
    )
