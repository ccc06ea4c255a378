"""Feature degradation and joint attention inside MONAI's diffusion U-Net."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from uqrestore.networks.attention import AttentionSpec
from uqrestore.networks.feature_degradation import FdlInput, FeatureDegradation
from uqrestore.networks.hdit import Level
from uqrestore.networks.layers import zero_init
from uqrestore.networks.measurement import Measurement

Maps = Float[Tensor, "batch channel row column"]


class JointSpatialAttention(nn.Module):
    """MONAI's spatial attention block whose softmax also ranges over what the operator returns.

    The convolutional form of :class:`uqrestore.networks.joint_attention.JointAttention`: the
    channels of a location are un-patched into a stack of images at full resolution, which a
    :class:`FeatureDegradation` sends through the operator; what returns gives further keys and
    values. Norm, queries, own keys and values and the output map are those of the block that is
    replaced, under the same names, so weights of a plain U-Net still fit.

    MONAI calls its blocks with the activations alone; a call of the U-Net therefore runs inside
    :meth:`conditioned`.

    Args:
        plain: The ``SpatialAttentionBlock`` to extend.
        width: Its channels.
        pixels: Pixels of the image a side of one location, a power of two.
        channels: Channels of the image.
        fdl_input: As for ``JointAttention``.

    Raises:
        ValueError: If the width does not divide; the nearest widths are named.

    References:
        Elata et al., "InvFussion", 2025, section 3. arXiv:2504.01689
    """

    def __init__(
        self,
        plain: nn.Module,
        width: int,
        pixels: int,
        channels: int,
        *,
        fdl_input: FdlInput = "raw",
    ) -> None:
        super().__init__()
        self.norm: Any = plain.norm
        self.attn: Any = plain.attn
        projected = fdl_input == "projected"
        level = Level(width, 1, AttentionSpec(), pixels)
        self.degrade = FeatureDegradation(level, channels, project=projected)
        seen = self.degrade.stack * self.degrade.area if projected else width
        self.norm_seen = nn.GroupNorm(1, seen, eps=1e-6)
        self.key = nn.Linear(width + seen, width)
        self.value = nn.Linear(seen, width)
        self.direct = zero_init(nn.Linear(seen, width, bias=False)) if projected else None
        self.fdl_input = fdl_input
        self._measurement: Measurement | None = None

    @contextmanager
    def conditioned(self, measurement: Measurement | None) -> Iterator[None]:
        """Use a measurement in the calls inside the block."""
        self._measurement = measurement
        try:
            yield
        finally:
            self._measurement = None

    def forward(self, x: Maps) -> Maps:
        b, d, h, w = x.shape
        normed = self.norm(x)
        if self._measurement is None:
            back = x.new_zeros(b, h, w, self.value.in_features)
        else:
            sent = x if self.fdl_input == "raw" else normed
            back = self.degrade(sent.permute(0, 2, 3, 1), self._measurement)
        seen = self.norm_seen(back.flatten(1, 2).mT).mT
        own = normed.flatten(2).mT
        keys = torch.cat([self.attn.to_k(own), self.key(torch.cat([own, seen], dim=-1))], dim=1)
        values = torch.cat([self.attn.to_v(own), self.value(seen)], dim=1)
        q, k, v = (self.attn.input_rearrange(t) for t in (self.attn.to_q(own), keys, values))
        weights = (self.attn.scale * q @ k.mT).softmax(dim=-1)
        # Through MONAI's own dropout, where an attention tape is attached.
        attended = self.attn.out_rearrange(self.attn.drop_weights(weights) @ v)
        out = self.attn.drop_output(self.attn.out_proj(attended))
        if self.direct is not None:
            out = out + self.direct(back).flatten(1, 2)
        return x + out.mT.reshape(b, d, h, w)
