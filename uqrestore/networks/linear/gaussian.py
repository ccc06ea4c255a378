"""A Gaussian law of images as a value, and the linear estimate under it."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from uqrestore.operators._cg import conjugate_gradient, expand_to
from uqrestore.operators.base import LinearOperator, Shape
from uqrestore.problem import Problem

FLOOR = 3e-4
"""Variance of what a law does not know, as a share of a unit image."""


@dataclass(frozen=True, eq=False)
class GaussianModel:
    r"""Images :math:`\mu + L z` of white :math:`z`, :math:`L = [B, diag(s) F^{-1} S^{1/2} F]`.

    Attributes:
        mean: Shape ``(*problem, channel, row, column)``, or without the problems.
        basis: Widest directions times their standard deviations, ``(rank, pixel)``.
        std: Standard deviations of what these leave, ``(channel, row, column)``.
        spectrum: Its power spectrum, as ``torch.fft.rfft2`` lays it out.
        turn: Square root of the covariance of the coefficients of the basis, of each problem, shape
            ``(*problem, rank, rank)``; None: they are white.
    """

    mean: Tensor
    basis: Tensor
    std: Tensor
    spectrum: Tensor
    turn: Tensor | None = None

    @property
    def coefficients(self) -> int:
        """The length of ``z``."""
        return len(self.basis) + self.std.numel()

    def spread(self, z: Float[Tensor, "*batch coefficient"]) -> Tensor:
        """Apply ``L``."""
        wide, fine = z.tensor_split([len(self.basis)], dim=-1)
        if self.turn is not None:
            wide = (self.turn @ wide[..., None])[..., 0]
        fine = filtered(fine.unflatten(-1, self.std.shape), self.spectrum.sqrt())
        return (wide @ self.basis.to(z.dtype)).unflatten(-1, self.std.shape) + self.std * fine

    def gather(self, x: Float[Tensor, "*batch channel row column"]) -> Tensor:
        """Apply ``L^T``."""
        wide = x.flatten(-3) @ self.basis.to(x.dtype).mT
        if self.turn is not None:
            wide = (self.turn.mT @ wide[..., None])[..., 0]
        fine = filtered(self.std * x, self.spectrum.sqrt()).flatten(-3)
        return torch.cat([wide, fine], -1)


def linear_estimate(
    law: GaussianModel, problem: Problem, y: Tensor, steps: int
) -> Float[Tensor, "*batch channel row column"]:
    """Return the linear MMSE estimate of a measurement, by so many conjugate gradients.

    Args:
        law: Of the images.
        problem: The operators and noise levels.
        y: Measurements ``(*more, *problem, *out_shape)``.
        steps: Each brings the estimate nearer, so few are of use.
    """
    operator = problem.operator
    mean = law.mean.to(y.dtype.to_real()).expand(*problem.problem_shape, *problem.in_shape)
    left = law.gather(_back(problem, y - operator.forward(mean)))
    return mean + law.spread(solve(law, problem, left, steps))


def solve(law: GaussianModel, problem: Problem, b: Tensor, steps: int) -> Tensor:
    r"""Return ``z`` of :math:`(L^T A' A L + v) z = b`, about.

    With noise :math:`A'` is the transpose and :math:`v` the variance of the noise. Without, what
    the law does not know is all there is, white in the image and not in the measurement: then
    :math:`A'` is the pseudo-inverse, and singular values of a blur, however small, no longer
    count.
    """
    operator = problem.operator
    variance = _variance(problem, b)

    def system(z: Tensor) -> Tensor:
        return law.gather(_back(problem, operator.forward(law.spread(z)))) + variance * z

    enough = DONE * torch.finfo(b.dtype).eps
    found, _ = conjugate_gradient(system, b, dims=1, tol=enough, max_iter=steps)
    return found


def seen(problem: Problem, x: Tensor) -> Tensor:
    """Return ``A' A x`` of images ``(*more, *problem, channel, row, column)``."""
    return _back(problem, problem.operator.forward(x))


def _back(problem: Problem, y: Tensor) -> Tensor:
    """Return ``A' y``."""
    quiet = _quiet(problem, y)
    if quiet.all():
        return problem.operator.pinv(y)
    adjoint = problem.operator.adjoint(y)
    if not quiet.any():
        return adjoint
    return torch.where(expand_to(quiet, len(problem.in_shape)), problem.operator.pinv(y), adjoint)


def _variance(problem: Problem, like: Tensor) -> Tensor:
    quiet = _quiet(problem, like)
    if quiet.all():
        return like.new_tensor(FLOOR)
    std = torch.as_tensor(problem.noise_std, dtype=like.dtype, device=like.device)
    noisy = std.square() + FLOOR * strength(problem.operator, like)
    return expand_to(torch.where(quiet, FLOOR, noisy), 1)


def _quiet(problem: Problem, like: Tensor) -> Tensor:
    """Return which problems have no noise, where the pseudo-inverse is a closed form."""
    std = torch.as_tensor(problem.noise_std, device=like.device)
    return (std == 0) & problem.operator.exact_pinv


FAINT = 0.02
"""Least standard deviation of a pixel, as a share of the largest."""
DONE = 10
"""Residual, as a share of the first and in units of rounding, at which a problem is solved."""


class SpectralModel(nn.Module):
    r"""What both linear guesses know of images, fitted to them and stored with the weights.

    Away from the mean image, :math:`C = \operatorname{diag}(s) F^{-1} S F \operatorname{diag}(s)`.

    Args:
        image_shape: ``(channel, row, column)``.
    """

    images = 3000
    """How many training images to fit it to."""

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
        """Take standard deviations and spectrum from images about their mean."""
        std = centred.square().mean(0).sqrt()
        self.std.copy_(std.clamp(min=FAINT * float(std.max())))
        power = torch.fft.rfft2(centred / self.std, norm="ortho").abs().square().mean(0)
        self.spectrum.copy_(power)


def strength(operator: LinearOperator, like: Tensor) -> Float[Tensor, " *problem"]:
    """Return the mean square of the singular values of each problem, about."""
    probe = torch.randn(operator.in_shape, generator=torch.Generator().manual_seed(0)).to(like)
    dims = tuple(range(-len(operator.out_shape), 0))
    rank = operator.rank()
    if rank is None:
        rank = torch.full(operator.problem_shape, probe.numel())
    seen = operator.forward(probe.expand(*operator.problem_shape, *operator.in_shape))
    return seen.abs().square().sum(dims) / rank.to(probe.device).clamp(min=1)


def filtered(x: Float[Tensor, "*batch channel row column"], gain: Tensor) -> Tensor:
    """Multiply the spectrum of images by a gain, as ``torch.fft.rfft2`` lays it out."""
    return torch.fft.irfft2(torch.fft.rfft2(x, norm="ortho") * gain, s=x.shape[-2:], norm="ortho")
