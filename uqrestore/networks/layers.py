"""Parts of the transformers beside attention: norms, feed-forward, merging, conditioning."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

Tokens = Float[Tensor, "_ _ _ _"]
"""Activations ``(batch, row, column, width)``, channels last; rows and columns count tokens."""


def zero_init(linear: nn.Linear) -> nn.Linear:
    """Set a linear layer to zero, so that its residual branch starts as nothing."""
    nn.init.zeros_(linear.weight)
    if linear.bias is not None:
        nn.init.zeros_(linear.bias)
    return linear


class AdaRMSNorm(nn.Module):
    """Root-mean-square norm whose gain depends on the condition; no shift.

    ``x / rms(x) * (1 + W cond)`` with ``W`` starting at zero (Crowson et al., "Hourglass
    Diffusion Transformers", ICML 2024, arXiv:2401.11605).

    Args:
        width: Channels of ``x``.
        cond_width: Channels of the condition ``(batch, cond_width)``.
    """

    def __init__(self, width: int, cond_width: int) -> None:
        super().__init__()
        self.gain = zero_init(nn.Linear(cond_width, width, bias=False))

    def forward(self, x: Tokens, cond: Tensor) -> Tokens:
        return scaled_rms_norm(x, 1 + self.gain(cond)[:, None, None])


class RMSNorm(nn.Module):
    """Root-mean-square norm with one learned gain per channel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return scaled_rms_norm(x, self.gain)


def scaled_rms_norm(x: Tensor, gain: Tensor, eps: float = 1e-6) -> Tensor:
    """Divide by the root mean square over the last axis and multiply by ``gain``."""
    norm = precise_norm(x)
    return x * torch.rsqrt(norm.square() / x.shape[-1] + eps).to(x.dtype) * gain.to(x.dtype)


def precise_norm(x: Tensor) -> Tensor:
    """Length over the last axis (kept), in float32 or better whatever autocast does."""
    dtype = torch.promote_types(x.dtype, torch.float32)
    return torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=dtype)


class FeedForward(nn.Module):
    """Pre-norm GEGLU block with a residual connection; the output starts at zero.

    Args:
        width: Channels of the tokens.
        cond_width: Channels of the condition.
        expansion: Hidden width over ``width``.
        dropout: Share of hidden units dropped in training.
    """

    def __init__(
        self, width: int, cond_width: int, expansion: int = 3, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.norm = AdaRMSNorm(width, cond_width)
        self.up = nn.Linear(width, 2 * expansion * width, bias=False)
        self.dropout = nn.Dropout(dropout)
        self.down = zero_init(nn.Linear(expansion * width, width, bias=False))

    def forward(self, x: Tokens, cond: Tensor) -> Tokens:
        value, gate = self.up(self.norm(x, cond)).chunk(2, dim=-1)
        return x + self.down(self.dropout(value * F.gelu(gate)))


class TokenMerge(nn.Module):
    """Join ``factor x factor`` neighbouring tokens into one and map them to the next width."""

    def __init__(self, width_in: int, width_out: int, factor: int = 2) -> None:
        super().__init__()
        self.factor = factor
        self.project = nn.Linear(width_in * factor * factor, width_out, bias=False)

    def forward(self, x: Tokens) -> Tokens:
        return self.project(merge(x, self.factor))


class TokenSplit(nn.Module):
    """Split each token into ``2 x 2`` and blend with the skip connection by a learned share."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        self.project = nn.Linear(width_in, 4 * width_out, bias=False)
        self.share = nn.Parameter(torch.tensor(0.5))

    def forward(self, x: Tokens, skip: Tokens) -> Tokens:
        return torch.lerp(skip, split(self.project(x), 2), self.share.to(skip.dtype))


def merge(x: Tensor, factor: int) -> Tensor:
    """Rearrange ``h (nh)  w (nw)  e -> h w (nh nw e)``; a pure permutation."""
    b, h, w, e = x.shape
    x = x.reshape(b, h // factor, factor, w // factor, factor, e)
    return x.transpose(2, 3).reshape(b, h // factor, w // factor, factor * factor * e)


def split(x: Tensor, factor: int) -> Tensor:
    """Undo :func:`merge`."""
    b, h, w, e = x.shape
    x = x.reshape(b, h, w, factor, factor, e // factor**2).transpose(2, 3)
    return x.reshape(b, h * factor, w * factor, e // factor**2)


class FourierFeatures(nn.Module):
    """Random cosine and sine features of a few numbers; the frequencies are fixed."""

    frequencies: Tensor

    def __init__(self, inputs: int, width: int, generator: torch.Generator) -> None:
        super().__init__()
        if width % 2:
            raise ValueError(f"Fourier features come in pairs; width {width} is odd.")
        frequencies = torch.randn(width // 2, inputs, generator=generator)
        self.register_buffer("frequencies", frequencies)

    def forward(self, v: Float[Tensor, "batch inputs"]) -> Float[Tensor, "batch width"]:
        phase = 2 * math.pi * v @ self.frequencies.T.to(v)
        return torch.cat([phase.cos(), phase.sin()], dim=-1)


class Mapping(nn.Module):
    """Turn the embedded conditions into the one vector that steers every norm.

    Args:
        width: Channels of the condition.
        depth: Residual GEGLU blocks.
    """

    def __init__(self, width: int, depth: int = 2) -> None:
        super().__init__()
        self.norm_in = RMSNorm(width)
        self.norms = nn.ModuleList(RMSNorm(width) for _ in range(depth))
        self.ups = nn.ModuleList(nn.Linear(width, 6 * width, bias=False) for _ in range(depth))
        self.downs = nn.ModuleList(
            zero_init(nn.Linear(3 * width, width, bias=False)) for _ in range(depth)
        )
        self.norm_out = RMSNorm(width)

    def forward(self, z: Float[Tensor, "batch width"]) -> Float[Tensor, "batch width"]:
        z = self.norm_in(z)
        for norm, up, down in zip(self.norms, self.ups, self.downs, strict=True):
            value, gate = up(norm(z)).chunk(2, dim=-1)
            z = z + down(value * F.gelu(gate))
        return self.norm_out(z)
