"""Cosine-similarity attention on a grid of tokens: global, neighborhood, shifted windows."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from uqrestore.networks._joint_heads import JointHeads
from uqrestore.networks._neighborhood import (
    as_bias,
    dense_bias,
    join_tiles,
    key_halos,
    query_tiles,
    tile_bias,
    tile_side,
)
from uqrestore.networks._rope import rope, rotate
from uqrestore.networks.layers import AdaRMSNorm, Tokens, precise_norm, zero_init

Kind = Literal["global", "neighborhood", "shifted-window"]
Heads = Float[Tensor, "batch head token channel"]
Keys = Float[Tensor, "batch head key channel"]
Exchange = Callable[[Tensor], Tensor]
"""Sees the softmax map of a layer and returns the one to use."""


@dataclass(frozen=True)
class AttentionSpec:
    """Which tokens see each other.

    Args:
        kind: ``global``: all. ``neighborhood``: the ``size x size`` nearest, windows pushed
            inwards at the border. ``shifted-window``: those in the same ``size x size`` window;
            every other layer shifts the windows by half.
        size: Side of the neighborhood (odd) or window, in tokens; ignored by ``global``.
        box: Tokens between the positions -1 and 1, so that a distance means the same on every
            grid; neighborhoods are then cut where a grid is smaller. 0: the longer side of the
            grid, which positions fill whatever its size.
    """

    kind: Kind = "global"
    size: int = 7
    box: int = 0

    @classmethod
    def parse(cls, text: str) -> "AttentionSpec":
        """Read ``"global"``, ``"neighborhood:7"`` or ``"shifted-window:8"``."""
        kind, _, size = text.partition(":")
        if kind not in ("global", "neighborhood", "shifted-window"):
            raise ValueError(
                f"attention {text!r} is unknown; it can be global, neighborhood:SIZE or "
                "shifted-window:SIZE."
            )
        return cls(kind, int(size) if size else cls.size)


class SelfAttention(nn.Module):
    """Pre-norm attention block with a residual connection; the output starts at zero.

    Queries and keys are scaled to unit length times ``sqrt(g)``, so that logits are ``g`` times a
    cosine (``g`` learned per head, kept positive as ``exp``), then rotated by axial RoPE.

    Args:
        width: Channels of the tokens; a multiple of ``head_width``.
        cond_width: Channels of the condition.
        head_width: Channels of a head; a multiple of 8.
        spec: Which tokens see each other.
        shift: Whether windows are shifted by half (odd layers of ``shifted-window``).

    References:
        Crowson et al., "Hourglass Diffusion Transformers", ICML 2024. arXiv:2401.11605
    """

    def __init__(
        self,
        width: int,
        cond_width: int,
        *,
        head_width: int = 32,
        spec: AttentionSpec,
        shift: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if width % head_width or head_width % 8:
            raise ValueError(
                f"width {width} must be a multiple of head_width {head_width}, itself a multiple "
                f"of 8; the nearest widths are {_around(width, head_width)}."
            )
        self.heads, self.head_width = width // head_width, head_width
        self.spec, self.shift = spec, shift
        self.norm = AdaRMSNorm(width, cond_width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.log_scale = nn.Parameter(torch.full((self.heads,), math.log(10.0)))
        self.dropout = nn.Dropout(dropout)
        self.out = zero_init(nn.Linear(width, width, bias=False))
        self.exchange: Exchange | None = None

    def forward(self, x: Tokens, cond: Tensor) -> Tokens:
        b, h, w, d = x.shape
        qkv = self.qkv(self.norm(x, cond)).reshape(b, h * w, 3, self.heads, self.head_width)
        qk = self.place(qkv[:, :, :2], (h, w))
        q, k = qk.permute(2, 0, 3, 1, 4)
        attended = self.attend(q, k, qkv[:, :, 2].transpose(1, 2), (h, w))
        attended = attended.transpose(1, 2).reshape(b, h, w, d)
        return x + self.out(self.dropout(attended))

    def attend(self, q: Heads, k: Keys, v: Keys, grid: tuple[int, int]) -> Heads:
        """Attend as this layer's kind says; an attention tape may exchange the map."""
        return attend(q, k, v, grid, self.spec, self.shift, self.exchange)

    def place(self, qk: Tensor, grid: tuple[int, int]) -> Tensor:
        """Scale to cosine similarity and rotate by position, shape ``(b, token, n, head, e)``."""
        scale = (0.5 * self.log_scale).exp()[:, None]
        scale = scale * torch.rsqrt(precise_norm(qk).square() + 1e-6)
        return rotate(qk * scale.to(qk.dtype), *self._rope(grid, qk))

    def _rope(self, grid: tuple[int, int], like: Tensor) -> tuple[Tensor, Tensor]:
        return rope(grid, self.heads, self.head_width, like, self.spec.box)

    def place_joint(
        self, of_own: Tensor, of_seen: Tensor, grid: tuple[int, int]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Place queries and keys of two streams, as :class:`JointHeads` says.

        Returns:
            Queries, and keys and values of both streams.
        """
        root = (0.5 * self.log_scale).exp()[:, None, None]
        table = self._rope(grid, of_own)
        cos, sin = (t[:, 0].transpose(0, 1) for t in table)
        return JointHeads.apply(of_own, of_seen, root, cos, sin)  # type: ignore[return-value]


def attend(
    q: Heads,
    k: Keys,
    v: Keys,
    grid: tuple[int, int],
    spec: AttentionSpec,
    shift: bool = False,
    exchange: Exchange | None = None,
) -> Heads:
    """Softmax attention with unit logit scale between the tokens that ``spec`` lets meet.

    Keys and values may be several streams of tokens on the same grid, one behind the other; all
    share one softmax.
    """
    if spec.kind == "neighborhood" and spec.size < max(grid):
        if min(grid) < spec.size and not spec.box:
            raise ValueError(
                f"a {spec.size} x {spec.size} neighborhood needs at least that many tokens a side "
                f"but the grid is {grid[0]} x {grid[1]}."
            )
        return _attend_neighborhood(q, k, v, grid, spec.size, exchange)
    if spec.kind == "shifted-window" and spec.size < max(grid):
        return _attend_windows(q, k, v, grid, spec.size, shift, exchange)
    return softmax_attention(q, k, v, None, exchange)


def softmax_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bias: Tensor | None = None,
    exchange: Exchange | None = None,
) -> Tensor:
    """Softmax of ``q k^T`` (logit scale 1) plus ``bias``, of the same precision, times ``v``.

    On the CPU, in bfloat16 or over few keys, two plain products beat torch's fused kernel (its
    backward pass three- to sevenfold), at the price of storing the attention map.
    """
    plain = q.dtype == torch.bfloat16 or (bias is not None and bias.ndim > 2)
    if exchange is not None or (plain and q.device.type == "cpu"):
        logits = q @ k.transpose(-1, -2)
        if bias is not None:
            logits = logits + bias
        weights = logits.softmax(dim=-1)
        return (weights if exchange is None else exchange(weights)) @ v
    return F.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=1.0)


def _attend_neighborhood(
    q: Heads, k: Keys, v: Keys, grid: tuple[int, int], size: int, exchange: Exchange | None
) -> Heads:
    streams, tile = k.shape[2] // q.shape[2], tile_side(grid)
    if tile is None:
        bias = dense_bias(grid, size, streams, q.device, q.dtype)
        return softmax_attention(q, k, v, bias, exchange)
    bias = tile_bias(grid, size, tile, streams, q.device, q.dtype)
    keys, values = (key_halos(t, grid, tile, size) for t in (k, v))
    out = softmax_attention(query_tiles(q, grid, tile), keys, values, bias, exchange)
    return join_tiles(out, grid, tile)


def _attend_windows(
    q: Heads,
    k: Keys,
    v: Keys,
    grid: tuple[int, int],
    size: int,
    shift: bool,
    exchange: Exchange | None,
) -> Heads:
    if grid[0] % size or grid[1] % size:
        raise ValueError(
            f"windows of {size} x {size} do not tile {grid[0]} x {grid[1]} tokens; choose a "
            "window that divides both."
        )
    roll = size // 2 if shift else 0
    streams = k.shape[2] // q.shape[2]

    def windows(t: Tensor) -> Tensor:
        return torch.cat(
            [_to_windows(part, grid, size, roll) for part in t.split(q.shape[2], dim=2)], dim=3
        )

    bias = _seam_bias(grid, size, roll, streams, q.device, q.dtype) if roll else None
    out = softmax_attention(windows(q), windows(k), windows(v), bias, exchange)
    return _from_windows(out, grid, size, roll)


def _to_windows(t: Tensor, grid: tuple[int, int], size: int, roll: int) -> Tensor:
    b, n, _, e = t.shape
    t = t.reshape(b, n, *grid, e)
    if roll:
        t = t.roll((-roll, -roll), dims=(2, 3))
    t = t.reshape(b, n, grid[0] // size, size, grid[1] // size, size, e)
    return t.permute(0, 2, 4, 1, 3, 5, 6).reshape(b, -1, n, size * size, e)


def _from_windows(t: Tensor, grid: tuple[int, int], size: int, roll: int) -> Heads:
    b, _, n, _, e = t.shape
    t = t.reshape(b, grid[0] // size, grid[1] // size, n, size, size, e)
    t = t.permute(0, 3, 1, 4, 2, 5, 6).reshape(b, n, *grid, e)
    if roll:
        t = t.roll((roll, roll), dims=(2, 3))
    return t.reshape(b, n, grid[0] * grid[1], e)


@lru_cache(maxsize=32)
@torch.inference_mode(mode=False)
def _seam_bias(
    grid: tuple[int, int],
    size: int,
    roll: int,
    streams: int,
    device: torch.device,
    dtype: torch.dtype,
) -> Float[Tensor, "window 1 token key"]:
    """Forbid meetings across the seam that the roll wrapped around."""

    def side(n: int) -> Tensor:
        return (torch.arange(n, device=device) < n - roll).long()

    part = side(grid[0])[:, None] * 2 + side(grid[1])[None]
    part = part.reshape(grid[0] // size, size, grid[1] // size, size).transpose(1, 2)
    part = part.reshape(-1, size * size)
    return as_bias((part[:, :, None] == part.repeat(1, streams)[:, None, :])[:, None], dtype)


def _around(width: int, multiple: int) -> str:
    low = width // multiple * multiple
    return f"{low} and {low + multiple}" if low else f"{multiple}"
