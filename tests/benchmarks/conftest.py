"""Time the code as users run it, and print ratios at the end."""

import dataclasses
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the table: medians of the computing time of one thread, in milliseconds."""

    case: str
    reference: str
    ours_ms: float
    reference_ms: float
    wanted: float
    note: str

    @property
    def ratio(self) -> float:
        """How many times faster than the reference."""
        return self.reference_ms / self.ours_ms


ROWS = pytest.StashKey[list[Row]]()


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    config.stash[ROWS] = []
    if config.getoption("benchmark_only", default=False):
        # The project's own options time nothing and check every annotation at run time, by a hook
        # of the import system that is in place before this line; here it is the other way round.
        config.option.benchmark_disable = False
        sys.meta_path[:] = [
            finder for finder in sys.meta_path if "jaxtyping" not in type(finder).__module__
        ]


@pytest.fixture
def compare(request: pytest.FixtureRequest, benchmark: Any) -> Callable[..., None]:  # noqa: ANN401
    """Return a function that times two others in turn and adds a row to the table."""

    def run(
        case: str,
        ours: Callable[[], object],
        reference: Callable[[], object],
        *,
        named: str,
        wanted: float,
        times: int = 200,
        note: str = "",
    ) -> None:
        benchmark.pedantic(ours, rounds=times, warmup_rounds=2)
        reference()
        if benchmark.disabled:
            return
        # One after the other, so that both meet the same state of the machine; and the time that
        # this thread computes, so that other programs on a shared machine do not count.
        spent: tuple[list[float], list[float]] = ([], [])
        for _ in range(times):
            for function, seconds in zip((ours, reference), spent, strict=True):
                start = time.thread_time()
                function()
                seconds.append(time.thread_time() - start)
        ours_ms, reference_ms = (1e3 * statistics.median(seconds) for seconds in spent)
        row = Row(case, named, ours_ms, reference_ms, wanted, note)
        benchmark.extra_info.update(dataclasses.asdict(row) | {"ratio": row.ratio})
        request.config.stash[ROWS].append(row)

    return run


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    rows = config.stash.get(ROWS, [])
    if not rows:
        return
    terminalreporter.section("ratios of operators: reference / ours")
    for row in rows:
        short = "" if row.ratio >= row.wanted else "  SHORT"
        terminalreporter.write_line(
            f"{row.case:44s} {row.ratio:8.2f}x of {row.wanted:6.2f}x  ours {row.ours_ms:9.3f} ms  "
            f"{row.reference} {row.reference_ms:9.3f} ms  "
            f"{row.note}{short}"
        )
