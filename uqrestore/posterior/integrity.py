"""Is a finished file the one that was written? Answered without HDF5, which damage can hang.

One flipped bit in HDF5's structure can send the library into an endless loop, so a file is hashed
byte by byte before it is parsed, and one that fails is parsed by a child process alone.
"""

import hashlib
import json
import mmap
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
    """Say whether a file is what its digest says; None if it has no digest (a partial file)."""
    with path.open("rb") as file:
        if not file.seek(0, os.SEEK_END):
            return None
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            mark = content.find(MARK)
            place = mark + len(MARK)
            wanted = content[place : place + DIGEST_BYTES]
        return None if mark < 0 else file_sha256(file, place) == wanted


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
