"""Gaussian model of images as a value, and the linear MMSE estimate under it."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from uqrestore.operators._cg import conjugate_gradient, expand_to
from uqrestore.operators.base import LinearOperator, Shape
from uqrestore.problem import Problem

Estimate = TypeVar("Estimate", bound=Callable[..., Any])

FLOOR = 3e-4
"""Variance of what the model does not describe, as a share of a unit image."""
RESIDUAL = 1e-14
"""Residual, as a share of the right-hand side, at which conjugate gradients stop."""
MIN_STD = 0.02
"""Lower bound on the standard deviation of a pixel, as a share of the largest."""


def in_double(estimate: Estimate) -> Estimate:
    """Run a function of ``(estimator, problem, ...)`` in float64, outside autocast.

    Many conjugate gradient steps amplify rounding: in float32 an estimate from k-space moved by
    1e-4 of the range with the number of images that were estimated together, even with residuals
    kept orthogonal. An estimator in training stays in float32: the fewer steps of a training move
    by 1e-5, and float64 would cost a third of the throughput. Nothing is recorded for autograd;
    the result is of the type of the measurement.
    """

    @functools.wraps(estimate)
    @torch.no_grad()
    def run(estimator: nn.Module, problem: Problem, *args: object, **options: object) -> Tensor:
        y = problem.y
        if not estimator.training and y.device.type != "mps":  # which has no float64
            problem = problem.to(torch.float64)
        with torch.autocast(y.device.type, enabled=False):
            return estimate(estimator, problem, *args, **options).to(y.dtype.to_real())

    return cast(Estimate, run)


@dataclass(frozen=True, eq=False)
class GaussianModel:
    r"""Images :math:`\mu + L z` of white :math:`z`, :math:`L = [B R, diag(s) F^{-1} S^{1/2} F]`.

    Attributes:
        mean: Shape ``(*problem, channel, row, column)``, or without the problems.
        basis: Principal directions times their standard deviations, ``(rank, pixel)``.
        std: Standard deviation of the remainder in every pixel, ``(channel, row, column)``.
        spectrum: Power spectrum of the remainder, as ``torch.fft.rfft2`` lays it out.
        root: :math:`R`, a square root of the covariance of the coefficients of the basis, shape
            ``(*problem, rank, rank)``; None: they are white.
    """

    mean: Tensor
    basis: Tensor
    std: Tensor
    spectrum: Tensor
    root: Tensor | None = None

    def to(self, dtype: torch.dtype) -> "GaussianModel":
        """Return the model in another floating-point type."""
        root = None if self.root is None else self.root.to(dtype)
        mean, basis, std = (t.to(dtype) for t in (self.mean, self.basis, self.std))
        return GaussianModel(mean, basis, std, self.spectrum.to(dtype), root)

    @property
    def coefficients(self) -> int:
        """Length of ``z``."""
        return len(self.basis) + self.std.numel()

    def synthesise(self, z: Float[Tensor, "*batch coefficient"]) -> Tensor:
        """Apply ``L``."""
        wide, fine = z.tensor_split([len(self.basis)], dim=-1)
        if self.root is not None:
            wide = (self.root @ wide[..., None])[..., 0]
        fine = filtered(fine.unflatten(-1, self.std.shape), self.spectrum.sqrt())
        return (wide @ self.basis).unflatten(-1, self.std.shape) + self.std * fine

    def analyse(self, x: Float[Tensor, "*batch channel row column"]) -> Tensor:
        """Apply ``L^T``."""
        wide = x.flatten(-3) @ self.basis.mT
        if self.root is not None:
            wide = (self.root.mT @ wide[..., None])[..., 0]
        fine = filtered(self.std * x, self.spectrum.sqrt()).flatten(-3)
        return torch.cat([wide, fine], -1)


def linear_estimate(
    model: GaussianModel, problem: Problem, y: Tensor, steps: int
) -> Float[Tensor, "*batch channel row column"]:
    """Return the linear MMSE estimate of images, approximately.

    Args:
        model: Of the images, in the type of the measurements.
        problem: Operators and noise levels.
        y: Measurements ``(*more, *problem, *out_shape)``.
        steps: Conjugate gradient steps.
    """
    operator = problem.operator
    mean = model.mean.expand(*problem.problem_shape, *problem.in_shape)
    residual = model.analyse(_back(problem, y - operator.forward(mean)))
    return mean + model.synthesise(solve(model, problem, residual, steps))


def solve(model: GaussianModel, problem: Problem, b: Tensor, steps: int) -> Tensor:
    r"""Return ``z`` of :math:`(L^T A' A L + v) z = b`, approximately.

    With noise, :math:`A'` is the transpose and :math:`v` the variance of the noise. Without noise,
    :math:`v` stands for what the model does not describe, which is white in the image and not in
    the measurement: :math:`A'` is then the pseudo-inverse, so that small singular values of a blur
    count as much as large ones.
    """
    operator = problem.operator
    variance = _variance(problem, b)

    def system(z: Tensor) -> Tensor:
        seen = _back(problem, operator.forward(model.synthesise(z)))
        return model.analyse(seen) + variance * z

    return solve_system(system, b, dims=1, steps=steps)


def solve_system(system: Callable[[Tensor], Tensor], b: Tensor, *, dims: int, steps: int) -> Tensor:
    """Return what so many conjugate gradient steps give, whatever else is in the batch."""
    found, _ = conjugate_gradient(
        system, b, dims=dims, tol=RESIDUAL, max_iter=steps, reorthogonalise=True
    )
    return found


def normal(problem: Problem, x: Tensor) -> Tensor:
    """Return ``A' A x`` of images ``(*more, *problem, channel, row, column)``."""
    return _back(problem, problem.operator.forward(x))


