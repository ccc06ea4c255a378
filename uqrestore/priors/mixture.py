"""Gaussian mixture priors, whose posteriors have several modes."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from uqrestore.noise import SampleNoise
from uqrestore.operators.base import Shape
from uqrestore.priors.closed_form import ClosedForm, expand_sigma
from uqrestore.priors.dense import top_eigenpairs
from uqrestore.problem import Problem


@dataclass(frozen=True, eq=False)
class GaussianMixture(ClosedForm):
    r"""Images :math:`x \sim \sum_k w_k N(\mu_k, S_k)`, with any Gaussian priors as modes.

    Use dense modes for small images, low-rank ones for large; a posterior is again a mixture, whose
    weights have the batch of problems after the mode.

    Args:
        weights: Positive weights of the modes, ``(mode, *problem)``, normalised to sum 1.
        modes: One prior per weight.

    Raises:
        ValueError: If the weights do not fit the modes or are not positive.

    References:
        Sorenson & Alspach, "Recursive Bayesian estimation using Gaussian sums", Automatica
        7:465-479, 1971, section 3.
    """

    weights: Float[Tensor, " mode *problem"]
    modes: Sequence[ClosedForm]

    def __post_init__(self) -> None:
        if len(self.weights) != len(self.modes) or not self.modes:
            raise ValueError(
                f"a mixture needs one weight per mode but there are {len(self.weights)} weights "
                f"for {len(self.modes)} modes."
            )
        if not (self.weights >= 0).all() or not (self.weights.sum(0) > 0).all():
            raise ValueError(
                f"the weights of a mixture are at least 0 and not all 0, got "
                f"{self.weights.tolist()}."
            )
        weights = self.weights.double()
        object.__setattr__(self, "weights", weights / weights.sum(0))

    @property
    def in_shape(self) -> Shape:  # type: ignore[override]
        return self.modes[0].in_shape

    @functools.cached_property
    def mean(self) -> Tensor:  # type: ignore[override]
        return (self._image_weights * self._means).sum(0)

    @functools.cached_property
    def std(self) -> Tensor:  # type: ignore[override]
        spread = (self._means - self.mean).square()
        variance = torch.stack([mode.std.double().square() for mode in self.modes])
        return (self._image_weights * (variance + spread)).sum(0).sqrt()

    def responsibilities(
        self, x_t: Tensor, sigma: Tensor | float
    ) -> Float[Tensor, " mode *batch_problem"]:
        r"""Return the probability of each mode given :math:`x_t`."""
        density = torch.stack([mode.log_prob(x_t, sigma) for mode in self.modes])
        return torch.softmax(density + self._log_weights(density.ndim), dim=0)

    def denoise(self, x_t: Tensor, sigma: Tensor | float) -> Tensor:
        share = self.responsibilities(x_t, sigma).to(x_t.dtype)
        out = torch.zeros_like(x_t)
        for r, mode in zip(share, self.modes, strict=True):
            out = out + self._to_images(r) * mode.denoise(x_t, sigma)
        return out

    def jacobian_product(self, x_t: Tensor, sigma: Tensor | float, v: Tensor) -> Tensor:
        level = expand_sigma(sigma, x_t, x_t.ndim)
        share = self.responsibilities(x_t, sigma).to(x_t.dtype)
        means = torch.stack([mode.denoise(x_t, sigma) for mode in self.modes])
        spread = means - self._to_images(share).mul(means).sum(0)
        dims = tuple(range(-len(self.in_shape), 0))
        out = torch.zeros_like(v)
        for r, mode, away in zip(share, self.modes, spread, strict=True):
            along = (away * v).sum(dims, keepdim=True) / level**2
            out = out + self._to_images(r) * (mode.jacobian_product(x_t, sigma, v) + along * away)
        return out

    def log_prob(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        density = torch.stack([mode.log_prob(x, sigma) for mode in self.modes])
        return torch.logsumexp(density + self._log_weights(density.ndim), dim=0)

    def log_evidence(self, problem: Problem) -> Tensor:
        density = torch.stack([mode.log_evidence(problem) for mode in self.modes])
        return torch.logsumexp(density + self._log_weights(density.ndim), dim=0)

    def condition(self, problem: Problem) -> "GaussianMixture":
        density = torch.stack([mode.log_evidence(problem) for mode in self.modes])
        weights = torch.softmax(density + self._log_weights(density.ndim), dim=0)
        return GaussianMixture(weights, [mode.posterior(problem) for mode in self.modes])

    def covariance_product(self, v: Tensor) -> Tensor:
        dims = tuple(range(-len(self.in_shape), 0))
        out = torch.zeros_like(v)
        weights, away = self._image_weights.to(v.dtype), (self._means - self.mean).to(v.dtype)
        for w, mode, shift in zip(weights, self.modes, away, strict=True):
            inside = mode.covariance_product(v)
            out = out + w * (inside + (shift * v).sum(dims, keepdim=True) * shift)
        return out

    def draw(self, noise: SampleNoise) -> Tensor:
        like = self._means
        uniform = torch.special.ndtr(noise.normal((), like))
        edges = self.weights.cumsum(0)
        edges = edges.reshape(len(edges), *[1] * (uniform.ndim - edges.ndim + 1), *edges.shape[1:])
        chosen = (uniform >= edges).sum(0).clamp(max=len(self.modes) - 1)
        out = None
        for k, mode in enumerate(self.modes):
            images = mode.draw(noise)
            mine = self._to_images((chosen == k).to(images.dtype))
            out = mine * images if out is None else out + mine * images
        return out  # type: ignore[return-value]

    def components(self, k: int) -> tuple[Tensor, Tensor]:
        lead = self.mean.shape[: self.mean.ndim - len(self.in_shape)]
        pixels = int(torch.Size(self.in_shape).numel())
        generator = torch.Generator().manual_seed(0)
        width = min(k + 8, pixels)
        start = torch.randn(width, *lead, pixels, generator=generator, dtype=torch.float64)

        def product(block: Tensor) -> Tensor:
            images = block.unflatten(-1, self.in_shape)
            return self.covariance_product(images).flatten(images.ndim - len(self.in_shape))

        directions, variance = top_eigenpairs(product, start, k)
        return directions.unflatten(-1, self.in_shape), variance.sqrt()

    @functools.cached_property
    def _means(self) -> Tensor:
        return torch.stack([mode.mean.double() for mode in self.modes])

    @property
    def _image_weights(self) -> Tensor:
        return self._to_images(self.weights)

    def _to_images(self, value: Tensor) -> Tensor:
        return value.reshape(*value.shape, *[1] * len(self.in_shape))

    def _log_weights(self, ndim: int) -> Tensor:
        """Log weights, with axes of the batch between the mode and the problem."""
        shape = self.weights.shape
        between = [1] * (ndim - len(shape))
        return self.weights.log().reshape(shape[0], *between, *shape[1:])
