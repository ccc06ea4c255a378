"""Hourglass diffusion transformer: few wide tokens in the middle, many narrow ones outside."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from uqrestore.networks.attention import AttentionSpec, SelfAttention
from uqrestore.networks.layers import (
    FeedForward,
    FourierFeatures,
    Mapping,
    RMSNorm,
    TokenMerge,
    TokenSplit,
    Tokens,
    split,
    zero_init,
)


class TransformerLayer(nn.Module):
    """An attention block, then a feed-forward block."""

    def __init__(self, attention: SelfAttention, feed_forward: FeedForward) -> None:
        super().__init__()
        self.attention, self.feed_forward = attention, feed_forward

    def forward(self, x: Tokens, cond: Tensor) -> Tokens:
        return self.feed_forward(self.attention(x, cond), cond)


class HDiT(nn.Module):
    """Hourglass diffusion transformer; unconditional, or conditioned by extra input channels.

    The output starts at exactly zero, so that a preconditioned denoiser starts as
    ``c_skip * x_t``.

    Args:
        image_shape: ``(channel, row, column)`` of the images; sides are multiples of
            ``patch * 2 ** (levels - 1)``.
        patch: Pixels a side of a token at the finest level.
        widths: Channels of a level, finest first.
        depths: Layers of a level on the way down and again on the way up; the last level has
            its layers once.
        attention: One text a level, such as ``neighborhood:7`` or ``global``.
        extra_channels: Further input channels beside the noisy image.
        out_channels: Output channels; the image's own by default.
        labels: Number of class labels; 0 for none. Index ``labels`` means "no label".
        cond_width: Channels of the condition vector.
        dropout: Share of units dropped in training.
        seed: Seed of the fixed Fourier frequencies.

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
        extra_channels: int = 0,
        out_channels: int | None = None,
        labels: int = 0,
        cond_width: int = 128,
        dropout: float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        channel, *sides = image_shape
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
        self.image_shape, self.patch, self.labels = tuple(image_shape), patch, labels
        self.out_channels = out_channels or channel

        generator = torch.Generator().manual_seed(seed)
        self.noise_features = FourierFeatures(1, cond_width, generator)
        self.noise_in = nn.Linear(cond_width, cond_width, bias=False)
        self.label_in = nn.Embedding(labels + 1, cond_width) if labels else None
        self.mapping = Mapping(cond_width)

        def layers(level: int) -> nn.ModuleList:
            return nn.ModuleList(
                self.make_layer(
                    level,
                    widths[level],
                    cond_width,
                    head_width=head_width,
                    spec=AttentionSpec.parse(attention[level]),
                    shift=index % 2 == 1,
                    dropout=dropout,
                )
                for index in range(depths[level])
            )

        last = len(widths) - 1
        self.patch_in = TokenMerge(channel + extra_channels, widths[0], patch)
        self.down = nn.ModuleList(layers(level) for level in range(last))
        self.merges = nn.ModuleList(TokenMerge(widths[i], widths[i + 1]) for i in range(last))
        self.middle = layers(last)
        self.splits = nn.ModuleList(TokenSplit(widths[i + 1], widths[i]) for i in range(last))
        self.up = nn.ModuleList(layers(level) for level in range(last))
        self.norm_out = RMSNorm(widths[0])
        self.patch_out = zero_init(
            nn.Linear(widths[0], self.out_channels * patch * patch, bias=False)
        )

    def make_layer(
        self,
        level: int,  # noqa: ARG002 - levels differ in networks with operators inside
        width: int,
        cond_width: int,
        *,
        head_width: int,
        spec: AttentionSpec,
        shift: bool,
        dropout: float,
    ) -> nn.Module:
        """Build one layer of a level."""
        attention = SelfAttention(
            width, cond_width, head_width=head_width, spec=spec, shift=shift, dropout=dropout
        )
        return TransformerLayer(attention, FeedForward(width, cond_width, dropout=dropout))

    def condition(self, c_noise: Tensor, label: Tensor | None) -> Tensor:
        """Embed noise level and label into the one vector of every norm."""
        z = self.noise_in(self.noise_features(c_noise[:, None]))
        if self.label_in is not None:
            if label is None:
                label = torch.full(c_noise.shape, self.labels, device=c_noise.device)
            z = z + self.label_in(label)
        elif label is not None:
            raise ValueError("this network was built without labels; leave label out.")
        return self.mapping(z)

    def forward(
        self,
        x: Float[Tensor, "batch channel row column"],
        c_noise: Float[Tensor, " batch"],
        label: Tensor | None = None,
    ) -> Float[Tensor, "batch out_channel row column"]:
        """Run the network on scaled noisy images (extra channels behind the image's own)."""
        return self.run(x, self.condition(c_noise, label))

    def run(self, x: Tensor, *context: object) -> Tensor:
        """Walk the hourglass; ``context`` is handed to every layer."""
        x = self.patch_in(x.permute(0, 2, 3, 1))
        skips = []
        for layers, merge_tokens in zip(self.down, self.merges, strict=True):
            for layer in layers:
                x = layer(x, *context)
            skips.append(x)
            x = merge_tokens(x)
        for layer in self.middle:
            x = layer(x, *context)
        for layers, split_tokens in zip(reversed(self.up), reversed(self.splits), strict=True):
            x = split_tokens(x, skips.pop())
            for layer in layers:
                x = layer(x, *context)
        return split(self.patch_out(self.norm_out(x)), self.patch).permute(0, 3, 1, 2)

