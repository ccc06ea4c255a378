"""From a data configuration to what draws training images, and to the validation images."""

from dataclasses import dataclass
from pathlib import Path

import torch

from uqrestore.training.complex_windows import complex_source, load_slices
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
from uqrestore.training.labels import LabelSlices, labels_source, load_labels
from uqrestore.training.people import People, held_out, read_ages
from uqrestore.training.stored import load_stored
from uqrestore.training.volumes import load_volumes
from uqrestore.training.windows import cut_windows, windows_source

VALIDATION = 256
"""Validation images kept: enough for a loss to two digits, few enough to be quick."""


@dataclass(frozen=True)
class TrainingData:
    """Opened training data.

    Attributes:
        source: Draws training images.
        val: Fixed validation images of other people, in network units.
        people: Who is in the data.
    """

    source: Source
    val: Images
    people: People


def open_data(folder: Path, config: DataConfig, skip: Skip = lambda _: None) -> TrainingData:
    """Open the training data of a folder.

    Args:
        folder: Where the files named by the configuration are.
        config: What to read.
        skip: Called with a line on every image that cannot be used and is left out.

    Raises:
        DataError: If the folder or a file is missing or unreadable, nothing in it can be used,
            nothing is asked for, or a person is in both training and validation.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; give the training data by --data FOLDER.")
    ages = {} if config.people is None else read_ages(folder / config.people)
    if config.complex_windows:
        return _complex_windows(folder, config)
    stored, held = _split(folder, config, skip)
    labels = fresh_val = None
    share = config.labels_share if stored is not None else 1.0
    if config.labels is not None and share > 0:
        labels = _labels(folder / config.labels, "train", config)
    if held is not None:
        val = to_network(held.slices)
    elif config.labels is not None:
        fresh_val = _labels(folder / config.labels, "val", config)
        few = labels_source(fresh_val)(VALIDATION, torch.Generator().manual_seed(0))
        val = Drawn.of(few).images
    elif stored is not None:
        raise DataError(
            "data: names images to train on but none to validate on: give data.val_scans, a group "
            "'val' in data.files, or data.val_share to hold people out."
        )
    else:
        raise DataError("data: names no files, scans or labels; there is nothing to train on.")
    people = People(_names(stored, labels), _names(held, fresh_val), ages)
    people.check_apart()
    source = mix(
        None if stored is None else slices_source(stored, config),
        None if labels is None else labels_source(labels),
        share,
    )
    if config.windows_of is not None:
        size, again = config.shape[1:], -(-VALIDATION // len(val))
        source = windows_source(source, size)
        val = cut_windows(val.repeat_interleave(again, 0), size, torch.Generator().manual_seed(1))
    return TrainingData(source, val[:: max(len(val) // VALIDATION, 1)][:VALIDATION], people)


def _complex_windows(folder: Path, config: DataConfig) -> TrainingData:
    """Open the sets of a mixture of complex windows."""
    sets = [(load_slices(folder, one, "train"), one.weight) for one in config.complex_windows]
    held = [
        s
        for one in config.complex_windows
        if one.validated
        for s in load_slices(folder, one, "val")
    ]
    if not held:
        raise DataError(
            f"{folder}: no set of data.complex_windows has a group 'val' to validate on."
        )
    side = config.shape[-1]
    generator = torch.Generator().manual_seed(0)
    val = Drawn.of(complex_source([(held, 1.0)], side)(VALIDATION, generator)).images
    return TrainingData(complex_source(sets, side), val, People(frozenset(), frozenset(), {}))


def _split(folder: Path, config: DataConfig, skip: Skip) -> tuple[Stored | None, Stored | None]:
    """Read what is stored to train on and to validate on; None where nothing is asked for."""
    train, val = (_stored(folder, config, split, skip) for split in ("train", "val"))
    if train is None or val is not None or not config.val_share:
        return train, val
    people = held_out(train.people, config.val_share)
    return train.of_people(train.people - people), train.of_people(people)


def _labels(path: Path, split: str, config: DataConfig) -> LabelSlices:
    return load_labels(path, split, config.slice_shape[-1], config.voxel_mm)


def _names(stored: Stored | None, labels: LabelSlices | None) -> frozenset[str]:
    """Return the people of slices and label maps."""
    some = frozenset() if stored is None else stored.people
    return some if labels is None else some | labels.people


def _stored(folder: Path, config: DataConfig, split: str, skip: Skip) -> Stored | None:
    """Read what is stored of a split; None if nothing is asked for, or no file has the group."""
    parts = []
    if config.files and (split == "train" or not config.val_share):
        parts.append(load_stored(folder, config, split, skip))
    if patterns := config.scans if split == "train" else config.val_scans:
        parts.append(load_volumes(folder, patterns, config, skip))
    return Stored.join(parts) if parts else None


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
"""Power iterations; the largest variance of images is well separated."""


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
