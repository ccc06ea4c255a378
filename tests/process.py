"""A process of its own, whose memory is that of any other."""

import os
import subprocess
import sys


def output_of(*arguments: object) -> str:
    """Return what ``python -m`` prints, with the memory allocator at its defaults."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")}
    command = [sys.executable, "-m", *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout
