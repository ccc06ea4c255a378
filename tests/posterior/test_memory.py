"""What writing and finishing a file holds does not grow with its draws and slices."""

import re

import pytest

from tests.process import output_of

LIMIT_MIB = 40  # measured: 5 to 24


@pytest.mark.parametrize(("draws", "slices"), [(128, 8), (8, 96)])
def test_no_volume_is_held_in_memory(draws: int, slices: int) -> None:
    printed = output_of("tests.posterior", "memory", draws, slices)
    found = re.search(r"(\d+) MiB to write them, (\d+) MiB with summaries", printed)
    assert found is not None, printed
    assert int(found[1]) < 10
    assert int(found[2]) < LIMIT_MIB
