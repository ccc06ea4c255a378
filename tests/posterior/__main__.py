"""Kill a writing process as often as asked: ``python -m tests.posterior 200``."""

import sys
import tempfile
from pathlib import Path

from tests.posterior.crash import kill_at_random

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        report = kill_at_random(int(sys.argv[1]), seed=0, folder=Path(scratch))
    sys.stdout.write("\n".join([str(report), *report.unreadable, *report.lost, ""]))
    sys.exit(bool(report.unreadable or report.lost))
