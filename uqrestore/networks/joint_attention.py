"""Layers of InvFussion: joint attention over tokens and what the operator returns."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from uqrestore.networks.attention import SelfAttention
from uqrestore.networks.feature_degradation import FdlInput, FeatureDegradation
from uqrestore.networks.hdit import Level, TransformerLayer
from uqrestore.networks.layers import AdaRMSNorm, FeedForward, Tokens, zero_init
from uqrestore.networks.measurement import Measurement


class JointAttention(nn.Module):
    """Attention over the tokens and, under the same softmax, over what the operator returns.

    Args:
        level: Width, attention and pixels of the tokens.
        index: Index of the layer in its level (odd ones shift windows).
        channels: Channels of the image.
        cond_width: Channels of the condition.
        fdl_input: Feed the layer the ``raw`` residual stream (as published), the ``norm``-ed one,
            or what a learned map chooses of the normed one (``projected``). The last also adds
            what comes back straight to the stream, its amplitude kept: one such layer can then
            take one step of an iterative solver, which attention alone must imitate.
    """

    def __init__(
        self,
        level: Level,
        index: int,
        channels: int,
        *,
        cond_width: int,
        head_width: int,
        dropout: float,
        fdl_input: FdlInput,
    ) -> None:
        super().__init__()
        self.own = SelfAttention(
            level.width,
            cond_width,
            head_width=head_width,
            spec=level.attention,
            shift=index % 2 == 1,
            dropout=dropout,
        )
        projected = fdl_input == "projected"
        self.degrade = FeatureDegradation(level, channels, project=projected)
        self.direct = None
        seen_width = level.width
        if projected:
            seen_width = self.degrade.stack * self.degrade.area
            self.direct = zero_init(nn.Linear(seen_width, level.width, bias=False))
        self.norm = AdaRMSNorm(seen_width, cond_width)
        self.key = nn.Linear(level.width + seen_width, level.width, bias=False)
        self.value = nn.Linear(seen_width, level.width, bias=False)
        self.fdl_input = fdl_input

    def forward(self, x: Tokens, cond: Tensor, measurement: Measurement | None) -> Tokens:
        b, h, w, d = x.shape
        own = self.own
        normed = own.norm(x, cond)
        if measurement is None:
            back = seen = normed.new_zeros(b, h, w, self.value.in_features)
        else:
            back = self.degrade(x if self.fdl_input == "raw" else normed, measurement)
            seen = self.norm(back, cond)
        # Two products instead of four: one of the tokens, one of what the operator returned.
        key_own, key_seen = self.key.weight.tensor_split([d], dim=1)
        of_own = F.linear(normed, torch.cat([own.qkv.weight, key_own]))
        of_seen = F.linear(seen, torch.cat([key_seen, self.value.weight]))
        of_own = of_own.reshape(b, h * w, 4, own.heads, own.head_width)
        of_seen = of_seen.reshape(b, h * w, 2, own.heads, own.head_width)
        q, k, v = own.place_joint(of_own, of_seen, (h, w))
        attended = own.attend(q, k, v, (h, w))
        attended = attended.transpose(1, 2).reshape(b, h, w, d)
        x = x + own.out(own.dropout(attended))
        return x if self.direct is None else x + self.direct(back)


class JointLayer(nn.Module):
    """Joint attention, then the feed-forward block of the plain layer."""

    def __init__(self, attention: JointAttention, feed_forward: FeedForward) -> None:
        super().__init__()
        self.attention, self.feed_forward = attention, feed_forward

    def forward(self, x: Tokens, cond: Tensor, measurement: Measurement | None) -> Tokens:
        return self.feed_forward(self.attention(x, cond, measurement), cond)


class BlindLayer(nn.Module):
    """A plain layer at a level where the operator is switched off."""

    def __init__(self, layer: TransformerLayer) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tokens, cond: Tensor, measurement: Measurement | None) -> Tokens:  # noqa: ARG002
        return self.layer(x, cond)
