"""Measure posterior files.

``python -m tests.posterior 200`` kills a writing process so many times;
``python -m tests.posterior memory 64 16`` says what writing draws of slices holds in memory;
``python -m tests.posterior speed`` times writing against bare h5py, and prints sizes.
"""

import sys
import tempfile
from pathlib import Path

from tests.posterior.crash import kill_at_random
from tests.posterior.held import held
from tests.posterior.speed import table

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        if sys.argv[1:] == ["speed"]:
            sys.stdout.write(table(Path(scratch) / "speed") + "\n")
            sys.exit(0)
        if sys.argv[1] == "memory":
            draws, slices = map(int, sys.argv[2:])
            sys.stdout.write(held(Path(scratch), draws, slices) + "\n")
            sys.exit(0)
        report = kill_at_random(int(sys.argv[1]), seed=0, folder=Path(scratch))
    sys.stdout.write("\n".join([str(report), *report.unreadable, *report.lost, ""]))
    sys.exit(bool(report.unreadable or report.lost))
