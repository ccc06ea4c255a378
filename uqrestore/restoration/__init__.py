"""Restoration of a scan: read, prepare, acquire, draw, write."""

from uqrestore.restoration import acquisition, axial, draw, predict, prepare, restore

__all__ = [
    "acquisition",
    "axial",
    "draw",
    "predict",
    "prepare",
    "restore",
]
