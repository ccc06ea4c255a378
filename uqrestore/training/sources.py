"""From a data configuration to what draws training images, and to the validation images."""

from pathlib import Path

import torch

from uqrestore.training.config import DataConfig
from uqrestore.training.data import (
    DataError,
    Drawn,
    Images,
    Skip,
    Source,
    Stored,
    slices_source,
    to_network,
)
from uqrestore.training.labels import labels_source, load_labels
from uqrestore.training.stored import load_stored
from uqrestore.training.volumes import load_volumes
from uqrestore.training.windows import cut_windows, windows_source

VALIDATION = 256
"""Validation images kept: enough for a loss to two digits, few enough to be quick."""


def open_data(
    folder: Path, config: DataConfig, skip: Skip = lambda _: None
) -> tuple[Source, Images]:
    """Open the training data of a folder.

    Args:
        folder: Where the files named by the configuration are.
        config: What to read.
        skip: Told of every image that cannot be used and is left out.

    Returns:
        What draws training images, and fixed validation images of other people.

    Raises:
        DataError: If the folder or a file is missing or unreadable, nothing in it can be used, or
            nothing is asked for.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; give the training data by --data FOLDER.")

    def drawn(split: str, labels: str) -> Source:
        side = config.slice_shape[-1]
        return labels_source(load_labels(folder / labels, split, side, config.voxel_mm))

    stored, held_out = (_stored(folder, config, split, skip) for split in ("train", "val"))
    share = config.labels_share if stored is not None else 1.0
    fresh = None
    if config.labels is not None and share > 0:
        fresh = drawn("train", config.labels)
    if held_out is not None:
        val = to_network(held_out.slices)
    elif config.labels is not None:
        few = drawn("val", config.labels)(VALIDATION, torch.Generator().manual_seed(0))
        val = Drawn.of(few).images
    elif stored is not None:
        raise DataError("data: names scans to train on but none to validate on: data.val_scans.")
    else:
        raise DataError("data: names no files, scans or labels; there is nothing to train on.")
    source = mix(None if stored is None else slices_source(stored, config), fresh, share)
    if config.windows_of is not None:
        size, again = config.shape[1:], -(-VALIDATION // len(val))
        source = windows_source(source, size)
        val = cut_windows(val.repeat_interleave(again, 0), size, torch.Generator().manual_seed(1))
    return source, val[:: max(len(val) // VALIDATION, 1)][:VALIDATION]


def _stored(folder: Path, config: DataConfig, split: str, skip: Skip) -> Stored | None:
    """Read what is stored of a split; None if nothing is asked for."""
    parts = []
    if config.files:
        parts.append(load_stored(folder, config, split, skip))
    if patterns := config.scans if split == "train" else config.val_scans:
        parts.append(load_volumes(folder, patterns, config, skip))
    if not parts:
        return None
    return Stored(torch.cat([p.slices for p in parts]), torch.cat([p.height for p in parts]))


def mix(stored: Source | None, fresh: Source | None, share: float) -> Source:
    """Draw each image from ``fresh`` with probability ``share``, else from ``stored``."""
    if stored is None or fresh is None:
        only = stored or fresh
        assert only is not None
        return only

    def draw(count: int, generator: torch.Generator) -> Drawn:
        new = int((torch.rand(count, generator=generator) < share).sum())
        parts = [Drawn.of(fresh(new, generator))] if new else []
        if new < count:
            parts.append(Drawn.of(stored(count - new, generator)))
        return Drawn.join(parts)

    return draw


STEPS = 40
"""Power iterations; the largest variance of images stands well apart."""


def pure_noise_level(images: Images) -> float:
    r"""Return ten times the root of the largest variance of images along any direction.

    One call at pure noise of level :math:`\sigma` exceeds the least mean square error by about
    :math:`\sum_i \lambda_i^2 / \sigma^2` over the posterior variances, none of which is larger
    than the largest of the prior: at ten times its root, that is at most a hundredth of the sum.

    Args:
        images: Many, network units.

    Returns:
        The level, network units, rounded up to a whole number.
    """
    centred = (images - images.mean(0)).flatten(1).double()
    direction = centred[centred.square().sum(1).argmax()]
    variance = torch.zeros(())
    for _ in range(STEPS):
        direction = centred.T @ (centred @ direction) / len(centred)
        variance = direction.norm()
        direction = direction / variance.clamp(min=1e-30)
    return float((10 * variance.sqrt()).ceil().clamp(min=1))
