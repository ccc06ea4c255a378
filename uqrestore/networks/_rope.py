"""Rotary positions on a grid of tokens, axis by axis."""

import math
from functools import lru_cache

import torch
from torch import Tensor


def rotate(t: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate channel pairs ``(i, i + e/4)``; the second half of each head stays as it is."""
    quarter = t.shape[-1] // 4
    a, b, rest = t[..., :quarter], t[..., quarter : 2 * quarter], t[..., 2 * quarter :]
    return torch.cat([a * cos - b * sin, a * sin + b * cos, rest], dim=-1)


def rope(
    grid: tuple[int, int], heads: int, head_width: int, like: Tensor, box: int = 0
) -> tuple[Tensor, Tensor]:
    """Return the table of :func:`_rope_table` in the precision of ``like``."""
    return _rope_table(grid, heads, head_width, like.device, like.dtype, box)


@lru_cache(maxsize=32)
@torch.inference_mode(mode=False)
def _rope_table(
    grid: tuple[int, int],
    heads: int,
    head_width: int,
    device: torch.device,
    dtype: torch.dtype,
    box: int = 0,
) -> tuple[Tensor, Tensor]:
    """Cosine and sine ``(token, 1, head, e/4)`` of position times frequency, rows then columns.

    Positions are cell centres; ``box`` tokens, or the longer side of the grid where it is 0, span
    [-1, 1]. Frequencies run from pi to 10 pi, dealt out to the heads in turn. Angles are in double
    precision, so that a network in double precision is right to all of its digits.
    """
    count = heads * head_width // 8
    ends = math.log(math.pi), math.log(10 * math.pi)
    frequencies = torch.exp(torch.linspace(*ends, count + 1, dtype=torch.float64)[:-1])
    frequencies = frequencies.reshape(head_width // 8, heads).T
    places = [2 * torch.arange(n, dtype=torch.float64) + 1 - n for n in grid]
    centres = [place / (box or max(grid)) for place in places]
    rows, columns = torch.meshgrid(*centres, indexing="ij")
    angle = torch.cat([place.reshape(-1, 1, 1) * frequencies for place in (rows, columns)], dim=-1)
    angle = angle[:, None]
    return angle.cos().to(device, dtype), angle.sin().to(device, dtype)
