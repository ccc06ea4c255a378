"""Gaussian priors with a dense covariance, exact in every respect."""

import functools
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from uqrestore.noise import SampleNoise
from uqrestore.operators.base import Shape
from uqrestore.priors.closed_form import ClosedForm, expand_sigma
from uqrestore.priors.dense import double, matrix_of
from uqrestore.problem import Problem

# Singular values below this share of the largest are rounding, not measurements.
RANK_TOL = 1e-12


@dataclass(frozen=True, eq=False)
class GaussianPrior(ClosedForm):
    r"""Images :math:`x \sim N(\mu, V \mathrm{diag}(\lambda) V^T)`, kept in float64.

    A posterior is again a GaussianPrior, with the batch of problems in front: ``mean``
    ``(*problem, *in_shape)``; directions and variances may omit the batch where they
    are the same for every problem. For up to about two thousand voxels; beyond that, see
    :class:`~uqrestore.priors.low_rank.LowRankGaussian`.

    Args:
        mean: Mean image, in network intensity.
        directions: Orthonormal eigenvectors of the covariance, as columns.
        variances: Eigenvalues of the covariance, at least 0.
        in_shape: Shape of one image.

    References:
        Bishop, "Pattern Recognition and Machine Learning", 2006,
        eq. 2.113-2.117.
    """

    mean: Float[Tensor, "*mean_shape"]
    directions: Float[Tensor, "*problem pixel rank"]
    variances: Float[Tensor, "*problem rank"]
    in_shape: Shape

    @classmethod
    def from_covariance(
        cls, mean: Float[Tensor, "*in_shape"], covariance: Float[Tensor, "pixel pixel"]
    ) -> "GaussianPrior":
        """Diagonalise a covariance over flattened images.

        Raises:
            ValueError: If the covariance does not fit the mean or is not positive semi-definite.
        """
        pixels = mean.numel()
        if tuple(covariance.shape) != (pixels, pixels):
            raise ValueError(
                f"the covariance has shape {tuple(covariance.shape)} but a mean of shape "
                f"{tuple(mean.shape)} needs ({pixels}, {pixels})."
            )
        variances, directions = torch.linalg.eigh(covariance.double())
        if variances[0] < -1e-8 * variances[-1].abs():
            raise ValueError(
                f"the covariance has the eigenvalue {variances[0]:.3g}; a covariance is symmetric "
                "and has none below 0."
            )
        return cls(mean.double(), directions, variances.clamp(min=0), tuple(mean.shape))

    @functools.cached_property
    def covariance(self) -> Float[Tensor, "*problem pixel pixel"]:
        """Covariance of the flattened images."""
        return (self.directions * self.variances[..., None, :]) @ self.directions.mT

    @functools.cached_property
    def std(self) -> Tensor:  # type: ignore[override]
        power = self.directions.square() * self.variances[..., None, :]
        std = power.sum(-1).sqrt().unflatten(-1, self.in_shape)
        return std.expand(torch.broadcast_shapes(std.shape, self.mean.shape))

    def denoise(self, x_t: Tensor, sigma: Tensor | float) -> Tensor:
        share = self._share(sigma, x_t.ndim)
        return self._spectral(x_t - self.mean, share, x_t.dtype, self.mean)

    def jacobian_product(self, x_t: Tensor, sigma: Tensor | float, v: Tensor) -> Tensor:
        return self._spectral(v, self._share(sigma, x_t.ndim), v.dtype)

    def covariance_product(self, v: Tensor) -> Tensor:
        return self._spectral(v, self.variances, v.dtype)

    def flow(self, x_t: Tensor, sigma: float) -> Tensor:
        """Return the end point at noise 0 of the probability-flow ODE from ``x_t`` at ``sigma``."""
        share = self._share(sigma, x_t.ndim).sqrt()
        return self._spectral(x_t - self.mean, share, x_t.dtype, self.mean)

    def draw(self, noise: SampleNoise) -> Tensor:
        # The symmetric root: signs and rotations of eigenvectors, which differ between processors,
        # leave the draws as they are.
        white = noise.normal(self.in_shape, self.mean)
        return self._spectral(white, self.variances.sqrt(), self.mean.dtype, self.mean)

    def components(self, k: int) -> tuple[Tensor, Tensor]:
        order = self.variances.argsort(dim=-1, descending=True)[..., :k]
        std = self.variances.gather(-1, order).sqrt()
        rows = order[..., None].expand(*order.shape, self.directions.shape[-2])
        directions = self.directions.mT.gather(-2, rows).unflatten(-1, self.in_shape)
        lead = self.mean.shape[: self.mean.ndim - len(self.in_shape)]
        return (
            directions.expand(*lead, k, *self.in_shape),
            std.expand(*lead, k),
        )

    def log_prob(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        level = expand_sigma(sigma, self.mean, x.ndim - len(self.in_shape) + 1)
        total = self.variances + level**2
        kept = total > RANK_TOL * self.variances.amax(-1, keepdim=True)
        along = self._coefficients(x.to(self.mean) - self.mean)
        safe = torch.where(kept, total, 1)
        terms = along.square() / safe + torch.log(2 * torch.pi * safe)
        return -0.5 * torch.where(kept, terms, 0).sum(-1)

    def condition(self, problem: Problem) -> "GaussianPrior":
        problem = double(problem)
        left, s, right = self._measured_root(problem)
        variance, resolved = self._noise_variance(problem, s)
        gain = torch.where(resolved, s / (s.square() + variance), 0)
        kept = torch.where(resolved, (variance / (s.square() + variance)).sqrt(), 1)

        seen = torch.einsum("...ij,...i->...j", left, self._residual(problem))
        root = self._root
        step = torch.einsum("...ij,...j->...i", root @ right, gain * seen)
        # The posterior in the coordinates where the prior is white: I - W diag(1 - kept) W^T,
        # a square root of the posterior covariance that is positive by construction.
        root = root - (root @ right * (1 - kept)[..., None, :]) @ right.mT
        directions, std, _ = torch.linalg.svd(root, full_matrices=False)
        mean = self.mean + step.unflatten(-1, self.in_shape)
        return GaussianPrior(mean, directions, std.square(), self.in_shape)

    def log_evidence(self, problem: Problem) -> Tensor:
        problem = double(problem)
        left, s, _ = self._measured_root(problem)
        variance, resolved = self._noise_variance(problem, s)
        residual = self._residual(problem)
        seen = torch.einsum("...ij,...i->...j", left, residual)
        total = torch.where(resolved, s.square() + variance, 1)
        inside = torch.where(resolved, seen.square() / total + torch.log(2 * torch.pi * total), 0)
        value = -0.5 * inside.sum(-1)
        if problem.is_noisy:
            noise = problem.noise_std_as(residual) ** 2
            outside = residual.square().sum(-1) - (seen.square() * resolved).sum(-1)
            rest = problem.operator.measured_rows() - resolved.sum(-1)
            value = value - 0.5 * (outside / noise + rest * torch.log(2 * torch.pi * noise))
        return value

    @functools.cached_property
    def _root(self) -> Tensor:
        return self.directions * self.variances.sqrt()[..., None, :]

    def _measured_root(self, problem: Problem) -> tuple[Tensor, Tensor, Tensor]:
        """Return the SVD of the operator on images whose prior is white."""
        left, s, right = torch.linalg.svd(
            matrix_of(problem.operator) @ self._root, full_matrices=False
        )
        return left, s, right.mT

    def _noise_variance(self, problem: Problem, s: Tensor) -> tuple[Tensor, Tensor]:
        variance = problem.noise_std_as(s)[..., None] ** 2
        resolved = s > RANK_TOL * s.amax(-1, keepdim=True)
        return variance.expand(torch.broadcast_shapes(variance.shape, s.shape)), resolved

    def _residual(self, problem: Problem) -> Tensor:
        start = problem.y.ndim - len(problem.operator.out_shape)
        mean = self.mean.expand(*problem.problem_shape, *self.in_shape)
        return (problem.y - problem.operator.forward(mean)).flatten(start)

    def _share(self, sigma: Tensor | float, ndim: int) -> Tensor:
        """Wiener factor of each direction, ``lambda / (lambda + sigma^2)``."""
        level = expand_sigma(sigma, self.mean, ndim - len(self.in_shape) + 1)
        total = self.variances + level**2
        return torch.where(total > 0, self.variances / torch.where(total > 0, total, 1), 0)

    def _coefficients(self, x: Tensor) -> Tensor:
        flat = x.flatten(x.ndim - len(self.in_shape))
        if self.directions.ndim == 2:
            return flat @ self.directions
        return torch.einsum("...ij,...i->...j", self.directions, flat)

    def _spectral(
        self, x: Tensor, weight: Tensor, dtype: torch.dtype, offset: Tensor | None = None
    ) -> Tensor:
        """Scale the coefficients of ``x``, add an image, and convert to a dtype."""
        scaled = weight * self._coefficients(x.to(self.mean.dtype))
        if self.directions.ndim == 2:
            flat = scaled @ self.directions.mT
        else:
            flat = torch.einsum("...ij,...j->...i", self.directions, scaled)
        image = flat.unflatten(-1, self.in_shape)
        return (image if offset is None else image + offset).to(dtype)


def gaussian_field(
    shape: Shape, *, std: float = 0.5, decay: float = 1.75, correlation: float = 0.8
) -> GaussianPrior:
    r"""Return a stationary Gaussian field with power spectrum :math:`(1 + f^2)^{-decay}`.

    Args:
        shape: ``(channel, row, column)``.
        std: Standard deviation of every voxel, in network units.
        decay: How fast the power falls with the frequency ``f`` in cycles an image.
        correlation: Between the same voxel of two channels.
    """
    channels, rows, columns = shape
    f = torch.hypot(
        torch.fft.fftfreq(rows, 1 / rows, dtype=torch.float64)[:, None],
        torch.fft.fftfreq(columns, 1 / columns, dtype=torch.float64)[None],
    )
    kernel = torch.fft.ifft2((1 + f**2) ** -decay).real
    kernel = std**2 * kernel / kernel[0, 0]
    at = torch.cartesian_prod(torch.arange(rows), torch.arange(columns))
    gap = at[:, None] - at[None]
    block = kernel[gap[..., 0] % rows, gap[..., 1] % columns]
    between = torch.full((channels, channels), correlation, dtype=torch.float64)
    between.fill_diagonal_(1.0)
    covariance = torch.kron(between, block)
    return GaussianPrior.from_covariance(torch.zeros(shape, dtype=torch.float64), covariance)
