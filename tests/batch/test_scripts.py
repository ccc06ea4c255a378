"""A batch that is started from a Python script."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.batch.scene import write_pipeline, write_scans

SCRIPT = """
from pathlib import Path
from uqrestore.batch import Job, run_batch
from uqrestore.pipeline import read_pipeline
from uqrestore.restoration.options import RunOptions

work = Job(read_pipeline({pipeline!r}), Path({out!r}), options=RunOptions(slices=1))
{guard}run_batch({scans!r}, work, workers={workers})
"""


def run_script(folder: Path, workers: int, guard: str = "") -> subprocess.CompletedProcess[str]:
    write_scans(folder / "scans", ["a"])
    names = {"scans": folder / "scans", "out": folder / "out", "pipeline": write_pipeline(folder)}
    script = folder / "study.py"
    plain = {key: str(path) for key, path in names.items()}
    script.write_text(SCRIPT.format(**plain, workers=workers, guard=guard))
    return subprocess.run(
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.mark.parametrize("workers", [1, 2])
def test_a_script_without_a_main_guard_is_refused_with_the_line_to_write(
    tmp_path: Path, workers: int
) -> None:
    ended = run_script(tmp_path, workers)
    assert ended.returncode == 1
    last = ended.stderr.strip().splitlines()[-1]
    assert last.startswith("uqrestore.batch.tasks.BatchError: the worker processes cannot start")
    assert "if __name__ == '__main__':" in last
    assert not (tmp_path / "out" / "a.error.json").exists(), "the scan is not to blame"


def test_a_script_with_a_main_guard_restores(tmp_path: Path) -> None:
    ended = run_script(tmp_path, 1, "if __name__ == '__main__': ")
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "out" / "a.posterior.h5").exists()
