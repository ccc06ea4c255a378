"""Refusal of files that claim more voxels than this machine has memory for."""

from uqrestore._shared.memory import available_bytes
from uqrestore.scans.errors import ScanError


def check_memory(needed: int, name: str, claim: str = "its header") -> None:
    """Refuse an allocation that exceeds the free memory, before it is made.

    Args:
        needed: Bytes at the peak.
        name: Of the file, for the message.
        claim: Source of the number, for the message.

    Raises:
        ScanError: If less memory is free.
    """
    free = available_bytes()
    if free is not None and needed > free:
        raise ScanError(
            f"{name}: {claim} asks for {needed / 2**30:.1f} GiB of memory but "
            f"{free / 2**30:.1f} GiB are free; if it is not damaged, crop it."
        )