def _back(problem: Problem, y: Tensor) -> Tensor:
    """Return ``A' y``."""
    noise_free = _noise_free(problem, y)
    if noise_free.all():
        return problem.operator.pinv(y)
    adjoint = problem.operator.adjoint(y)
    if not noise_free.any():
        return adjoint
    chosen = expand_to(noise_free, len(problem.in_shape))
    return torch.where(chosen, problem.operator.pinv(y), adjoint)


def _variance(problem: Problem, like: Tensor) -> Tensor:
    noise_free = _noise_free(problem, like)
    if noise_free.all():
        return like.new_tensor(FLOOR)
    std = problem.noise_std_as(like)
    noisy = std.square() + FLOOR * strength(problem.operator, like)
    return expand_to(torch.where(noise_free, FLOOR, noisy), 1)


def _noise_free(problem: Problem, like: Tensor) -> Tensor:
    """Return which problems have no noise, where the pseudo-inverse is a closed form."""
    std = torch.as_tensor(problem.noise_std, device=like.device)
    return (std == 0) & problem.operator.exact_pinv


class SpectralModel(nn.Module):
    r"""Mean, standard deviations and power spectrum of images, stored with the weights.

    About the mean image, :math:`C = \operatorname{diag}(s) F^{-1} S F \operatorname{diag}(s)`.

    Args:
        image_shape: ``(channel, row, column)``.
    """

    images = 3000
    """Number of training images that it is fitted to."""

    mean: Tensor
    std: Tensor
    spectrum: Tensor

    def __init__(self, image_shape: Shape) -> None:
        super().__init__()
        self.image_shape = tuple(image_shape)
        channels, rows, columns = image_shape
        self.register_buffer("mean", torch.zeros(image_shape))
        self.register_buffer("std", torch.ones(image_shape))
        self.register_buffer("spectrum", torch.ones(channels, rows, columns // 2 + 1))

    def fit_spectrum(self, centred: Float[Tensor, "image channel row column"]) -> None:
        """Set standard deviations and spectrum from images about their mean."""
        std = centred.square().mean(0).sqrt()
        self.std.copy_(std.clamp(min=MIN_STD * float(std.max())))
        power = torch.fft.rfft2(centred / self.std, norm="ortho").abs().square().mean(0)
        self.spectrum.copy_(power)


def strength(operator: LinearOperator, like: Tensor) -> Float[Tensor, " *problem"]:
    """Return the mean square of the singular values of each problem, by one random probe."""
    probe = torch.randn(operator.in_shape, generator=torch.Generator().manual_seed(0)).to(like)
    dims = tuple(range(-len(operator.out_shape), 0))
    rank = operator.rank()
    if rank is None:
        rank = torch.full(operator.problem_shape, probe.numel(), device=probe.device)
    measured = operator.forward(probe.expand(*operator.problem_shape, *operator.in_shape))
    return measured.abs().square().sum(dims) / rank.to(probe.device).clamp(min=1)


def filtered(x: Float[Tensor, "*batch channel row column"], gain: Tensor) -> Tensor:
    """Multiply the spectrum of images by a gain, as ``torch.fft.rfft2`` lays it out."""
    return torch.fft.irfft2(torch.fft.rfft2(x, norm="ortho") * gain, s=x.shape[-2:], norm="ortho")
