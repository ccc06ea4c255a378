"""Noise schedules of networks: the scale and the time at which a network is called."""

from collections.abc import Sequence
from typing import Literal, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn

Schedule: TypeAlias = Literal["linear", "scaled_linear", "cosine"]

# Tolerance, in log sigma, at the ends of the table: levels are float32.
ROUNDING = 1e-5


class NoisePath(nn.Module):
    """The path ``x_t = a(sigma) (x0 + sigma n)`` of a variance-exploding process: ``a = 1``.

    The network's time is ``sigma`` itself, as in EDM.

    Attributes:
        limits: Lowest and highest noise level that the network was trained for.
    """

    limits: tuple[float, float] = (0.0, float("inf"))

    @property
    def stated(self) -> str:
        """The path as text."""
        return "sigma"

    def scale(self, sigma: Tensor) -> Tensor:
        """Return ``a``, by which the noisy image is multiplied for the network."""
        return torch.ones_like(sigma)

    def time(self, sigma: Tensor) -> Tensor:
        """Return the time that the network is given."""
        return sigma


class FlowPath(NoisePath):
    r"""The straight path between image and noise: ``a = 1 / (1 + sigma)``.

    ``x_t = (1 - t) x0 + t n`` with :math:`\sigma = t / (1 - t)`.

    Args:
        data_at: Time of the noise-free image, 1 or 0; the noise is at the other end.
        time_scale: Number by which the time is multiplied for the network, such as 1000.

    References:
        Lipman et al., "Flow Matching for Generative Modeling", ICLR 2023. arXiv:2210.02747
    """

    def __init__(self, data_at: Literal[0, 1] = 1, time_scale: float = 1.0) -> None:
        super().__init__()
        if data_at not in (0, 1):
            raise ValueError(f"data_at is the time of the image, 0 or 1, got {data_at!r}.")
        self.data_at, self.time_scale = data_at, time_scale

    @property
    def stated(self) -> str:
        return f"flow {self.data_at} {self.time_scale}"

    def scale(self, sigma: Tensor) -> Tensor:
        return 1 / (1 + sigma)

    def time(self, sigma: Tensor) -> Tensor:
        share = 1 if self.data_at else sigma
        return self.time_scale * share / (1 + sigma)


class DiscretePath(NoisePath):
    r"""The variance-preserving path of DDPM: ``a = 1 / sqrt(1 + sigma^2)``.

    The time of a level is its index in the table
    :math:`\sigma_t^2 = (1 - \bar\alpha_t) / \bar\alpha_t`, interpolated in :math:`\log \sigma`.

    Args:
        betas: Variance of the noise that each time adds, such as ``make_betas("linear")``.

    Raises:
        ValueError: If a beta is not between 0 and 1.

    References:
        Ho et al., "Denoising Diffusion Probabilistic Models", NeurIPS 2020. arXiv:2006.11239
    """

    def __init__(self, betas: Sequence[float] | Tensor) -> None:
        super().__init__()
        betas = torch.as_tensor(betas, dtype=torch.float64)
        if betas.ndim != 1 or len(betas) < 2 or not ((betas > 0) & (betas < 1)).all():
            raise ValueError(
                "betas must be at least two numbers between 0 and 1, one a time, got "
                f"{tuple(betas.shape)} from {float(betas.min()):g} to {float(betas.max()):g}."
            )
        alpha_bar = torch.cumprod(1 - betas, 0)
        log_sigmas = 0.5 * (torch.log1p(-alpha_bar) - alpha_bar.log())
        self.register_buffer("log_sigmas", log_sigmas, persistent=False)
        self.limits = float(log_sigmas[0].exp()), float(log_sigmas[-1].exp())

    @property
    def sigmas(self) -> Float[Tensor, " time"]:
        """Noise level of every time, in the units of the network."""
        return self.get_buffer("log_sigmas").exp()

    @property
    def stated(self) -> str:
        return f"ddpm {self.sigmas.tolist()}"

    def scale(self, sigma: Tensor) -> Tensor:
        return (1 + sigma**2).rsqrt()

    def time(self, sigma: Tensor) -> Tensor:
        """Return the times of noise levels, not rounded: the index of ``sigmas[i]`` is ``i``.

        Raises:
            ValueError: If a level lies outside the table.
        """
        table = self.get_buffer("log_sigmas")
        log_sigma = sigma.to(table).log()
        low, high = table[0], table[-1]
        if not ((log_sigma > low - ROUNDING) & (log_sigma < high + ROUNDING)).all():
            raise ValueError(
                f"the network was trained for noise levels from {float(low.exp()):.4g} to "
                f"{float(high.exp()):.4g}, got {float(sigma.min()):.4g} to "
                f"{float(sigma.max()):.4g}; choose sigma_min, sigma_max or the grid accordingly."
            )
        log_sigma = log_sigma.clamp(low, high)
        above = torch.searchsorted(table, log_sigma.contiguous()).clamp(1, len(table) - 1)
        share = (log_sigma - table[above - 1]) / (table[above] - table[above - 1])
        return above - 1 + share


def make_betas(
    schedule: Schedule, times: int = 1000, *, start: float = 1e-4, end: float = 0.02
) -> Float[Tensor, " time"]:
    """Return the variance of the noise that each time adds.

    Args:
        schedule: ``linear``; ``scaled_linear``, linear in the square root, as latent diffusion
            has it; ``cosine``, which has no ``start`` and ``end``.
        times: Number of times.
        start: First beta.
        end: Last beta.

    References:
        Ho et al., NeurIPS 2020, section 4. arXiv:2006.11239; Rombach et al., CVPR 2022;
        Nichol & Dhariwal, ICML 2021, eq. 17. arXiv:2102.09672
    """
    if schedule == "linear":
        return torch.linspace(start, end, times, dtype=torch.float64)
    if schedule == "scaled_linear":
        return torch.linspace(start**0.5, end**0.5, times, dtype=torch.float64).square()
    if schedule == "cosine":
        at = (torch.arange(times + 1, dtype=torch.float64) / times + 0.008) / 1.008
        kept = torch.cos(at * torch.pi / 2).square()
        return (1 - kept[1:] / kept[:-1]).clamp(max=0.999)
    raise ValueError(
        f"there is no schedule {schedule!r}; it can be linear, scaled_linear or cosine."
    )
