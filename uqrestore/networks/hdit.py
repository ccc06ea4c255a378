"""Hourglass diffusion transformer: few wide tokens in the middle, many narrow ones outside."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from uqrestore.networks.attention import AttentionSpec, SelfAttention
from uqrestore.networks.backbone import Backbone
from uqrestore.networks.conditioning import Conditioning
from uqrestore.networks.layers import (
    FeedForward,
    RMSNorm,
    TokenMerge,
    Tokens,
    TokenSplit,
    split,
    zero_init,
)
from uqrestore.networks.measurement import Measurement


@dataclass(frozen=True)
class Level:
    """One resolution of the hourglass.

    Args:
        width: Channels of a token.
        depth: Layers on the way down and again on the way up; the last level has them once.
        attention: Which tokens see each other.
        pixels: Pixels a side of a token.
    """

    width: int
    depth: int
    attention: AttentionSpec
    pixels: int


def make_levels(
    sides: Sequence[int],
    patch: int,
    widths: Sequence[int],
    depths: Sequence[int],
    attention: Sequence[str],
    *,
    any_size: bool = False,
) -> tuple[Level, ...]:
    """Read the options of a network into levels, finest first.

    With ``any_size``, positions are in units of ``sides``, whatever the size of the images, and
    all attention is local.

    Raises:
        ValueError: If the numbers of levels differ, the image sides do not divide, or attention is
            not local where it must be.
    """
    if not len(widths) == len(depths) == len(attention):
        raise ValueError(
            f"widths, depths and attention speak of {len(widths)}, {len(depths)} and "
            f"{len(attention)} levels; give each level one entry."
        )
    multiple = patch * 2 ** (len(widths) - 1)
    if any(side % multiple for side in sides):
        raise ValueError(
            f"image sides {tuple(sides)} must be multiples of {multiple} "
            f"(patch {patch}, {len(widths)} levels)."
        )
    specs = [AttentionSpec.parse(text) for text in attention]
    pixels = [patch * 2**index for index in range(len(specs))]
    if any_size:
        if any(spec.kind != "neighborhood" for spec in specs):
            raise ValueError(
                f"any_size wants local attention at every level, such as neighborhood:7, got "
                f"{list(attention)}."
            )
        specs = [replace(spec, box=max(sides) // p) for spec, p in zip(specs, pixels, strict=True)]
    return tuple(map(Level, widths, depths, specs, pixels))


MakeLayer = Callable[[Level, int], nn.Module]
"""``(level, index within the level) -> layer``; called as ``layer(tokens, *context)``."""


class Hourglass(nn.Module):
    """Merge tokens level by level, work on the coarsest, split them again with skips.

    The output starts at exactly zero.

    Args:
        in_channels: Channels of the input image.
        out_channels: Channels of the output image.
        levels: The resolutions, finest first.
        make_layer: Builds each layer.
        more_channels: Further output channels, after the others, by a map of their own that does
            not start at zero: what has no direction yet could not learn one.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        levels: Sequence[Level],
        make_layer: MakeLayer,
        more_channels: int = 0,
    ) -> None:
        super().__init__()

        def layers(level: Level) -> nn.ModuleList:
            return nn.ModuleList(make_layer(level, index) for index in range(level.depth))

        self.patch = levels[0].pixels
        steps = list(pairwise(levels))
        self.patch_in = TokenMerge(in_channels, levels[0].width, self.patch)
        self.down = nn.ModuleList(layers(level) for level in levels[:-1])
        self.merges = nn.ModuleList(TokenMerge(fine.width, deep.width) for fine, deep in steps)
        self.middle = layers(levels[-1])
        self.splits = nn.ModuleList(TokenSplit(deep.width, fine.width) for fine, deep in steps)
        self.up = nn.ModuleList(layers(level) for level in levels[:-1])
        self.norm_out = RMSNorm(levels[0].width)
        self.patch_out = zero_init(
            nn.Linear(levels[0].width, out_channels * self.patch**2, bias=False)
        )
        self.more_out = None
        if more_channels:
            self.more_out = nn.Linear(levels[0].width, more_channels * self.patch**2, bias=False)
            nn.init.normal_(self.more_out.weight, std=0.02)

    def forward(
        self, x: Float[Tensor, "batch channel row column"], *context: object
    ) -> Float[Tensor, "batch out_channel row column"]:
        """Walk the hourglass; ``context`` is handed to every layer."""
        tokens: Tokens = self.patch_in(x.permute(0, 2, 3, 1))
        skips = []
        for layers, merge_tokens in zip(self.down, self.merges, strict=True):
            tokens = _through(layers, tokens, context)
            skips.append(tokens)
            tokens = merge_tokens(tokens)
        tokens = _through(self.middle, tokens, context)
        for layers, split_tokens in zip(reversed(self.up), reversed(self.splits), strict=True):
            tokens = _through(layers, split_tokens(tokens, skips.pop()), context)
        tokens = self.norm_out(tokens)
        pixels = split(self.patch_out(tokens), self.patch)
        if self.more_out is not None:
            pixels = torch.cat([pixels, split(self.more_out(tokens), self.patch)], dim=-1)
        return pixels.permute(0, 3, 1, 2)


