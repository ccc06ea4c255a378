"""MONAI's diffusion U-Net as a backbone of ours."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn


class UNet(nn.Module):
    """MONAI's ``DiffusionModelUNet``, called as every backbone is.

    Weights trained with MONAI on discrete times fit as they are: load them into :attr:`unet`, set
    ``time_scale=1`` and wrap the whole in ``uqrestore.diffusion.ddpm.DiscreteDenoiser``.

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

    Raises:
        ImportError: If MONAI is not installed.
        ValueError: If the widths and ``attention`` are not one a level, or a side does not divide.

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
        self.image_shape = tuple(image_shape)
        self.labels, self.time_scale = labels, time_scale
        self.unet = _monai_unet()(
            spatial_dims=2,
            in_channels=channels,
            out_channels=channels,
            channels=tuple(widths),
            num_res_blocks=blocks,
            attention_levels=tuple(attention),
            num_head_channels=[head_width if used else 0 for used in attention],
            norm_num_groups=groups,
            # The last index stands for no label.
            num_class_embeds=labels + 1 if labels else None,
        )

    def forward(
        self,
        x: Float[Tensor, "batch channel row column"],
        c_noise: Float[Tensor, " batch"],
        label: Tensor | None = None,
    ) -> Float[Tensor, "batch channel row column"]:
        """Run the network on noisy images scaled to unit variance."""
        if not self.labels:
            label = None
        elif label is None:
            label = torch.full(x.shape[:1], self.labels, device=x.device)
        return self.unet(x, self.time_scale * c_noise, class_labels=label)


def _monai_unet() -> type[nn.Module]:
    try:
        from monai.networks.nets.diffusion_model_unet import DiffusionModelUNet
    except ImportError:
        raise ImportError(
            "the backbone 'unet' is MONAI's, which is not installed; pip install 'uqrestore[monai]'"
        ) from None
    return DiffusionModelUNet
