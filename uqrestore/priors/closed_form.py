"""Image priors with exact posteriors, which follow the protocol of a trained denoiser."""

import abc
import dataclasses
import functools
import weakref
from typing import Any

import torch
from torch import Tensor

from uqrestore.noise import SampleNoise
from uqrestore.operators.base import Shape
from uqrestore.problem import Problem


class ClosedForm(abc.ABC):
    r"""An image prior whose denoiser, posterior, draws and components are known exactly.

    Called like a trained network, ``prior(x_t, sigma)`` is :math:`E[x_0 \mid x_t]` and
    ``prior(x_t, sigma, problem)`` is :math:`E[x_0 \mid x_t, y]`, where :math:`x_t = x_0 +
    \sigma \epsilon`. The posterior of a problem is again such a distribution, with the batch of
    problems in front of its moments: its denoiser is the ideal conditional denoiser, because
    :math:`x_t` and :math:`y` are independent given :math:`x_0`.

    Attributes:
        in_shape: Shape of one image, ``(channel, *space)``.
        mean: Mean image, ``(*problem, *in_shape)``.
    """

    in_shape: Shape
    mean: Tensor

    @abc.abstractmethod
    def denoise(self, x_t: Tensor, sigma: Tensor | float) -> Tensor:
        r"""Return :math:`E[x_0 \mid x_t]` for images ``(*batch, *problem, *in_shape)``."""

    @abc.abstractmethod
    def jacobian_product(self, x_t: Tensor, sigma: Tensor | float, v: Tensor) -> Tensor:
        r"""Return :math:`J v = \mathrm{Cov}[x_0 \mid x_t]\, v / \sigma^2`; ``J`` is symmetric."""

    @abc.abstractmethod
    def log_prob(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        r"""Log density of :math:`x_0 + \sigma \epsilon` at ``x``, ``(*batch, *problem)``.

        Where there is no density (a posterior without noise, at ``sigma`` 0) it is the density on
        the affine space that supports the distribution.
        """

    @abc.abstractmethod
    def log_evidence(self, problem: Problem) -> Tensor:
        """Return the log density of the measurement, ``log p(y)``, shape ``(*problem,)``."""

    @abc.abstractmethod
    def condition(self, problem: Problem) -> "ClosedForm":
        """Compute the posterior of a problem; cached by :meth:`posterior`."""

    @abc.abstractmethod
    def covariance_product(self, v: Tensor) -> Tensor:
        """Multiply images ``(*batch, *problem, *in_shape)`` by the covariance."""

    @property
    @abc.abstractmethod
    def std(self) -> Tensor:
        """Standard deviation of every voxel, ``(*problem, *in_shape)``."""

    @abc.abstractmethod
    def draw(self, noise: SampleNoise) -> Tensor:
        """Draw one exact image per stream, shape ``(*noise.shape, *in_shape)``."""

    @abc.abstractmethod
    def components(self, k: int) -> tuple[Tensor, Tensor]:
        """Return the ``k`` leading eigenvectors and the standard deviations along them.

        Returns:
            Directions ``(*problem, k, *in_shape)`` of unit norm, and ``(*problem, k)``.
        """

    def __call__(
        self,
        x_t: Tensor,
        sigma: Tensor | float,
        problem: Problem | None = None,
        label: Tensor | None = None,
    ) -> Tensor:
        """Denoise, with or without a measurement. A closed form has no classes to choose.

        Raises:
            ValueError: If a class label is given.
        """
        if label is not None:
            raise ValueError(f"{type(self).__name__} has no class labels but one was given.")
        distribution = self if problem is None else self.posterior(problem)
        return distribution.denoise(x_t, sigma)

    def posterior(self, problem: Problem) -> "ClosedForm":
        """Return the exact posterior; computed once for each problem that is still alive."""
        if problem.in_shape != self.in_shape:
            raise ValueError(
                f"{type(self).__name__} is a prior of images of shape {self.in_shape} but the "
                f"operator {problem.operator.name} acts on {problem.in_shape}."
            )
        known = self._posteriors.get(problem)
        if known is None:
            known = self._posteriors[problem] = self.condition(problem)
        return known

    def score(self, x_t: Tensor, sigma: Tensor | float, problem: Problem | None = None) -> Tensor:
        r"""Return :math:`\nabla \log p(x_t)` or :math:`\nabla \log p(x_t \mid y)`."""
        level = expand_sigma(sigma, x_t, x_t.ndim)
        return (self(x_t, sigma, problem) - x_t) / level**2

    def guidance(self, x_t: Tensor, sigma: Tensor | float, problem: Problem) -> Tensor:
        r"""Exact :math:`\nabla \log p(y \mid x_t)`, which zero-shot methods approximate."""
        return self.score(x_t, sigma, problem) - self.score(x_t, sigma)

    def to(self, device: torch.device | str) -> "ClosedForm":
        """Return the same distribution with its moments on another device."""
        return _moved(self, device)

    @functools.cached_property
    def _posteriors(self) -> "weakref.WeakKeyDictionary[Problem, ClosedForm]":
        return weakref.WeakKeyDictionary()


def _moved(value: Any, device: torch.device | str) -> Any:  # noqa: ANN401 - what fields hold
    """Return a field of a distribution, or all of it, on another device."""
    if isinstance(value, Tensor | Problem):
        return value.to(device)
    if isinstance(value, list | tuple):
        return type(value)(_moved(item, device) for item in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        found = {f.name: getattr(value, f.name) for f in dataclasses.fields(value) if f.init}
        return dataclasses.replace(value, **{k: _moved(v, device) for k, v in found.items()})
    return value


def expand_sigma(sigma: Tensor | float, like: Tensor, ndim: int) -> Tensor:
    """Return a noise level, ``()`` or ``(*batch,)``, with axes appended up to ``ndim`` of them."""
    level = torch.as_tensor(sigma, dtype=like.dtype, device=like.device)
    return level.reshape(*level.shape, *[1] * (ndim - level.ndim)) if level.ndim else level
