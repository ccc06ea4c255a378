"""Sampling masks of k-space and visibility masks of images, drawn from a seed."""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from uqrestore.operators._checks import Seed, as_generator, require

Mask2D = Bool[Tensor, "row column"]


def cartesian(
    shape: tuple[int, int],
    acceleration: float | int,
    center_lines: int,
    seed: Seed,
    *,
    axis: int = -1,
) -> Mask2D:
    """Sample whole lines of k-space: the centre fully, the rest uniformly at random.

    Exactly ``round(lines / acceleration)`` lines are sampled, centre included.

    Args:
        shape: Rows and columns of k-space, zero frequency at the centre.
        acceleration: Lines of the grid for each line sampled.
        center_lines: Fully sampled lines around zero frequency.
        seed: Of the random lines: a number, or a generator to draw on from.
        axis: Phase-encoding axis, along which lines are left out: -1 columns, -2 rows.

    Returns:
        The mask, True where sampled.

    Raises:
        ValueError: If the acceleration is below 1, or leaves no room for the centre.

    References:
        Zbontar et al., "fastMRI", 2018. arXiv:1811.08839, section 5.2
    """
    lines = shape[axis]
    count = round(lines / acceleration) if acceleration >= 1 else 0
    require(
        count >= 1 and 0 <= center_lines <= count,
        "masks.cartesian",
        f"acceleration {acceleration} of {lines} lines samples {count} of them, which must be at "
        f"least 1 and hold the {center_lines} centre lines; lower one of the two.",
    )
    start = lines // 2 - center_lines // 2
    sampled = torch.zeros(lines, dtype=torch.bool)
    sampled[start : start + center_lines] = True
    outer = torch.nonzero(~sampled).flatten()
    drawn = torch.randperm(len(outer), generator=as_generator(seed))[: count - center_lines]
    sampled[outer[drawn]] = True
    line = sampled[None, :] if axis in (-1, 1) else sampled[:, None]
    return line.expand(shape).clone()


