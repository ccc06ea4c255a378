"""Fitted Gaussian sampling of an image and unknown parameters of its measurement together."""

import functools
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from uqrestore.diffusion._spectra import spectrum_of
from uqrestore.diffusion.denoiser import Denoiser
from uqrestore.diffusion.error_model import ErrorCovariance
from uqrestore.diffusion.wrapped import Checked
from uqrestore.methods._laplace import FRACTIONS
from uqrestore.methods._method import Method
from uqrestore.methods.fitted_gaussian import (
    TOLERANCE,
    fitted_gaussian,
    fourier_diagonal,
    levels_of,
)
from uqrestore.methods.local_laplace import COORDINATES
from uqrestore.noise import Gaussian, SampleNoise
from uqrestore.noise.base import as_like
from uqrestore.operators._cg import conjugate_gradient, expand_to
from uqrestore.operators.nonlinear.base import Linearised
from uqrestore.operators.nonlinear.uncertain import Joint, UncertainOperator
from uqrestore.problem import GeneralProblem, Problem

NEWTON, PROBES = 2, 4
"""Gauss-Newton steps of a level; random parameters from which their curvature is estimated."""


def draw_fitted_in_detail(
    problem: Problem | GeneralProblem,
    denoiser: Denoiser | Callable[..., Tensor],
    noise: SampleNoise,
    **options: Any,  # noqa: ANN401 - checked against the signature of the method
) -> tuple[Tensor, dict[str, Tensor]]:
    r"""Draw by ``fitted_gaussian``, and unknown parameters of the measurement with the image.

    At each level image and parameters together are :math:`N(D, C) \times N(0, I)`, conditioned on
    the measurement by perturb-and-solve: the residual is perturbed, and Gauss-Newton steps find
    image and parameters that explain it. That is a draw where the measurement is linear in both at
    the scale of what is left unknown, as it is at low noise; nothing corrects what is not.

    Args:
        problem: Linear, or with an ``UncertainOperator`` and Gaussian noise above 0.
        denoiser: Prior with an error model.
        noise: Random streams of the samples to draw.
        options: Those of ``fitted_gaussian``.

    Returns:
        Images; and the parameters by name with their coordinates ``theta``, none of a linear
        problem.

    Raises:
        ValueError: If the problem is none of these, or as ``fitted_gaussian``.
    """
    if isinstance(problem, Problem):
        return fitted_gaussian(problem, denoiser, noise, **options), {}
    operator, model = problem.operator, problem.noise_model
    if not isinstance(operator, UncertainOperator) or type(model) is not Gaussian:
        raise ValueError(
            f"fitted_gaussian draws parameters of a measurement with Gaussian noise, but this is "
            f"{operator.name} with {model.name} noise; choose 'local_laplace', or "
            "problem.linearise(x)."
        )
    found: dict[str, Tensor] = {}

    @functools.wraps(fitted_gaussian.function)
    def keep(*args: Any, **kwargs: Any) -> Tensor:  # noqa: ANN401 - those of the method
        images, theta = _draw(*args, **kwargs)
        found.update({**operator.values(theta), COORDINATES: theta})
        return images

    method = Method(keep, fitted_gaussian.presets, general=True)
    return method(problem, denoiser, noise, **options), found


def _draw(
    problem: GeneralProblem,
    denoiser: Denoiser,
    noise: SampleNoise,
    *,
    iterations: int = 100,
    **options: Any,  # noqa: ANN401 - of the levels
) -> tuple[Tensor, Float[Tensor, "*batch parameter"]]:
    """Return images and coordinates of parameters."""
    errors, grid = levels_of(denoiser, **options)
    denoise, joint = Checked(denoiser, "fitted_gaussian"), Joint(problem.operator)
    x = grid[0] * noise.normal(problem.in_shape, problem.y)
    theta = x.new_zeros(*noise.shape, joint.count)
    assert isinstance(problem.noise_model, Gaussian)  # as draw_fitted_in_detail requires
    std = as_like(problem.noise_model.std, x)
    weights = _image_curvature(problem)
    for sigma, sigma_next in pairwise(grid):
        mean = denoise(x, sigma)
        step = _Level(problem, joint, errors.at(sigma, mean), std, weights, iterations)
        x, theta = step.draw(mean, theta, noise)
        if sigma_next:
            x = x + sigma_next * noise.like(x)
    return x, theta


def _image_curvature(problem: GeneralProblem) -> Tensor:
    """Return the Fourier diagonal of the measurement with parameters at their centre."""
    zero = problem.y.new_zeros(*problem.problem_shape, *problem.in_shape)
    return fourier_diagonal(Problem(Linearised(problem.operator, zero), problem.y, 1.0))


