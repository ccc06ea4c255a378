"""The memory of a report does not grow with masks of patches, components and draws."""

import re

from tests.process import output_of

SHAPE, DRAWS = (96, 96, 96), 8
VOLUME_MIB = 96**3 * 4 / 2**20  # one map: 3.4 MiB
LIMIT = 60 * VOLUME_MIB  # measured: 36 volumes, of which 13 are maps; a mask per patch took 600


def test_a_report_holds_a_few_volumes() -> None:
    printed = output_of("tests.reports", "memory", *SHAPE, DRAWS)
    found = re.search(r"memory +(\d+) MiB more", printed)
    assert found is not None, printed
    assert int(found[1]) < LIMIT
