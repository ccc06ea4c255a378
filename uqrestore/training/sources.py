"""From a data configuration to what draws training images, and to the validation images."""

from pathlib import Path

import torch

from uqrestore.training.config import DataConfig
from uqrestore.training.data import (
    DataError,
    Images,
    Source,
    load_slices,
    slices_source,
    to_network,
)
from uqrestore.training.labels import labels_source, load_labels
from uqrestore.training.windows import cut_windows, windows_source

VALIDATION = 256
"""Validation images kept: enough for a loss to two digits, few enough to be quick."""


def open_data(folder: Path, config: DataConfig) -> tuple[Source, Images]:
    """Open the training data of a folder.

    Args:
        folder: Where the files named by the configuration are.
        config: What to read.

    Returns:
        What draws training images, and fixed validation images of other people.

    Raises:
        DataError: If the folder or a file is missing or unreadable, or nothing is asked for.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; give the training data by --data FOLDER.")
    share = config.labels_share if config.files else 1.0
    fresh = stored = None

    def drawn(split: str, labels: str) -> Source:
        side = config.slice_shape[-1]
        return labels_source(load_labels(folder / labels, split, side, config.voxel_mm))

    if config.labels is not None and share > 0:
        fresh = drawn("train", config.labels)
    if config.files:
        stored = slices_source(load_slices(folder, config, "train"), config)
        val = to_network(load_slices(folder, config, "val"))
    elif fresh is not None and config.labels is not None:
        val = drawn("val", config.labels)(VALIDATION, torch.Generator().manual_seed(0))
    else:
        raise DataError("data: names neither files nor labels; there is nothing to train on.")
    source = mix(stored, fresh, share)
    if config.windows_of is not None:
        size, again = config.shape[1:], -(-VALIDATION // len(val))
        source = windows_source(source, size)
        val = cut_windows(val.repeat_interleave(again, 0), size, torch.Generator().manual_seed(1))
    return source, val[:: max(len(val) // VALIDATION, 1)][:VALIDATION]


def mix(stored: Source | None, fresh: Source | None, share: float) -> Source:
    """Draw each image from ``fresh`` with probability ``share``, else from ``stored``."""
    if stored is None or fresh is None:
        only = stored or fresh
        assert only is not None
        return only

    def draw(count: int, generator: torch.Generator) -> Images:
        new = int((torch.rand(count, generator=generator) < share).sum())
        parts = [fresh(new, generator)] if new else []
        if new < count:
            parts.append(stored(count - new, generator))
        return torch.cat(parts)

    return draw
