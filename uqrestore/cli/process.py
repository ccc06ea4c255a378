"""Settings of the process of the command line: waiting threads, and the memory allocator."""

import ctypes
import os
import sys

MMAP_MAX, TRIM_THRESHOLD = -4, -1
"""Parameters of glibc's ``mallopt`` (``malloc.h``)."""
NEVER_TRIM = 2**31 - 1


def set_up_process() -> None:
    """Let idle threads sleep, and keep freed memory, for this process and those it starts.

    Threads of OpenMP that wait by spinning take the processor from other work: where one of two
    cores was busy, a restoration took six times as long. Memory that is returned to the system
    after every tensor and fetched again costs a quarter of the time of a restoration. What the
    environment already sets stays. To be called before torch is imported.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    if sys.platform != "linux" or any(name.startswith("MALLOC_") for name in os.environ):
        return
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc; not musl
    if set_option is not None:
        set_option(MMAP_MAX, 0)
        set_option(TRIM_THRESHOLD, NEVER_TRIM)
