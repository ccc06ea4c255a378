"""Training slices from a folder of scans in any format that is read elsewhere."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float

from uqrestore.scans import FixedScale, ScanError, fit_to_model, is_scan, on_fixed_scale, read_scan
from uqrestore.training.config import DataConfig
from uqrestore.training.data import DataError, Skip, Stored

SHOWN = 0.1
"""Least area of a slice that is kept, as a share of the largest of its scan."""


def load_volumes(
    folder: Path, patterns: Sequence[str], config: DataConfig, skip: Skip = lambda _: None
) -> Stored:
    """Cut the scans below a folder into axial slices of the model's size.

    Scans are brought to the model's pixels, centred, and scaled as a restoration scales them.
    One that cannot be read or does not fit is named and left out: a run over thousands must not
    end at the one that was damaged in transfer.

    Args:
        folder: Where to look.
        patterns: Such as ``train/*.nii.gz``; below the folder.
        config: Shape and pixel size of the slices.
        skip: Told of every scan that is left out.

    Raises:
        DataError: If nothing that can be used is found; the first reason is given.
    """
    found = {path for pattern in patterns for path in folder.glob(pattern) if is_scan(path)}
    parts, reasons = [], []
    for path in sorted(found):
        try:
            parts.append(_slices(path, config))
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
    return Stored(
        torch.cat([part.slices for part in parts]), torch.cat([part.height for part in parts])
    )


def _slices(path: Path, config: DataConfig) -> Stored:
    scale = None if config.range is None else FixedScale(**config.range.model_dump())
    scan = on_fixed_scale(read_scan(path), scale)
    _, *sides = config.slice_shape
    cut = fit_to_model(scan, (sides[0], sides[1]), voxel_size=config.voxel_mm, resample=True)
    height = heights(cut.mask)
    shown = np.flatnonzero((height >= 0) & (height <= 1))
    network = scan.intensity.to_network(cut.images[shown])
    if not np.isfinite(network).all():
        raise DataError("holds NaN or infinity")
    values = np.round((np.clip(network, -1, 1) + 1) * 127.5).astype(np.uint8)
    return Stored(torch.from_numpy(values), torch.from_numpy(height[shown]))


def heights(mask: Bool[np.ndarray, "slice row column"]) -> Float[np.ndarray, " slice"]:
    """Return where each slice lies between the lowest (0) and the highest (1) that shows much.

    A slice shows much if its mask has a tenth of the largest area; those beyond the two lie below
    0 or above 1.
    """
    area = mask.sum(axis=(1, 2))
    shown = np.flatnonzero(area > SHOWN * area.max())
    low, high = (shown[0], shown[-1]) if len(shown) else (0, len(mask) - 1)
    return ((np.arange(len(mask)) - low) / max(high - low, 1)).astype(np.float32)
