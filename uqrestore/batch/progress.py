"""Progress of a batch: a live table on a terminal, lines elsewhere."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from uqrestore._shared.text import printable
from uqrestore.batch.job import Record
from uqrestore.batch.tasks import Task

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

SHOWN = 12  # scans in progress that fit on a screen


@dataclass
class _State:
    total: int = 0
    ended: Counter[str] = field(default_factory=Counter)
    running: dict[str, float] = field(default_factory=dict)
    computed_s: float = 0.0
    begun: float = field(default_factory=time.monotonic)

    def update(self, event: str, what: Task | Record) -> None:
        self.total += event == "found"
        if event == "started":
            self.running[what.name] = time.monotonic()
        if isinstance(what, Record):
            self.running.pop(what.name, None)
            self.ended[what.status] += 1

    def __rich__(self) -> "Table":
        from rich.markup import escape
        from rich.table import Table

        now, done = time.monotonic(), self.ended.total()
        left = (now - self.begun) / done * (self.total - done) if done else None
        counts = ", ".join(f"{n} {status}" for status, n in self.ended.items()) or "none ended yet"
        table = Table(title=f"{done}/{self.total} scans: {counts}", title_justify="left", box=None)
        table.add_column("in progress")
        table.add_column("seconds", justify="right")
        for name, start in list(self.running.items())[:SHOWN]:
            table.add_row(escape(name), f"{now - start:.0f}")
        if len(self.running) > SHOWN:
            table.add_row(f"and {len(self.running) - SHOWN} more", "")
        table.caption = "" if left is None else f"about {left / 60:.0f} min left"
        return table


@contextmanager
def board(console: "Console") -> Iterator[Callable[[str, Task | Record], None]]:
    """Show a batch; yields the callback ``tell`` of ``run_batch``."""
    from rich.live import Live

    state = _State()

    def tell(event: str, what: Task | Record) -> None:
        state.update(event, what)
        if isinstance(what, Record):
            ended = f"{state.ended.total()}/{state.total}"
            line = f"{ended} {what.name}: {what.status}"
            line += f" ({what.error})" if what.error else f" in {what.seconds:.1f} s"
            if what.error or not console.is_terminal:
                console.print(printable(line), markup=False, highlight=False)

    if not console.is_terminal:
        yield tell
        return
    with Live(state, console=console, refresh_per_second=2, transient=True):
        yield tell
