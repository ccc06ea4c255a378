"""Options of a run are checked where they are made."""

import pytest

from uqrestore.restoration.options import RunOptions


@pytest.mark.parametrize("name", ["batch_size", "memory", "slices"])
def test_a_number_below_one_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be 1 or more.*got 0"):
        RunOptions(**{name: 0})  # type: ignore[arg-type]
