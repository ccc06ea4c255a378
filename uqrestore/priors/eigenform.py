"""The algebra of a covariance that is isotropic outside a few directions."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from uqrestore.operators.base import Shape
from uqrestore.priors.closed_form import expand_sigma


@dataclass(frozen=True, eq=False)
class Eigenform:
    r"""Gaussian :math:`N(\mu, V^T \mathrm{diag}(\lambda) V + \tau I)`, orthonormal rows ``V``.

    Args:
        mean: Mean, ``(*batch, *in_shape)``; given noisy images, one per image.
        basis: Orthonormal rows, float64.
        excess: Variance along them above ``tau``.
        tau: Variance everywhere else.
        in_shape: Shape of one image.
    """

    mean: Tensor
    basis: Float[Tensor, "rank pixel"]
    excess: Float[Tensor, " rank"]
    tau: float
    in_shape: Shape

    def flat(self, x: Tensor) -> Tensor:
        """Flatten images ``(*batch, *in_shape)`` to ``(*batch, pixel)``."""
        return x.flatten(x.ndim - len(self.in_shape))

    def image(self, flat: Tensor) -> Tensor:
        """Undo :meth:`flat`."""
        return flat.unflatten(-1, self.in_shape)

    def product(self, v: Tensor) -> Tensor:
        """Multiply images by the covariance."""
        return self._apply(
            v, self.excess.to(v.dtype), torch.as_tensor(self.tau, dtype=v.dtype, device=v.device)
        )

    def shrink(self, v: Tensor, sigma: Tensor | float) -> Tensor:
        r"""Multiply images by :math:`C (C + \sigma^2 I)^{-1}`."""
        level = self._level(sigma, v)
        rest = self.tau / (self.tau + level)
        total = self.excess.to(v.dtype) + self.tau
        return self._apply(v, total / (total + level) - rest, rest)

    def at_noise(self, x_t: Tensor, sigma: Tensor | float) -> "Eigenform":
        r"""Return the distribution of :math:`x_0` given :math:`x_t = x_0 + \sigma \epsilon`.

        Raises:
            ValueError: If ``sigma`` is not one noise level for the whole batch.
        """
        level = torch.as_tensor(sigma, dtype=torch.float64)
        if level.ndim:
            raise ValueError(
                f"a low-rank Gaussian conditions on images of one noise level but sigma has shape "
                f"{tuple(level.shape)}; call it once per level."
            )
        x_t = x_t.double()
        variance = float(level) ** 2
        mean = self.mean.double()
        tau = self.tau * variance / (self.tau + variance)
        total = self.excess + self.tau
        excess = total * variance / (total + variance) - tau
        mean = mean + self.shrink(x_t - mean, level)
        return Eigenform(mean, self.basis, excess, tau, self.in_shape)

    def log_prob(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        r"""Return the log density of :math:`x_0 + \sigma \epsilon` at images ``x``."""
        r = self.flat(x.double() - self.mean.double())
        rest = self.tau + self._level(sigma, x.double())
        total = self.excess + rest
        along = r @ self.basis.mT
        power = (along.square() * (1 / total - 1 / rest)).sum(-1) + (r.square() / rest).sum(-1)
        outside = (r.shape[-1] - len(self.excess)) * torch.log(2 * torch.pi * rest)
        volume = torch.log(2 * torch.pi * total).sum(-1) + outside.expand(*r.shape[:-1], 1)[..., 0]
        return -0.5 * (power + volume)

    def _level(self, sigma: Tensor | float, v: Tensor) -> Tensor:
        """``sigma^2``, to broadcast against flattened images."""
        return expand_sigma(sigma, v, v.ndim - len(self.in_shape) + 1) ** 2

    def _apply(self, v: Tensor, along: Tensor, rest: Tensor) -> Tensor:
        """Scale by ``rest`` everywhere, and by ``along`` more within the basis."""
        flat, basis = self.flat(v), self.basis.to(v.dtype)
        return self.image(rest * flat + (along * (flat @ basis.mT)) @ basis)
