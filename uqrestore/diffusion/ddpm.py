"""Denoisers at any noise level from networks trained on discrete DDPM times."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn

from uqrestore.operators.base import Shape
from uqrestore.problem import Problem

Schedule: TypeAlias = Literal["linear", "scaled_linear", "cosine"]
Prediction: TypeAlias = Literal["epsilon", "v"]

# Tolerance, in log sigma, at the ends of the table: levels are float32.
ROUNDING = 1e-5


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


class DiscreteDenoiser(nn.Module):
    r"""A DDPM network as a denoiser.

    With :math:`\sigma_t^2 = (1 - \bar\alpha_t) / \bar\alpha_t`, the network is evaluated at
    :math:`x / \sqrt{1 + \sigma^2}` and at the time whose table entry is ``sigma``, interpolated in
    :math:`\log \sigma`; its output gives

    .. math::
        D = x - \sigma \hat\epsilon, \quad\text{or}\quad
        D = \frac{x}{1 + \sigma^2} - \frac{\sigma}{\sqrt{1 + \sigma^2}} \hat v

    Args:
        network: ``network(x, time)``, or ``network(x, time, label)`` where a label is given; images
            ``(batch, channel, row, column)``, times ``(batch,)``. A result with the attribute
            ``sample``, as that of ``diffusers``, is unwrapped.
        in_shape: ``(channel, row, column)`` of one image, in [-1, 1] as the network was trained.
        betas: Variance of the noise that each time adds, such as ``make_betas("linear")``.
        prediction: Target that the network was trained to predict.

    Raises:
        ValueError: If a beta is not between 0 and 1, or ``prediction`` is unknown.

    References:
        Ho et al., "Denoising Diffusion Probabilistic Models", NeurIPS 2020. arXiv:2006.11239;
        Salimans & Ho, "Progressive Distillation", ICLR 2022, appendix D (v). arXiv:2202.00512
    """

    def __init__(
        self,
        network: Callable[..., Any],
        in_shape: Shape,
        betas: Sequence[float] | Tensor,
        *,
        prediction: Prediction = "epsilon",
    ) -> None:
        super().__init__()
        betas = torch.as_tensor(betas, dtype=torch.float64)
        if betas.ndim != 1 or len(betas) < 2 or not ((betas > 0) & (betas < 1)).all():
            raise ValueError(
                "betas must be at least two numbers between 0 and 1, one a time, got "
                f"{tuple(betas.shape)} from {float(betas.min()):g} to {float(betas.max()):g}."
            )
        if prediction not in ("epsilon", "v"):
            raise ValueError(f"a network predicts 'epsilon' or 'v', not {prediction!r}.")
        self.network, self.prediction = network, prediction
        self._in_shape = tuple(in_shape)
        alpha_bar = torch.cumprod(1 - betas, 0)
        log_sigmas = 0.5 * (torch.log1p(-alpha_bar) - alpha_bar.log())
        self.register_buffer("log_sigmas", log_sigmas, persistent=False)

    @property
    def in_shape(self) -> Shape:
        return self._in_shape

    @property
    def sigmas(self) -> Float[Tensor, " time"]:
        """Noise level of every time, in network intensity."""
        return self._table.exp()

    def time_of(self, sigma: Tensor) -> Tensor:
        """Return the times of noise levels, not rounded: the index of ``sigmas[i]`` is ``i``.

        Raises:
            ValueError: If a level lies outside the table.
        """
        table = self._table
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

    def forward(
        self,
        x_t: Tensor,
        sigma: Tensor,
        problem: Problem | None = None,
        label: Tensor | None = None,
    ) -> Tensor:
        if problem is not None:
            raise ValueError("a DDPM network takes no measurement; use a zero-shot method.")
        batch = x_t.shape[: x_t.ndim - 3]
        x = x_t.reshape(-1, *self.in_shape)
        level = torch.as_tensor(sigma, dtype=torch.float64, device=x.device)
        level = level.expand(batch).reshape(-1)
        time = self.time_of(level).to(x.dtype)
        level = level.to(x.dtype)[:, None, None, None]
        total = 1 + level**2
        scaled = x * total.rsqrt()
        more = () if label is None else (label.expand(batch).reshape(-1),)
        result = self.network(scaled, time, *more)
        output = (result if isinstance(result, Tensor) else result.sample).to(x.dtype)
        if self.prediction == "epsilon":
            clean = x - level * output
        else:
            clean = x / total - level * total.rsqrt() * output
        return clean.reshape(x_t.shape)

    @property
    def _table(self) -> Tensor:
        table = self.log_sigmas
        assert isinstance(table, Tensor)  # a buffer, which is not typed
        return table
