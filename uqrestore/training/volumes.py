"""Training slices from a folder of scans in any format that is read elsewhere."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float

from uqrestore.scans import (
    FixedScale,
    ScanError,
    fit_to_model,
    is_scan,
    on_fixed_scale,
    read_scan,
    stem,
)
from uqrestore.training.config import DataConfig
from uqrestore.training.data import DataError, Skip, Stored

SHOWN = 0.1
"""Least area of a slice that is kept, as a share of the largest of its scan."""


def load_volumes(
    folder: Path, patterns: Sequence[str], config: DataConfig, skip: Skip = lambda _: None
) -> Stored:
    """Cut the scans below a folder into axial slices of the model's size.

    Scans are brought to the model's pixels, centred, stripped to their mask where there is one, and
    scaled as a restoration scales them.
    One that cannot be read or does not fit is named and left out: a run over thousands must not
    end at the one that was damaged in transfer.

    Args:
        folder: Where to look.
        patterns: Such as ``train/*.nii.gz``; below the folder.
        config: Shape and pixel size of the slices, and names of the masks.
        skip: Called with a line on every scan that is left out.

    Raises:
        DataError: If nothing that can be used is found; the first reason is given.
    """
    found = {path for pattern in patterns for path in folder.glob(pattern) if is_scan(path)}
    masks = {path: mask_of(path, config.mask) for path in found}
    found -= {mask for mask in masks.values() if mask is not None}
    parts, reasons = [], []
    for path in sorted(found):
        try:
            parts.append(_slices(path, masks[path], person_of(path, folder), config))
        except (ScanError, OSError, ValueError, EOFError) as error:
            reasons.append(str(error).splitlines()[0])
            skip(f"{path.name}: {reasons[-1]}")
    if not parts:
        why = (
            f"; of {len(found)} scans none can be used, the first: {reasons[0]}" if reasons else ""
        )
        raise DataError(
            f"{folder}: no readable scan matches {', '.join(patterns)}{why}. Give the folder of "
            "the training data by --data and patterns in data.scans."
        )
    return Stored.join(parts)


def mask_of(path: Path, pattern: str | None) -> Path | None:
    """Return the mask of a scan by the pattern of the configuration."""
    return None if pattern is None else path.parent / pattern.replace("{stem}", stem(path))


def person_of(path: Path, folder: Path) -> str:
    """Return the person of a scan: ``sub-NAME`` of its path, as in BIDS; else empty."""
    found = re.search(r"sub-[0-9A-Za-z]+", path.relative_to(folder).as_posix())
    return "" if found is None else found[0]


def _slices(path: Path, mask: Path | None, person: str, config: DataConfig) -> Stored:
    if mask is not None and not mask.exists():
        raise DataError(f"has no mask {mask.name} (data.mask)")
    scale = None if config.range is None else FixedScale(**config.range.model_dump())
    scan = on_fixed_scale(read_scan(path, mask=mask), scale)
    person = (
        person or f"the scan with SHA-256 {scan.source.sha256[:12]}..."
    )  # the same scan is the same person
    scan = scan.strip() if scan.source.given_mask else scan
    _, *sides = config.slice_shape
    cut = fit_to_model(scan, (sides[0], sides[1]), voxel_size=config.voxel_mm, resample=True)
    height = heights(cut.mask)
    shown = np.flatnonzero((height >= 0) & (height <= 1))
    network = scan.intensity.to_network(cut.images[shown])
    if not np.isfinite(network).all():
        raise DataError("holds NaN or infinity")
    values = np.round((np.clip(network, -1, 1) + 1) * 127.5).astype(np.uint8)
    return Stored(torch.from_numpy(values), torch.from_numpy(height[shown]), (person,) * len(shown))


def heights(mask: Bool[np.ndarray, "slice row column"]) -> Float[np.ndarray, " slice"]:
    """Return the height of each slice between the lowest (0) and the highest (1) that shows much.

    A slice shows much if its mask has a tenth of the largest area; those beyond the two lie below
    0 or above 1.
    """
    area = mask.sum(axis=(1, 2))
    shown = np.flatnonzero(area > SHOWN * area.max())
    low, high = (shown[0], shown[-1]) if len(shown) else (0, len(mask) - 1)
    return ((np.arange(len(mask)) - low) / max(high - low, 1)).astype(np.float32)
