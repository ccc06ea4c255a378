"""Integrity of finished files, checked without HDF5, which damaged bytes can hang.

One flipped bit in HDF5's structure can send the library into an endless loop, so a file is hashed
byte by byte before it is parsed, and one that fails is parsed by a child process alone.
"""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, BinaryIO

MARK = b"\x89uqrestore-sha\r\n"  # stands before the digest, so that it is found without HDF5
DIGEST_BYTES = 32
BLOCK = 2**20
CHILD_SECONDS = 60.0


def file_sha256(file: BinaryIO, place: int) -> bytes:
    """Hash a whole file with the bytes of the digest at ``place`` taken as zero."""
    digest = hashlib.sha256()
    file.seek(0)
    start = 0
    while block := file.read(BLOCK):
        low, high = max(place - start, 0), min(place + DIGEST_BYTES - start, len(block))
        if low < high:
            block = block[:low] + bytes(high - low) + block[high:]
        digest.update(block)
        start += len(block)
    return digest.digest()


def intact(path: Path) -> bool | None:
    """Return True if a file agrees with its digest; None if it has none (a partial file)."""
    with path.open("rb") as file:
        place = _digest_place(file)
        if place is None:
            return None
        file.seek(place)
        wanted = file.read(DIGEST_BYTES)
        return file_sha256(file, place) == wanted


def _digest_place(file: BinaryIO) -> int | None:
    """Find the digest by its mark. Not with mmap: a file that shrinks meanwhile would kill us."""
    start, kept = 0, b""
    while block := file.read(BLOCK):
        content = kept + block
        found = content.find(MARK)
        if found >= 0:
            return start - len(kept) + found + len(MARK)
        start += len(block)
        kept = content[-len(MARK) + 1 :]
    return None


def in_child(function: str, path: Path) -> Any:  # noqa: ANN401  (whatever JSON the child returns)
    """Call ``module:function`` on a damaged file in a process of its own.

    Returns:
        What the function returned, by way of JSON; None if the child crashed or did not end.
    """
    module, _, name = function.partition(":")
    code = (
        f"import json, sys; from {module} import {name}; "
        f"sys.stdout.write(json.dumps({name}(sys.argv[1])))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    try:
        done = subprocess.run(
            [sys.executable, "-c", code, str(path)],
            capture_output=True,
            timeout=CHILD_SECONDS,
            check=True,
            env=environment,
        )
        return json.loads(done.stdout)
    except (subprocess.SubprocessError, ValueError):
        return None
