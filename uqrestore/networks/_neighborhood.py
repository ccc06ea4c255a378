"""Neighborhood attention without a compiled kernel: tiles of queries, halos of keys.

Every query sees exactly ``size x size`` keys; at the border the window is pushed inwards
(Hassani et al., "Neighborhood Attention Transformer", CVPR 2023, arXiv:2204.07143).
"""

from functools import lru_cache

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

Grid = tuple[int, int]

DENSE_TOKENS = 256
"""Up to so many tokens one masked product over all of them is quicker than tiles."""


def tile_side(grid: Grid) -> int | None:
    """Return the side of the query tiles for a grid, or None where one dense product serves."""
    if grid[0] * grid[1] <= DENSE_TOKENS:
        return None
    return next((t for t in (8, 4) if grid[0] % t == 0 and grid[1] % t == 0), None)


def dense_mask(
    grid: Grid, size: int, streams: int, device: torch.device
) -> Bool[Tensor, "token key"]:
    """Which keys each query sees: its ``size x size`` nearest in every stream."""
    rows, columns = (_near(n, torch.arange(n, device=device), size) for n in grid)
    mask = rows[:, None, :, None] & columns[None, :, None, :]
    return mask.flatten(2).flatten(0, 1).repeat(1, streams)


# What is kept from call to call is made outside of inference mode, or no training could use it.
@lru_cache(maxsize=32)
@torch.inference_mode(mode=False)
def dense_bias(
    grid: Grid, size: int, streams: int, device: torch.device, dtype: torch.dtype
) -> Float[Tensor, "token key"]:
    """What :func:`dense_mask` adds to the logits."""
    return as_bias(dense_mask(grid, size, streams, device), dtype)


@lru_cache(maxsize=32)
@torch.inference_mode(mode=False)
def tile_bias(
    grid: Grid, size: int, tile: int, streams: int, device: torch.device, dtype: torch.dtype
) -> Float[Tensor, "tile 1 token key"]:
    """What is added to the logits of each query for the keys of its tile's halo."""

    def side(n: int) -> Tensor:
        first = torch.arange(0, n, tile, device=device)[:, None] - size // 2
        halo = first + torch.arange(tile + size - 1, device=device)
        seen = _near(n, halo.repeat_interleave(tile, 0), size)
        return seen.reshape(n // tile, tile, -1)

    rows, columns = side(grid[0]), side(grid[1])
    mask = rows[:, None, :, None, :, None] & columns[None, :, None, :, None, :]
    mask = mask.reshape(len(rows) * len(columns), 1, tile * tile, -1)
    return as_bias(mask.repeat(1, 1, 1, streams), dtype)


def as_bias(mask: Bool[Tensor, "..."], dtype: torch.dtype) -> Float[Tensor, "..."]:
    """Return 0 where a key is seen, and elsewhere what leaves a softmax nothing of it."""
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill_(~mask, -1e4)


def _near(n: int, keys: Tensor, size: int) -> Bool[Tensor, "query key"]:
    """Which of ``keys`` (the same for all queries, or a row for each) lie in its window."""
    start = (torch.arange(n, device=keys.device) - size // 2).clamp(0, max(n - size, 0))[:, None]
    return (keys >= start) & (keys < (start + size).clamp(max=n))


def query_tiles(q: Tensor, grid: Grid, tile: int) -> Float[Tensor, "batch tile head token e"]:
    """Cut a grid of queries ``(batch, head, token, e)`` into square tiles."""
    b, heads, _, e = q.shape
    q = q.reshape(b, heads, grid[0] // tile, tile, grid[1] // tile, tile, e)
    return q.permute(0, 2, 4, 1, 3, 5, 6).reshape(b, -1, heads, tile * tile, e)


def join_tiles(x: Tensor, grid: Grid, tile: int) -> Float[Tensor, "batch head token e"]:
    """Undo :func:`query_tiles`."""
    b, _, heads, _, e = x.shape
    x = x.reshape(b, grid[0] // tile, grid[1] // tile, heads, tile, tile, e)
    return x.permute(0, 3, 1, 4, 2, 5, 6).reshape(b, heads, grid[0] * grid[1], e)


def key_halos(
    k: Tensor, grid: Grid, tile: int, size: int
) -> Float[Tensor, "batch tile head key e"]:
    """Cut every stream of keys into the halos of the tiles: all that any query of a tile sees."""
    tokens, wide = grid[0] * grid[1], tile + size - 1

    def cut(part: Tensor) -> Tensor:
        b, heads, _, e = part.shape
        reach = (size // 2, size - 1 - size // 2)
        padded = F.pad(part.reshape(b, heads, *grid, e), (0, 0, *reach, *reach))
        halos = padded.unfold(2, wide, tile).unfold(3, wide, tile)
        return halos.permute(0, 2, 3, 1, 5, 6, 4).reshape(b, -1, heads, wide * wide, e)

    return torch.cat([cut(part) for part in k.split(tokens, dim=2)], dim=3)
