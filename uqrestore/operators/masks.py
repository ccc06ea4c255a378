"""Masks: which lines of k-space, or which voxels, are seen. All drawn from a generator."""

import torch
from jaxtyping import Bool
from torch import Generator, Tensor

from uqrestore.operators.base import require

Mask2D = Bool[Tensor, "row column"]


def cartesian_mask(
    shape: tuple[int, int],
    acceleration: float,
    center_lines: int,
    generator: Generator,
    *,
    axis: int = -1,
) -> Mask2D:
    """Sample whole lines of k-space: the centre fully, the rest uniformly at random.

    Exactly ``round(lines / acceleration)`` lines are sampled, centre included.

    Args:
        shape: Rows and columns of k-space, zero frequency at the centre.
        acceleration: Lines of the grid for each line sampled.
        center_lines: Fully sampled lines around zero frequency.
        generator: Where the random lines come from.
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
        "cartesian_mask",
        f"acceleration {acceleration} of {lines} lines samples {count} of them, which must be at "
        f"least 1 and hold the {center_lines} centre lines; lower one of the two.",
    )
    start = lines // 2 - center_lines // 2
    sampled = torch.zeros(lines, dtype=torch.bool)
    sampled[start : start + center_lines] = True
    outer = torch.nonzero(~sampled).flatten()
    drawn = torch.randperm(len(outer), generator=generator)[: count - center_lines]
    sampled[outer[drawn]] = True
    line = sampled[None, :] if axis in (-1, 1) else sampled[:, None]
    return line.expand(shape).clone()
