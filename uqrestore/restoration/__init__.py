"""Restoration of a scan: read, prepare, acquire, draw, write."""

from uqrestore.restoration import axial, draw, predict, prepare, restore, sampling

__all__ = [
    "axial",
    "draw",
    "predict",
    "prepare",
    "restore",
    "sampling",
]
