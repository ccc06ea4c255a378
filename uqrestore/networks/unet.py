"""MONAI's diffusion U-Net as a backbone of ours: a prior, Palette, or InvFussion."""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from uqrestore.networks._joint_unet import JointSpatialAttention
from uqrestore.networks.backbone import Backbone
from uqrestore.networks.conditioning import FLOOR
from uqrestore.networks.feature_degradation import FdlInput, check_input
from uqrestore.networks.measurement import Measurement


class UNet(Backbone):
    """MONAI's ``DiffusionModelUNet`` as a backbone.

    Weights trained with MONAI on discrete times fit as they are: load them into :attr:`unet`, set
    ``time_scale=1`` and wrap the whole in ``uqrestore.wrap``.

    With ``conditional``, ``A^+ y`` joins the input channels: the Palette baseline on this
    backbone, blind to the operator. With ``joint``, the attention of the levels that say so also
    looks at what a feature degradation layer returns, as in InvFussion
    (:class:`uqrestore.networks._joint_unet.JointSpatialAttention`).

    Args:
        image_shape: ``(channel, row, column)``; sides are multiples of ``2 ** (levels - 1)``.
        widths: Channels of a level, finest first.
        blocks: Residual blocks of a level.
        attention: Which levels have self-attention.
        head_width: Channels of an attention head.
        groups: Groups of every group normalisation; divides all widths.
        labels: Number of class labels; 0 for none.
        time_scale: What the noise condition is multiplied by. MONAI's embedding resolves steps of
            one in 0 to 1000, the condition of our preconditioning, ``ln(sigma) / 4``, spans about
            3.
        conditional: Whether the network takes a measurement.
        joint: Which levels send their activations through the operator, one switch a level; they
            must be levels with attention. Any of them makes the network conditional.
        fdl_input: See :class:`uqrestore.networks.joint_attention.JointAttention`. Unless
            ``projected``, the width of a joint level is a multiple of
            ``channels * 4 ** level``.
        measurement_noise: Whether the noise level of the measurement is one more input channel of
            a conditional network.

    Raises:
        ImportError: If MONAI is not installed.
        ValueError: If the widths and ``attention`` are not one a level, a side does not divide,
            or a joint level has no attention.

    References:
        Pinaya et al., "Generative AI for Medical Imaging: extending the MONAI Framework", 2023.
        arXiv:2307.15208
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        widths: Sequence[int] = (32, 64, 128),
        blocks: int = 1,
        attention: Sequence[bool] = (False, True, True),
        head_width: int = 32,
        groups: int = 16,
        labels: int = 0,
        time_scale: float = 250.0,
        conditional: bool = False,
        joint: Sequence[bool] = (),
        fdl_input: FdlInput = "raw",
        measurement_noise: bool = False,
    ) -> None:
        super().__init__()
        channels, *sides = image_shape
        stride = 2 ** (len(widths) - 1)
        if len(attention) != len(widths) or any(side % stride for side in sides):
            raise ValueError(
                f"unet: images of shape {tuple(image_shape)} with {len(widths)} widths need sides "
                f"that are multiples of {stride} and as many values of 'attention', got "
                f"{len(attention)}."
            )
        joint = tuple(joint) or (False,) * len(widths)
        if len(joint) != len(widths) or any(
            j and not a for j, a in zip(joint, attention, strict=False)
        ):
            raise ValueError(
                f"unet: joint {list(joint)} needs one switch for each of {len(widths)} levels, on "
                f"only where attention is, which is {list(attention)}."
            )
        self.image_shape = image_shape
        self.labels, self.time_scale = labels, time_scale
        self.conditional = conditional or any(joint)
        self.measurement_noise = measurement_noise and self.conditional
        extra = channels + self.measurement_noise if self.conditional else 0
        self.unet = _monai_unet()(
            spatial_dims=2,
            in_channels=channels + extra,
            out_channels=channels,
            channels=tuple(widths),
            num_res_blocks=blocks,
            attention_levels=tuple(attention),
            num_head_channels=[head_width if used else 0 for used in attention],
            norm_num_groups=groups,
            # The last index stands for no label.
            num_class_embeds=labels + 1 if labels else None,
        )
        if any(joint):
            self._join(widths, joint, channels, fdl_input)

    def _join(
        self, widths: Sequence[int], joint: Sequence[bool], channels: int, fdl_input: FdlInput
    ) -> None:
        """Replace the attention of the joint levels by attention that includes the operator."""
        check_input(fdl_input)
        unet: Any = self.unet
        last = len(widths) - 1
        places = [
            (level, block.attentions)
            for level, block in enumerate(unet.down_blocks)
            if joint[level]
        ]
        places += [
            (last - step, block.attentions)
            for step, block in enumerate(unet.up_blocks)
            if joint[last - step]
        ]
        for level, blocks in places:
            for index, plain in enumerate(blocks):
                blocks[index] = JointSpatialAttention(
                    plain, widths[level], 2**level, channels, fdl_input=fdl_input
                )
        if joint[last]:
            middle = unet.middle_block
            middle.attention = JointSpatialAttention(
                middle.attention, widths[last], 2**last, channels, fdl_input=fdl_input
            )

    def forward(
        self,
        x: Float[Tensor, "batch channel row column"],
        c_noise: Float[Tensor, " batch"],
        label: Tensor | None = None,
        measurement: Measurement | None = None,
        *,
        augment: Tensor | None = None,  # noqa: ARG002
    ) -> Float[Tensor, "batch channel row column"]:
        """Run the network on noisy images scaled to unit variance; no measurement: the prior."""
        if not self.labels:
            label = None
        elif label is None:
            label = torch.full(x.shape[:1], self.labels, device=x.device)
        if self.conditional:
            x = torch.cat([x, *self._conditioning(x, measurement)], dim=1)
        time = self.time_scale * c_noise
        order = None if measurement is None else measurement.order
        if order is not None:
            label = None if label is None else label[order]
            x, time = x[order], time[order]
        with ExitStack() as stack:
            for block in self.modules():
                if isinstance(block, JointSpatialAttention):
                    stack.enter_context(block.conditioned(measurement))
            out = self.unet(x, time, class_labels=label)
        return out if order is None or measurement is None else out[measurement.places]

    def _conditioning(self, x: Tensor, measurement: Measurement | None) -> list[Tensor]:
        """Return the input channels of the measurement."""
        if measurement is None:
            pinv_y, noise_std = torch.zeros_like(x), x.new_zeros(len(x))
        else:
            pinv_y, noise_std = measurement.pinv_y.to(x.dtype), measurement.noise_std.to(x.dtype)
        if not self.measurement_noise:
            return [pinv_y]
        level = noise_std.clamp(min=FLOOR).log() / 4
        return [pinv_y, level[:, None, None, None].expand(-1, 1, *x.shape[2:])]


def _monai_unet() -> type[nn.Module]:
    try:
        from monai.networks.nets.diffusion_model_unet import DiffusionModelUNet
    except ImportError:
        raise ImportError(
            "the backbone 'unet' is MONAI's, which is not installed; pip install 'uqrestore[monai]'"
        ) from None
    return DiffusionModelUNet
