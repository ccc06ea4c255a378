"""A process killed at any moment of writing loses nothing that it had written."""

from pathlib import Path

from tests.posterior.crash import kill_at_random


def test_twenty_kills_lose_no_slab_and_leave_no_unreadable_file(tmp_path: Path) -> None:
    report = kill_at_random(20, seed=1, folder=tmp_path)
    assert report.kills == 20
    assert report.unreadable == []
    assert report.lost == []
    assert len(set(report.killed_at)) > 5, "the kills should fall at many different moments"
