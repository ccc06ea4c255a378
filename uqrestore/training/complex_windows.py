"""Complex windows of MR slices: magnitudes of several data sets, random contrast and phase.

Windows are in units of the slice: its brightest tissue is about 1, air is 0. Their two channels are
real and imaginary part.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Generator, Tensor

from uqrestore.training.data import DataError, Images, Source
from uqrestore.training.data_config import SliceSet

Slice = UInt8[Tensor, "_ _"]
Magnitudes = Float[Tensor, "window row column"]

TRIES = 4
"""Places that are tried for a window with something in it."""
EMPTY, KEEP_EMPTY = 0.03, 1 / 8
"""Mean below which a window is nearly empty, and the share of such windows that is kept."""
ZOOMED, ZOOM = 1 / 3, 0.25
"""Share of windows cut at another size, and the largest change of the logarithm of the size."""
INVERTED, FOLDED = 0.25, 0.1
"""Share of windows with an inverted and with a folded grey scale."""
BRIGHTNESS = (0.35, 1.1)
"""Range of the brightness, of which the logarithm is uniform."""
RIM, STEP, SHOWN = 10, 2, 0.08
"""Of a volume: slices left out at either end, step, and least share of a slice above the air."""


def load_slices(folder: Path, part: SliceSet, split: str) -> list[Slice]:
    """Read the slices of one set, of any size; none where the file has no such group.

    Raises:
        DataError: If the file is missing or unreadable, or its training slices are.
    """
    path = folder / part.file
    try:
        with h5py.File(path, "r", locking=False) as file:
            if part.volumes:
                if split != "train":
                    return []
                return [s for name in part.volumes for s in _planes(file[f"{split}/{name}/t1"])]
            names = [f"{split}/{variable}" for variable in part.variables]
            if split != "train" and not all(name in file for name in names):
                return []
            return [torch.from_numpy(s) for name in names for s in _bytes(file[name])]
    except (OSError, KeyError) as error:
        raise DataError(
            f"{path}: {error}; give the folder of the training data by --data, and the names of "
            "its data sets in data.complex_windows."
        ) from None


def _bytes(stored: Any) -> UInt8[np.ndarray, "slice row column"]:  # noqa: ANN401 - h5py
    values = stored[()]
    return values if values.dtype == np.uint8 else np.clip(values * 255, 0, 255).astype(np.uint8)


def _planes(stored: Any) -> list[Slice]:  # noqa: ANN401 - h5py
    """Cut a volume in three planes, scaled by the brightest tissue."""
    volume = stored[()]
    top = np.percentile(volume[volume > 0.02 * volume.max()], 99.8)
    values = (np.clip(volume / top, 0, 1) * 255).astype(np.uint8)
    slices = [
        np.take(values, i, axis)
        for axis in range(3)
        for i in range(RIM, values.shape[axis] - RIM, STEP)
    ]
    return [torch.from_numpy(s) for s in slices if (s > 25).mean() > SHOWN]


def complex_source(sets: Sequence[tuple[Sequence[Slice], float]], side: int) -> Source:
    """Draw complex windows from sets of magnitude slices by their weights.

    A window is cut anywhere, one in three at 0.78 to 1.28 times its size, and turned or mirrored.
    Its grey scale is bent by a gamma of ``exp(N(0, 0.35^2))``; it is inverted in a quarter and
    folded in a tenth of all windows, air stays dark. A smooth bias field of 20 % and a brightness
    of 0.35 to 1.1 multiply it, and a random phase is laid on it (:func:`random_phase`).

    Args:
        sets: Slices and the weight of each set.
        side: Pixels a side of a window.
    """
    weights = torch.tensor([weight for _, weight in sets])

    def draw(count: int, generator: Generator) -> Images:
        chosen = torch.multinomial(weights, count, replacement=True, generator=generator).bincount(
            minlength=len(sets)
        )
        parts = [
            cut_windows(slices, number, side, generator)
            for (slices, _), number in zip(sets, chosen.tolist(), strict=True)
            if number
        ]
        magnitude = random_contrast(torch.cat(parts), generator)
        phase = random_phase(count, side, generator)
        return torch.stack([magnitude * phase.cos(), magnitude * phase.sin()], dim=1)

    return draw


def cut_windows(slices: Sequence[Slice], count: int, side: int, generator: Generator) -> Magnitudes:
    """Cut square windows from random slices, rather where there is something, in [0, 1]."""

    def uniform(*shape: int) -> list[Any]:
        return torch.rand(shape, generator=generator).tolist()

    which = torch.randint(len(slices), (count,), generator=generator).tolist()
    turn = torch.randint(8, (count,), generator=generator).tolist()
    windows = torch.empty(count, side, side)
    for index, tries in enumerate(uniform(count, TRIES, 5)):
        whole, window = slices[which[index]], None
        for zoomed, zoom, row, column, keep in tries:
            size = math.exp(ZOOM * (2 * zoom - 1)) if zoomed < ZOOMED else 1.0
            width = min(round(side * size), *whole.shape)
            top, left = (
                int(at * (n - width + 1)) for at, n in zip((row, column), whole.shape, strict=True)
            )
            window = whole[top : top + width, left : left + width].float() / 255
            if float(window.mean()) > EMPTY or keep < KEEP_EMPTY:
                break
        assert window is not None
        if len(window) != side:
            window = F.interpolate(
                window[None, None], (side, side), mode="bilinear", antialias=True
            )[0, 0]
        window = torch.rot90(window, turn[index] % 4)
        windows[index] = window.flip(1) if turn[index] > 3 else window
    return windows


def random_contrast(windows: Magnitudes, generator: Generator) -> Magnitudes:
    """Bend, invert or fold the grey scale of what is not air, and change the brightness."""
    count, side = len(windows), windows.shape[-1]

    def each(value: Tensor) -> Tensor:
        return value[:, None, None]

    kind = each(torch.rand(count, generator=generator))
    tissue = torch.sigmoid((windows - 0.06) / 0.015)
    gamma = each(torch.exp(0.35 * torch.randn(count, generator=generator)))
    bent = windows.clamp(min=1e-4) ** gamma
    middle = each(0.2 + 0.6 * torch.rand(count, generator=generator))
    folded = (1 - 1.4 * (bent - middle).abs()).clamp(min=0) * tissue
    changed = torch.where(kind < INVERTED, (1.05 - bent) * tissue, bent)
    changed = torch.where(kind > 1 - FOLDED, folded, changed)
    bias = torch.exp(0.2 * smooth_field(count, side, 80, generator))
    low, high = (math.log(value) for value in BRIGHTNESS)
    brightness = torch.exp(low + (high - low) * torch.rand(count, generator=generator))
    return changed * bias * each(brightness)


def random_phase(count: int, side: int, generator: Generator) -> Magnitudes:
    """Draw phases in radians: a constant, a polynomial and fields of two scales; they may wrap.

    The constant is uniform. A polynomial of second degree and a field that is smooth over 32
    pixels are scaled by a number from 0 to 1, so that some phases are nearly flat; a weak field
    that is smooth over 8 pixels comes on top.
    """

    def uniform() -> Tensor:
        return torch.rand(count, 1, 1, generator=generator)

    line = torch.linspace(-1, 1, side)
    y, x = line[:, None], line[None, :]
    terms = torch.stack([y + 0 * x, x + 0 * y, y * x / 2, y**2 / 2 + 0 * x, x**2 / 2 + 0 * y])
    weights = torch.randn(count, len(terms), generator=generator)
    scale = uniform()
    phase = 2 * math.pi * uniform() + 2 * scale * torch.tensordot(weights, terms, dims=1)
    phase = phase + 0.8 * scale * smooth_field(count, side, 32, generator)
    return phase + 0.15 * uniform() ** 2 * smooth_field(count, side, 8, generator)


def smooth_field(count: int, side: int, reach: int, generator: Generator) -> Magnitudes:
    """Draw random fields of about unit variance that are smooth over about ``reach`` pixels."""
    knots = max(2, round(side / reach) + 2)
    values, rim = torch.randn(count, 1, knots, knots, generator=generator), side // knots
    fine = F.interpolate(values, (side + 2 * rim,) * 2, mode="bicubic", align_corners=True)
    return fine[:, 0, rim : rim + side, rim : rim + side]
