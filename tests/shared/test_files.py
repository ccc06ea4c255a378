"""Files appear whole or not at all; no link is followed, no file of the user written over."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from uqrestore._shared.files import atomic, create_new, temporary_name, write_text
from uqrestore._shared.text import did_you_mean, printable


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_whole_and_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with atomic(path, suffix=".nii.gz") as temporary:
        assert temporary.name.endswith(".nii.gz")
        assert not path.exists()
        temporary.write_bytes(b"new")
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["a.txt"]
    (tmp_path / "plain").write_bytes(b"")
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_failure_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def half(temporary: Path) -> None:
        temporary.write_text("ne")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), atomic(path) as temporary:
        half(temporary)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def as_link(place: Path, users: Path) -> None:
    place.symlink_to(users)


def as_hard_link(place: Path, users: Path) -> None:
    place.hardlink_to(users)


def as_dangling_link(place: Path, users: Path) -> None:
    place.symlink_to(users.with_name("nowhere"))


def as_pipe(place: Path, _users: Path) -> None:
    os.mkfifo(place)


def as_leftover(place: Path, _users: Path) -> None:
    place.write_text("half of a fi")


@pytest.mark.skipif(os.name != "posix", reason="links and pipes of POSIX")
@pytest.mark.parametrize("lay", [as_link, as_hard_link, as_dangling_link, as_pipe, as_leftover])
def test_what_lies_at_the_temporary_name_is_not_written_through(
    lay: Callable[[Path, Path], None], tmp_path: Path
) -> None:
    users, path = tmp_path / "users.txt", tmp_path / "a.txt"
    users.write_text("of the user")
    lay(temporary_name(path), users)
    write_text(path, "new")
    assert path.read_text() == "new"
    assert not path.is_symlink()
    assert users.read_text() == "of the user"
    assert names(tmp_path) == ["a.txt", "users.txt"]


@pytest.mark.skipif(os.name != "posix", reason="locks of POSIX")
def test_two_processes_do_not_share_a_temporary_file(tmp_path: Path) -> None:
    place = tmp_path / "a"
    code = (
        "import sys; from pathlib import Path; from uqrestore._shared.files import create_new\n"
        "file = create_new(Path(sys.argv[1])); print('mine', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(place)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"mine\n"
        with pytest.raises(BlockingIOError, match="being written by another process"):
            create_new(place, wait=False)
        assert place.exists(), "it belongs to the other process"
        other.communicate()
    create_new(place, wait=False).close()


def test_a_name_nearby_is_offered() -> None:
    assert did_you_mean("step", ["steps", "eta"]) == " Did you mean 'steps'?"
    assert did_you_mean("x", ["steps", "eta"]) == ""
    assert did_you_mean(7, ["steps"]) == ""


@pytest.mark.parametrize("text", ["\x1b[2J", "a\nb", "\u202egnp", "\x9b31m", "\x07", "a\u200bb"])
def test_nothing_steers_the_terminal(text: str) -> None:
    assert printable(text).isprintable()
    assert printable("Müller 脳 é") == "Müller 脳 é"
