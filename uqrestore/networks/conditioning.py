"""Embedding of noise level, label and measurement noise in the vector that modulates every norm."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from uqrestore.networks.layers import FourierFeatures, Mapping

AUGMENT_LABELS = 9
"""Number of parameters of the augmentation; see :mod:`uqrestore.training.augmentation`."""
FLOOR = 1e-3
"""Measurement noise below this, in network units, is treated as none."""


class Conditioning(nn.Module):
    """Embed the inputs of a network besides the image.

    Args:
        width: Channels of the condition vector.
        labels: Number of class labels; 0 for none. Index ``labels`` means "no label".
        measurement_noise: Whether the standard deviation of the measurement noise is an input.
        augment: Whether the parameters of the augmentation are an input; images without any can
            then be asked for, and the augmentation does not leak into them.
        seed: Seed of the fixed Fourier frequencies.
    """

    def __init__(
        self,
        width: int,
        *,
        labels: int = 0,
        measurement_noise: bool = False,
        augment: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.labels = labels
        self.noise_features = FourierFeatures(1, width, generator)
        self.noise_in = nn.Linear(width, width, bias=False)
        self.label_in = nn.Embedding(labels + 1, width) if labels else None
        self.measurement_features = None
        if measurement_noise:
            self.measurement_features = FourierFeatures(1, width, generator)
            self.measurement_in = nn.Linear(width, width, bias=False)
        self.augment_features = None
        if augment:
            self.augment_features = FourierFeatures(AUGMENT_LABELS, width, generator)
            self.augment_in = nn.Linear(width, width, bias=False)
        self.mapping = Mapping(width)

    def forward(
        self,
        c_noise: Float[Tensor, " batch"],
        label: Tensor | None = None,
        noise_std: Float[Tensor, " batch"] | None = None,
        augment: Float[Tensor, "batch change"] | None = None,
    ) -> Float[Tensor, "batch width"]:
        """Return the condition vector.

        Args:
            c_noise: Scaled noise level of the diffusion, ``ln(sigma) / 4``.
            label: Class index; None, or the number of labels, means "no label".
            noise_std: Standard deviation of the measurement noise; None means none.
            augment: Parameters of the augmentation, nine numbers that are 0 for none; None for
                none.
        """
        z = self.noise_in(self.noise_features(c_noise[:, None]))
        if self.label_in is not None:
            if label is None:
                label = torch.full(c_noise.shape, self.labels, device=c_noise.device)
            z = z + self.label_in(label)
        elif label is not None:
            raise ValueError("this network was built without labels; leave label out.")
        if self.measurement_features is not None:
            if noise_std is None:
                noise_std = torch.zeros_like(c_noise)
            level = noise_std.clamp(min=FLOOR).log()[:, None] / 4
            z = z + self.measurement_in(self.measurement_features(level))
        if self.augment_features is not None:
            if augment is None:
                augment = c_noise.new_zeros(len(c_noise), AUGMENT_LABELS)
            z = z + self.augment_in(self.augment_features(augment))
        return self.mapping(z)
