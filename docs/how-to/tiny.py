"""Two convolutions that know the noise level."""

import torch
from torch import Tensor, nn

from uqrestore.networks import Backbone
from uqrestore.networks.measurement import Measurement


class Tiny(Backbone):
    """A backbone of a few thousand weights.

    Args:
        image_shape: ``(channel, row, column)`` of the images, of any size.
        width: Channels between the two convolutions.
    """

    def __init__(self, image_shape: tuple[int, int, int], *, width: int = 16) -> None:
        super().__init__()
        self.image_shape = image_shape
        self.first = nn.Conv2d(image_shape[0] + 1, width, 3, padding=1)
        self.last = nn.Conv2d(width, image_shape[0], 3, padding=1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(
        self,
        x: Tensor,
        c_noise: Tensor,
        label: Tensor | None = None,  # noqa: ARG002
        measurement: Measurement | None = None,  # noqa: ARG002
        *,
        augment: Tensor | None = None,  # noqa: ARG002
    ) -> Tensor:
        level = c_noise[:, None, None, None].expand(-1, 1, *x.shape[-2:])
        return self.last(torch.relu(self.first(torch.cat([x, level], dim=1))))