def poisson(
    shape: tuple[int, int],
    acceleration: float | int,
    center: int,
    seed: Seed,
    *,
    slope: float | int = 3.0,
) -> Mask2D:
    """Sample k-space at scattered points that keep their distance, denser towards the centre.

    Points are thrown in random order; each that lands keeps the others out of a disc around it,
    whose radius grows ``1 + slope`` fold from the centre to the corner. Exactly
    ``round(rows * columns / acceleration)`` points are sampled, centre included.

    Args:
        shape: Rows and columns of k-space, zero frequency at the centre.
        acceleration: Points of the grid for each point sampled.
        center: Side of the fully sampled square around zero frequency; 0 for none.
        seed: Of the random order: a number, or a generator to draw on from.
        slope: Growth of the distance from centre to corner; 0 samples uniformly.

    Raises:
        ValueError: If the acceleration is below 1, or leaves no room for the centre.

    References:
        Bridson, "Fast Poisson Disk Sampling in Arbitrary Dimensions", SIGGRAPH sketches 2007;
        Vasanawala et al., "Practical Parallel Imaging Compressed Sensing MRI", ISBI 2011.
    """
    count = round(shape[0] * shape[1] / acceleration) if acceleration >= 1 else 0
    fully = torch.zeros(shape, dtype=torch.bool)
    start = [length // 2 - center // 2 for length in shape]
    fully[start[0] : start[0] + center, start[1] : start[1] + center] = True
    require(
        max(1, int(fully.sum())) <= count and center <= min(shape),
        "masks.poisson",
        f"acceleration {acceleration} samples {count} points of {shape}, which must be at least 1 "
        f"and hold the {center} x {center} centre; lower one of the two.",
    )
    offset = [torch.arange(length) - length // 2 for length in shape]
    distance = torch.hypot(2 * offset[0][:, None] / shape[0], 2 * offset[1] / shape[1]) / 2**0.5
    growth = 1 + slope * distance
    generator = as_generator(seed)
    order = torch.randperm(shape[0] * shape[1], generator=generator).tolist()
    # The largest distance that still leaves enough points; what is too many is dropped at random.
    low, high = 0.0, float(max(shape))
    best = _throw(fully, growth * low, order)
    for _ in range(10):
        middle = (low + high) / 2
        mask = _throw(fully, growth * middle, order)
        enough = int(mask.sum()) >= count
        low, high = (middle, high) if enough else (low, middle)
        best = mask if enough else best
    outer = torch.nonzero((best & ~fully).flatten()).flatten()
    surplus = torch.randperm(len(outer), generator=generator)[: int(best.sum()) - count]
    best.view(-1)[outer[surplus]] = False
    return best


def _throw(fully: Mask2D, radius: Tensor, order: list[int]) -> Mask2D:
    """Accept points in order unless an earlier one is nearer than its own radius."""
    rows, columns = fully.shape
    mask, blocked = fully.clone(), fully.clone().numpy()
    reach = radius.tolist()
    for place in order:
        i, j = divmod(place, columns)
        if blocked[i, j]:
            continue
        mask[i, j] = True
        r = reach[i][j]
        whole = int(r)
        top, left = max(0, i - whole), max(0, j - whole)
        rows_near = np.arange(top, min(rows, i + whole + 1))[:, None] - i
        columns_near = np.arange(left, min(columns, j + whole + 1)) - j
        disc = rows_near**2 + columns_near**2 <= r**2
        blocked[top : top + disc.shape[0], left : left + disc.shape[1]] |= disc
    return mask


def radial(shape: tuple[int, int], spokes: int, seed: Seed) -> Mask2D:
    """Sample the grid points nearest to straight lines through the centre, by the golden angle.

    Args:
        shape: Rows and columns of k-space, zero frequency at the centre.
        spokes: Number of lines.
        seed: Of the angle of the first line: a number, or a generator to draw on from.

    Raises:
        ValueError: If there are no spokes.
    """
    require(spokes >= 1, "masks.radial", f"wants at least one spoke, got {spokes}.")
    first = torch.pi * torch.rand((), generator=as_generator(seed))
    angle = first + torch.arange(spokes) * torch.pi * (5**0.5 - 1) / 2
    radius = torch.arange(-2 * max(shape), 2 * max(shape) + 1) / 2
    row = (shape[0] // 2 + angle.sin()[:, None] * radius).round().long()
    column = (shape[1] // 2 + angle.cos()[:, None] * radius).round().long()
    inside = (row >= 0) & (row < shape[0]) & (column >= 0) & (column < shape[1])
    mask = torch.zeros(shape, dtype=torch.bool)
    mask[row[inside], column[inside]] = True
    return mask


def patches(shape: tuple[int, int], side: int, visible: float | int, seed: Seed) -> Mask2D:
    """Show each patch of a regular tiling with the same probability; at least one is shown.

    Args:
        shape: Rows and columns of the image.
        side: Side of a patch in pixels; 1 shows single pixels. Patches are cut at the border.
        visible: Probability that a patch is shown.
        seed: Of the patches: a number, or a generator; drawn from until a patch shows.

    Raises:
        ValueError: If the side is not positive, or the probability not within (0, 1].
    """
    require(
        side >= 1 and 0 < visible <= 1,
        "masks.patches",
        f"wants side >= 1 and visible within (0, 1], got {side} and {visible}.",
    )
    generator, shown = as_generator(seed), torch.zeros(0, dtype=torch.bool)
    while not shown.any():
        shown = torch.rand(tiling(shape, side), generator=generator) < visible
    return spread_tiles(shown, side, shape)


def tiling(shape: tuple[int, int], side: int) -> tuple[int, int]:
    """Return how many patches of one side cover rows and columns."""
    return -(-shape[0] // side), -(-shape[1] // side)


def spread_tiles(
    shown: Bool[Tensor, "tile_row tile_column"], side: int, shape: tuple[int, int]
) -> Mask2D:
    """Blow up a mask of patches to a mask of pixels."""
    whole = shown.repeat_interleave(side, 0).repeat_interleave(side, 1)
    return whole[: shape[0], : shape[1]].clone()


def box(shape: tuple[int, int], seed: Seed) -> Mask2D:
    """Show a rectangle, its edges two distinct rows and two distinct columns, uniformly drawn.

    Its complement is the missing box; a rectangle that is the whole image is drawn again, so
    that neither is empty.

    Args:
        shape: Rows and columns of the image, at least 2 pixels in all.
        seed: Of the edges: a number, or a generator to draw on from.
    """
    require(shape[0] * shape[1] > 1, "masks.box", f"wants at least 2 pixels, got {shape}.")
    generator, mask = as_generator(seed), torch.ones(shape, dtype=torch.bool)
    while mask.all():
        edges = [
            torch.randperm(length + 1, generator=generator)[:2].sort().values.tolist()
            for length in shape
        ]
        mask = torch.zeros(shape, dtype=torch.bool)
        mask[slice(*edges[0]), slice(*edges[1])] = True
    return mask


MASKS: Mapping[str, Callable[..., Bool[Tensor, "row column"]]] = {
    "box": box,
    "cartesian": cartesian,
    "patches": patches,
    "poisson": poisson,
    "radial": radial,
}
