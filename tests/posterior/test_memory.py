"""What writing and finishing a file holds does not grow with its draws and slices."""

import re
import subprocess
import sys

import pytest

LIMIT_MIB = 40  # measured: 5 to 24


@pytest.mark.parametrize(("draws", "slices"), [(128, 8), (8, 96)])
def test_no_volume_is_held_in_memory(draws: int, slices: int) -> None:
    command = [sys.executable, "-m", "tests.posterior", "memory", str(draws), str(slices)]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"(\d+) MiB to write them, (\d+) MiB with summaries", told)
    assert found is not None, told
    assert int(found[1]) < 10
    assert int(found[2]) < LIMIT_MIB