def _through(layers: nn.Module, tokens: Tensor, context: tuple[object, ...]) -> Tensor:
    for layer in layers.children():
        tokens = layer(tokens, *context)
    return tokens


class TransformerLayer(nn.Module):
    """An attention block, then a feed-forward block."""

    def __init__(
        self, level: Level, index: int, cond_width: int, head_width: int, dropout: float
    ) -> None:
        super().__init__()
        self.attention = SelfAttention(
            level.width,
            cond_width,
            head_width=head_width,
            spec=level.attention,
            shift=index % 2 == 1,
            dropout=dropout,
        )
        self.feed_forward = FeedForward(level.width, cond_width, dropout=dropout)

    def forward(self, x: Tokens, cond: Tensor) -> Tokens:
        return self.feed_forward(self.attention(x, cond), cond)


class HDiT(Backbone):
    """Hourglass diffusion transformer, unconditional.

    Args:
        image_shape: ``(channel, row, column)`` of the images; sides are multiples of
            ``patch * 2 ** (levels - 1)``.
        patch: Pixels a side of a token at the finest level.
        widths: Channels of a level, finest first.
        depths: Layers of a level on the way down and again on the way up; the last level has
            its layers once.
        attention: One text a level: ``neighborhood:7``, ``shifted-window:8`` or ``global``.
        head_width: Channels of an attention head.
        labels: Number of class labels; 0 for none.
        augment_labels: Whether the parameters of the augmentation are an input.
        cond_width: Channels of the condition vector.
        dropout: Share of units dropped in training.

    Raises:
        ValueError: If a side, a width or the number of levels does not fit.

    References:
        Crowson et al., "Scalable High-Resolution Pixel-Space Image Synthesis with Hourglass
        Diffusion Transformers", ICML 2024. arXiv:2401.11605
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        patch: int = 4,
        widths: Sequence[int] = (96, 192),
        depths: Sequence[int] = (1, 4),
        attention: Sequence[str] = ("neighborhood:7", "global"),
        head_width: int = 32,
        labels: int = 0,
        augment_labels: bool = False,
        cond_width: int = 128,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        channels, *sides = image_shape
        self.image_shape = image_shape
        self.labels, self.takes_augmentation = labels, augment_labels
        self.conditioning = Conditioning(cond_width, labels=labels, augment=augment_labels)
        self.trunk = Hourglass(
            channels,
            channels,
            make_levels(sides, patch, widths, depths, attention),
            lambda level, index: TransformerLayer(level, index, cond_width, head_width, dropout),
        )

    def forward(
        self,
        x: Float[Tensor, "batch channel row column"],
        c_noise: Float[Tensor, " batch"],
        label: Tensor | None = None,
        measurement: Measurement | None = None,  # noqa: ARG002
        *,
        augment: Tensor | None = None,
    ) -> Float[Tensor, "batch channel row column"]:
        """Run the network on noisy images scaled to unit variance."""
        return self.trunk(x, self.conditioning(c_noise, label, augment=augment))
