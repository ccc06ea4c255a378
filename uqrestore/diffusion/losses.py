"""Training losses."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

Image = Float[Tensor, "batch channel row column"]


def draw_sigma(
    count: int, generator: torch.Generator, *, mean: float = -0.8, std: float = 1.6
) -> Float[Tensor, " batch"]:
    """Draw noise levels with ``ln(sigma) ~ N(mean, std^2)`` (Karras et al. 2022, Table 1)."""
    return (mean + std * torch.randn(count, generator=generator)).exp()


def denoising_loss(
    clean: Image, truth: Image, sigma: Float[Tensor, " batch"], sigma_data: float
) -> Float[Tensor, " batch"]:
    """Squared error per pixel times ``(sigma^2 + sd^2) / (sigma sd)^2``, one value per image.

    The weight makes the loss about 1 at every noise level before training (EDM, Table 1).
    """
    weight = (sigma**2 + sigma_data**2) / (sigma * sigma_data) ** 2
    return weight * (clean - truth).square().flatten(1).mean(dim=1)


class LearnedUncertainty(nn.Module):
    r"""Balance noise levels by a learned log-variance :math:`u(\sigma)`.

    .. math:: L = \ell / e^{u(\sigma)} + u(\sigma)

    whose optimum is :math:`u = \ln E[\ell \mid \sigma]` (Karras et al., "Analyzing and Improving
    the Training Dynamics of Diffusion Models", CVPR 2024, eq. 14. arXiv:2312.02696). Used in
    training only.

    Args:
        features: Random cosine features of ``ln(sigma) / 4``.
        seed: Seed of the fixed frequencies and phases.
    """

    frequency: Tensor
    phase: Tensor

    def __init__(self, features: int = 128, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.register_buffer("frequency", torch.randn(features, generator=generator))
        self.register_buffer("phase", torch.rand(features, generator=generator))
        self.linear = nn.Linear(features, 1, bias=False)
        nn.init.zeros_(self.linear.weight)

    def forward(self, loss: Float[Tensor, " batch"], sigma: Float[Tensor, " batch"]) -> Tensor:
        angle = 2 * math.pi * (sigma.log()[:, None] / 4 * self.frequency + self.phase)
        u = self.linear(math.sqrt(2) * angle.cos() / math.sqrt(len(self.phase)))[:, 0]
        return (loss * torch.exp(-u) + u).mean()
