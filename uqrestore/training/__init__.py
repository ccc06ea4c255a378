"""Training of networks: configuration, data, the loop, checkpoints, export.

Its modules are imported when first used: pipelines read :mod:`config` without torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uqrestore.training import (
        augmentation,
        config,
        data,
        labels,
        loop,
        measurements,
        power_ema,
        run,
        sources,
    )

__all__ = [
    "augmentation",
    "config",
    "data",
    "labels",
    "loop",
    "measurements",
    "power_ema",
    "run",
    "sources",
]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module(f"{__name__}.{name}")
