"""Files of a scan as bytes: list, checksum, and a guard against changes while they are read."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from uqrestore._shared import text as shared_text
from uqrestore.scans.errors import ScanError
from uqrestore.scans.scan import identify


def files_of(path: Path) -> list[Path]:
    """Return the files of an input: the file itself, or every visible file of a folder, sorted."""
    if not path.is_dir():
        return [path]
    return sorted(p for p in path.iterdir() if p.is_file() and not p.name.startswith("."))


def input_sha256(path: Path) -> str:
    """Return the SHA-256 of an input: of a file's bytes, or of the sorted hashes of a folder.

    Raises:
        ScanError: If it cannot be read.
    """
    try:
        digests = [_file_sha256(file) for file in files_of(path)]
    except OSError as error:
        raise ScanError(
            f"{path}: cannot be read ({error.strerror or error}); check path and rights."
        ) from error
    if not path.is_dir():
        return digests[0]
    return hashlib.sha256("".join(sorted(digests)).encode()).hexdigest()


def input_identity(
    path: Path,
    mask: Path | None = None,
    volume: int | None = None,
    noise_std: float | None = None,
    coils: int | None = None,
) -> str:
    """Return the ``Scan.identity`` of files without parsing them.

    Raises:
        ScanError: If a file cannot be read.
    """
    mask_sha256 = "" if mask is None else input_sha256(mask)
    return identify(input_sha256(path), mask_sha256, volume, noise_std, coils)


def printable(text: str) -> str:
    """Return the first 120 characters of a name or a header's text, safe to print."""
    return shared_text.printable(text[:120])


@contextmanager
def unchanged(path: Path) -> Iterator[None]:
    """Refuse an input whose files change while it is read.

    Raises:
        ScanError: If size, modification time or inode of a file differ afterwards.
    """
    before = _stamps(path)
    yield
    if _stamps(path) != before:
        raise ScanError(
            f"{path}: changed while it was read; wait until whatever writes it has finished."
        )


def _stamps(path: Path) -> list[tuple[str, int, int, int]]:
    try:
        stats = [(file.name, file.stat()) for file in files_of(path)]
    except OSError:
        return []
    return [(name, stat.st_size, stat.st_mtime_ns, stat.st_ino) for name, stat in stats]


def _file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
