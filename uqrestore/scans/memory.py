"""Refusal of files that claim more voxels than this machine has memory for."""

from pathlib import Path

from uqrestore.scans.errors import ScanError

MEMINFO = Path("/proc/meminfo")


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


def check_memory(needed: int, name: str, claim: str = "its header") -> None:
    """Refuse an allocation that exceeds the free memory, before it is made.

    Args:
        needed: Bytes at the peak.
        name: Of the file, for the message.
        claim: Source of the number, for the message.

    Raises:
        ScanError: If less memory is free.
    """
    free = available_bytes()
    if free is not None and needed > free:
        raise ScanError(
            f"{name}: {claim} asks for {needed / 2**30:.1f} GiB of memory but "
            f"{free / 2**30:.1f} GiB are free; if it is not damaged, crop it."
        )