class _Level:
    """Draws of image and parameters at one noise level.

    Vectors are whitened: the spectrum of the image divided by the root of ``C``, as real numbers,
    and the coordinates of the parameters.
    """

    def __init__(
        self,
        problem: GeneralProblem,
        joint: Joint,
        covariance: ErrorCovariance,
        std: Tensor,
        weights: Tensor,
        iterations: int,
    ) -> None:
        self.problem, self.joint, self.iterations = problem, joint, iterations
        self.dims, self.deep = len(problem.in_shape), len(problem.operator.out_shape)
        self.std = std if std.ndim > 1 else expand_to(std, self.deep)
        self.covariance = covariance
        pixel = covariance.std.square().mean((-2, -1), keepdim=True)
        variance = self.std.square().mean()
        self.diagonal = 1 / (1 + covariance.amplitude.square() * pixel * weights / variance)

    def draw(self, mean: Tensor, theta: Tensor, noise: SampleNoise) -> tuple[Tensor, Tensor]:
        """Return images and coordinates given those of the level before."""
        problem, joint = self.problem, self.joint
        start = mean + self.covariance.root(spectrum_of(noise.like(mean)))
        first = noise.normal((joint.count,), mean)
        y = problem.y + self.std * noise.normal(problem.operator.out_shape, problem.y)
        mask = problem.row_mask

        def residual(u: Tensor) -> Tensor:
            away = (y - joint.forward(u)) / self.std
            return away if mask is None else torch.where(mask, away, 0)

        base = self._join(start, first)
        # Far from linear, parameters go on from the level before.
        point, shift = self._join(mean, theta), base
        weight = (1 / self.std).expand_as(y)
        weight = weight if mask is None else torch.where(mask, weight, 0)
        for step in range(NEWTON):
            linear = Linearised(joint, point, weight)
            found = self._solve(linear, residual(point) + linear.forward(point - base))
            shift = self._best(residual, base, shift, found) if step else found
            point = base + self._unwhiten(shift)
        return joint.split(point)

    def _best(
        self, residual: Callable[[Tensor], Tensor], base: Tensor, shift: Tensor, found: Tensor
    ) -> Tensor:
        """Return the fraction of a step after which the perturbed problem is solved best."""

        def cost(v: Tensor) -> Tensor:
            away = residual(base + self._unwhiten(v))
            return away.flatten(away.ndim - self.deep).square().sum(-1) + v.square().sum(-1)

        best, least = shift, cost(shift)
        for fraction in FRACTIONS:
            tried = shift + fraction * (found - shift)
            value = cost(tried)
            best = torch.where((value < least)[..., None], tried, best)
            least = torch.minimum(least, value)
        return best

    def _solve(self, linear: Linearised, residual: Tensor) -> Tensor:
        """Return the whitened vector ``v`` of :math:`(I + L^T J^T J L) v = L^T J^T r`."""
        joint, generator = self.joint, torch.Generator().manual_seed(0)
        count = linear.point.shape[-1] - joint.count
        curvature = residual.new_zeros(*linear.point.shape[:-1], joint.count)
        for _ in range(PROBES if joint.count > 1 else 1):
            sign = torch.randint(0, 2, (joint.count,), generator=generator).to(residual) * 2 - 1
            probe = torch.zeros_like(linear.point)
            probe[..., count:] = sign
            curvature = curvature + sign * linear.normal(probe)[..., count:]
        curvature = curvature.clamp(min=0) / (PROBES if joint.count > 1 else 1)
        curvature = 0.5 * (curvature + curvature.mean(-1, keepdim=True))
        scale = self._whitened_diagonal(1 / (1 + curvature)).sqrt()

        def apply(v: Tensor) -> Tensor:
            inside = self._transposed(linear.normal(self._unwhiten(scale * v)))
            return scale * (scale * v + inside)

        right = scale * self._transposed(linear.adjoint(residual))
        found, _ = conjugate_gradient(apply, right, dims=1, tol=TOLERANCE, max_iter=self.iterations)
        return scale * found

    def _whitened_diagonal(self, parameters: Tensor) -> Tensor:
        image = torch.complex(self.diagonal, self.diagonal)
        return self._flat(image.expand(*parameters.shape[:-1], *image.shape[-3:]), parameters)

    def _join(self, image: Tensor, theta: Tensor) -> Tensor:
        return torch.cat([image.flatten(-self.dims), theta], -1)

    def _flat(self, spectrum: Tensor, theta: Tensor) -> Tensor:
        return torch.cat([torch.view_as_real(spectrum).flatten(-4), theta], -1)

    def _unwhiten(self, v: Tensor) -> Tensor:
        numbers, theta = v.tensor_split([v.shape[-1] - self.joint.count], -1)
        shape = (*self.diagonal.shape[-3:-2], *self.covariance.amplitude.shape[-2:], 2)
        channels = 1 if self.problem.in_shape[0] == 2 else self.problem.in_shape[0]
        spectrum = torch.view_as_complex(numbers.unflatten(-1, (channels, *shape[1:])).contiguous())
        return self._join(self.covariance.root(spectrum), theta)

    def _transposed(self, u: Tensor) -> Tensor:
        image, theta = self.joint.split(u)
        return self._flat(self.covariance.root_transposed(image), theta)
