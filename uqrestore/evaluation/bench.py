"""Problems whose posterior is known exactly, and how far a method's draws are from it.

A Gaussian field has a Gaussian posterior in closed form, so a method that is given the field's own
denoiser makes no error but its own: what is measured here is the bias of the algorithm, apart from
what a trained network adds.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from uqrestore.noise import SampleNoise
from uqrestore.operators.base import LinearOperator, Shape
from uqrestore.operators.inpainting import Inpainting
from uqrestore.operators.kernels import gaussian_kernel
from uqrestore.operators.masked_fourier import MaskedFourier
from uqrestore.operators.masks import cartesian_mask
from uqrestore.operators.matrix import Matrix
from uqrestore.operators.strided_blur import StridedBlur
from uqrestore.priors.gaussian import GaussianPrior
from uqrestore.problem import Problem, simulate


def gaussian_field(shape: Shape, *, std: float = 0.5, decay: float = 1.75) -> GaussianPrior:
    r"""Return a stationary Gaussian field with power spectrum :math:`(1 + f^2)^{-decay}`.

    Args:
        shape: ``(channel, row, column)``; channels are independent.
        std: Standard deviation of every voxel, in network units.
        decay: How fast the power falls with the frequency ``f`` in cycles an image.
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
    covariance = torch.block_diag(*[block] * channels)
    return GaussianPrior.from_covariance(torch.zeros(shape, dtype=torch.float64), covariance)


MakeOperator = Callable[[Shape, torch.Generator], LinearOperator]


def _missing_half(shape: Shape, generator: torch.Generator) -> LinearOperator:
    seen = torch.rand(shape[-2:], generator=generator) < 0.5
    return Inpainting(seen.expand(shape).double())


def _fourier(shape: Shape, generator: torch.Generator) -> LinearOperator:
    sides = (shape[-2], shape[-1])
    mask = cartesian_mask(sides, acceleration=4, center_lines=2, generator=generator)
    return MaskedFourier(mask, channels=1)


def _dense(shape: Shape, generator: torch.Generator) -> LinearOperator:
    pixels = torch.Size(shape).numel()
    rows = torch.randn(pixels // 4, pixels, generator=generator, dtype=torch.float64)
    return Matrix(rows / rows.norm(dim=-1, keepdim=True), shape)


def _blur(shape: Shape, generator: torch.Generator) -> LinearOperator:  # noqa: ARG001 - no chance
    side = min(shape[-2:])
    return StridedBlur(gaussian_kernel((side - 1, side - 1), 1.0).double(), 2, shape)


OPERATORS: Mapping[str, MakeOperator] = {
    "inpainting": _missing_half,
    "masked_fourier": _fourier,
    "strided_blur": _blur,
    "matrix": _dense,
}
"""In-painting 50 %, k-space 4x, strided blur, dense 25 %."""


@dataclass(frozen=True)
class Score:
    """How far the draws of a method are from the exact posterior, on one kind of operator.

    Attributes:
        mean_error: Root mean square error of the mean of the draws, in posterior standard
            deviations along the posterior's principal directions.
        mean_error_floor: What exact draws would get, ``1 / sqrt(draws)``.
        variance_ratio: Total variance of the draws over that of the posterior; 1 is right.
        coverage_90: Share of true coefficients inside the central 90 % of the draws.
        residual: Largest ``||A x - y|| / ||y||`` of a draw.
        calls: Network calls.
    """

    mean_error: float
    mean_error_floor: float
    variance_ratio: float
    coverage_90: float
    residual: float
    calls: int


class Counting:
    """A denoiser that counts its calls and is otherwise itself.

    Args:
        denoiser: The denoiser.
    """

    def __init__(self, denoiser: Any) -> None:  # noqa: ANN401 - anything callable like one
        self.denoiser, self.calls = denoiser, 0
        self.in_shape: Shape = denoiser.in_shape

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self.denoiser, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:  # noqa: ANN401
        """Denoise and count."""
        self.calls += 1
        return self.denoiser(*args, **kwargs)


def measure(
    method: Callable[..., Tensor],
    operator: str,
    *,
    shape: Shape = (1, 16, 16),
    noise_std: float = 0.0,
    truths: int = 8,
    draws: int = 64,
    seed: int = 0,
    **options: Any,  # noqa: ANN401 - the method's own
) -> Score:
    """Run a method on a Gaussian field with the field's own denoiser and score its draws.

    Args:
        method: As in ``uqrestore.methods``.
        operator: A name of ``OPERATORS``.
        shape: Image shape.
        noise_std: Measurement noise, in network units.
        truths: Images restored; each has an operator of its own.
        draws: Posterior samples an image.
        seed: Of truths, operators, noise and draws.
        options: Options of the method.
    """
    prior = gaussian_field(shape)
    counting = Counting(prior)
    mean, variance, inside, residual = [], [], [], 0.0
    for i in range(truths):
        generator = torch.Generator().manual_seed(1000 * seed + i)
        known = OPERATORS[operator](shape, generator)
        truth = prior.draw(SampleNoise(seed, [0], scan=1, slices=i))[0]
        noise = SampleNoise(seed, [0], scan=2, slices=i)
        problem = simulate(known, truth, noise_std=noise_std, noise=noise)
        images = method(problem, counting, SampleNoise(seed, range(draws), slices=i), **options)
        along, spread, true = _coefficients(prior, problem, images, truth)
        mean.append((along.mean(0) / spread).square().mean())
        variance.append(along.var(0).sum() / spread.square().sum())
        low, high = np.quantile(along.numpy(), [0.05, 0.95], axis=0, method="weibull")
        inside.append(float(np.mean((true.numpy() >= low) & (true.numpy() <= high))))
        gap = (known(images) - problem.y).flatten(1).norm(dim=1) / problem.y.norm()
        residual = max(residual, float(gap.max()))
    return Score(
        mean_error=float(torch.stack(mean).mean().sqrt()),
        mean_error_floor=draws**-0.5,
        variance_ratio=float(torch.stack(variance).mean()),
        coverage_90=float(np.mean(inside)),
        residual=residual,
        calls=counting.calls // truths,
    )


def _coefficients(
    prior: GaussianPrior, problem: Problem, images: Tensor, truth: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return draws and truth about the exact mean, along the directions that are not known."""
    posterior = prior.posterior(problem)
    assert isinstance(posterior, GaussianPrior)  # as the posterior of one is
    open_ = posterior.variances > 1e-6 * prior.variances.max()
    basis, spread = posterior.directions[:, open_], posterior.variances[open_].sqrt()
    centred = (images - posterior.mean).flatten(1) @ basis
    return centred, spread, (truth - posterior.mean).flatten() @ basis
