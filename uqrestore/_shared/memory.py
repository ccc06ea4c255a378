"""Memory of the machine and of this process, and the budget of a run."""

import re
import sys
from pathlib import Path

UNITS = {"": 1, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "KB": 10**3, "MB": 10**6, "GB": 10**9}
MEMINFO = Path("/proc/meminfo")


def read_size(text: str) -> int:
    """Read a number of bytes such as ``2GiB``.

    Raises:
        ValueError: If the text is no size.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", text)
    if match is None or match[2].upper() not in UNITS or not float(match[1]) > 0:
        raise ValueError(f"--memory {text}: write a size such as 2GiB or 800MB.")
    return int(float(match[1]) * UNITS[match[2].upper()])


def available_bytes() -> int | None:
    """Return how much memory this process may still take, or None where the system is silent."""
    known = []
    if MEMINFO.exists():
        lines = MEMINFO.read_text().splitlines()
        known += [1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable")]
    for folder, limit, used in (
        ("/sys/fs/cgroup", "memory.max", "memory.current"),
        ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
    ):
        try:
            most, now = (Path(folder, name).read_text().strip() for name in (limit, used))
            known.append(int(most) - int(now))
        except (OSError, ValueError):  # no such controller, or "max"
            continue
    return max(0, min(known)) if known else None


def peak_memory() -> int:
    """Return the most bytes that this process has held in memory so far.

    Raises:
        ValueError: On a system that does not report it.
    """
    try:
        import resource
    except ImportError:
        raise ValueError(
            "--memory: this system does not report memory use; choose --batch-size instead."
        ) from None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


class Budget:
    """Number of images per batch: doubled for as long as memory allows it.

    The cost of an image is measured, not estimated: the size starts at 1, and is doubled only if
    twice the growth of the peak so far still fits. The size of a batch never changes a result.

    Args:
        limit: Bytes for the whole process; None always gives ``largest``.
        largest: Most images at once.
        reserve: Bytes needed later, once the images are drawn.

    Raises:
        ValueError: If the process is larger already.
    """

    def __init__(self, limit: int | None, largest: int, *, reserve: int = 0) -> None:
        self.limit, self.largest = limit, largest
        self.size = largest if limit is None else 1
        self._base = 0 if limit is None else peak_memory()
        self._room = 0 if limit is None else limit - reserve - self._base
        if self._room < 0:
            raise ValueError(
                f"--memory: the prior, the scan and its summaries take "
                f"{(self._base + reserve) / 2**30:.2f} GiB before a single image is drawn; allow "
                "more, or fewer --slices or --draws."
            )

    def update_from_peak(self) -> None:
        """Allow a larger next batch if the peak memory so far leaves room for it."""
        if self.limit is None or self.size >= self.largest:
            return
        if 2 * (peak_memory() - self._base) <= self._room:
            self.size = min(2 * self.size, self.largest)
