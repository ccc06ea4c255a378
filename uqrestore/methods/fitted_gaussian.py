"""Fitted Gaussian sampling: local Gaussian steps with a covariance measured on new images."""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from uqrestore.diffusion._spectra import spectrum_of
from uqrestore.diffusion.denoiser import Denoiser
from uqrestore.diffusion.error_model import ErrorCovariance, ErrorModel, error_model
from uqrestore.diffusion.schedules import noise_levels
from uqrestore.diffusion.wrapped import Checked
from uqrestore.methods._checks import require_range
from uqrestore.methods._method import method
from uqrestore.methods._noise_free import NOISE_FREE, row_size
from uqrestore.noise import SampleNoise
from uqrestore.operators import LinearOperator
from uqrestore.operators._cg import conjugate_gradient, expand_to
from uqrestore.problem import Problem

PROBES = 16
"""Random images from which the spectrum of ``A^T A`` is estimated, for the preconditioner."""
TOLERANCE = 0.02
"""Relative residual at which a solve stops, or the noise over what is missed at its start, where
that is smaller: then the draw explains the measurement to the noise. At 0.1 a real scan loses 8 dB:
what few samples tell of wide gaps in k-space is found last, and a structure that a high level
leaves in them stays."""
LEVEL_SHARE, FLAT = 0.1, 2.0
"""Least noise of a measurement at a level, as a share of the level, and how much the singular
values of ``A`` may differ where it applies. What is unmeasured follows from what is measured
through ``C`` alone; without this least noise solves end before it has: of one line in 4 at noise
0.002 the mean of the draws gains 15 dB, and at noise 0.05 nothing changes. Small singular values,
as of coils, would lose what they measure. Those of a real image's k-space differ by a root of 2."""
UNSOLVED = 0.25
"""Share of the noise levels whose solves may end early; those of real scans never do."""


@method(_20={"levels": 20}, _50={"levels": 50})
def fitted_gaussian(
    problem: Problem,
    denoiser: Denoiser,
    noise: SampleNoise,
    *,
    levels: int = 32,
    sigma_max: float = 1.0,
    sigma_min: float = 0.007,
    sigmas: Sequence[float] | None = None,
    iterations: int = 100,
) -> Float[Tensor, " sample *problem_and_image"]:
    r"""Draw posterior samples with one network call a noise level and no products.

    As ``local_gaussian``, with the covariance ``C`` of the prior's error model (measured on
    validation images, see :mod:`uqrestore.diffusion.error_model`) in place of the Jacobian of the
    network: at each level,

    .. math::
        e &\sim N(0, C), \quad n \sim N(0, s^2 I), \quad z \sim N(0, I) \\
        \hat x_0 &= D + e + C A^T (A C A^T + s^2 I)^{-1} (y + n - A (D + e)) \\
        x' &= \hat x_0 + \sigma' z

    so that :math:`\hat x_0` is a draw of :math:`p(x_0 \mid x, y)` where :math:`x_0 \mid x` is
    :math:`N(D, C)`. The first level is the highest of the error model, where ``C`` is the
    covariance of the images; the others have equal ratios. The solve is by conjugate gradients,
    preconditioned in the Fourier domain. A network is too certain of images unlike those that it
    was trained on, and so are draws from its Jacobian; ``C`` holds its errors on new images.

    Args:
        problem: Noisy or not, with any operator. A noise-free measurement is weighed with a small
            noise, and the draws are projected onto it.
        denoiser: Prior with an error model: ``mr-windows``, ``ct64-prior``, ``brain64-prior``, or
            a closed-form prior.
        noise: Random streams of the samples to draw.
        levels: Noise levels above 0, one network call each.
        sigma_max: Second-highest level, in network intensity.
        sigma_min: Lowest level above 0.
        sigmas: Explicit noise levels instead.
        iterations: Most iterations of each solve, one application of ``A^T A`` each.

    Returns:
        Images in network intensity; without noise, ``A x = y`` to rounding.

    Raises:
        ValueError: If an option is out of range, or the prior has no error model.

    References:
        This package. The draw is perturb-and-solve (Papandreou & Yuille, NeurIPS 2010); split
        Gaussian and denoising steps are those of Coeurdoux et al., "Plug-and-play split Gibbs
        sampler", IEEE TIP 2024. arXiv:2304.11134
    """
    require_range("fitted_gaussian", iterations=(iterations, 1, 1000))
    errors, grid = levels_of(
        denoiser, levels=levels, sigma_max=sigma_max, sigma_min=sigma_min, sigmas=sigmas
    )
    denoise, weights = Checked(denoiser, "fitted_gaussian"), fourier_diagonal(problem)
    x = grid[0] * noise.normal(problem.in_shape, problem.y)
    stopped, rows = 0, row_size(problem.operator, problem.y)
    noise_std, least = problem.noise_std_as(x), LEVEL_SHARE * _flat(problem.operator).to(x) * rows
    noise_std = torch.where(noise_std > 0, noise_std, NOISE_FREE * rows)
    for sigma, sigma_next in pairwise(grid):
        mean = denoise(x, sigma)
        covariance = errors.at(sigma, mean)
        std = torch.hypot(noise_std, sigma * least)
        x, used = _draw(problem, mean, covariance, noise, std, weights, iterations)
        stopped += used == iterations
        if sigma_next:
            x = x + sigma_next * noise.like(x)
    if stopped > UNSOLVED * (len(grid) - 1):
        warnings.warn(
            f"fitted_gaussian: solves of {stopped} of {len(grid) - 1} noise levels ended after "
            f"{iterations} iterations, so draws may be far off; give more iterations.",
            stacklevel=2,
        )
    return problem.project(x)


def levels_of(
    denoiser: Denoiser,
    *,
    levels: int = 32,
    sigma_max: float = 1.0,
    sigma_min: float = 0.007,
    sigmas: Sequence[float] | None = None,
) -> tuple[ErrorModel, list[float]]:
    """Return the error model of a prior, and the noise levels of :func:`fitted_gaussian`."""
    require_range("fitted_gaussian", levels=(levels, 2, 10_000))
    require_range("fitted_gaussian", sigma_min=(sigma_min, 1e-9, sigma_max))
    errors = error_model(denoiser)
    if errors is None:
        raise ValueError(
            "fitted_gaussian: the prior has no error model ('errors' in its card); choose another "
            "method, such as 'local_gaussian', or fit one with "
            "uqrestore.diffusion.error_model.fit_error_model."
        )
    if sigmas is None:
        ratio = (sigma_min / sigma_max) ** (1 / max(1, levels - 2))
        below = [sigma_max * ratio**i for i in range(levels - 1)]
        sigmas = [*([top] if (top := float(errors.sigmas[-1])) > sigma_max else []), *below, 0.0]
    return errors, noise_levels(levels, sigmas=sigmas)


def fourier_diagonal(problem: Problem) -> Float[Tensor, "*problem 1 row frequency"]:
    """Estimate the diagonal of ``A^T A`` in the Fourier domain, as a mean over fixed probes.

    It is exact on average; its error only affects the speed of solves.
    """
    operator = problem.operator
    probes = torch.randn(PROBES, *operator.in_shape, generator=torch.Generator().manual_seed(0))
    probes = probes.to(problem.y).reshape(
        PROBES, *[1] * len(operator.problem_shape), *operator.in_shape
    )
    probes = probes.expand(PROBES, *operator.problem_shape, *operator.in_shape)
    known, seen = spectrum_of(probes), spectrum_of(operator.normal(probes))
    diagonal = (known.conj() * seen).real.mean(0) / known.abs().square().mean(0)
    return diagonal.mean(-3, keepdim=True).clamp(0)


def _flat(operator: LinearOperator) -> Bool[Tensor, "*problem"]:
    """Return which problems have nearly one singular value, besides 0."""
    spectrum = operator.spectral()
    if spectrum is None:
        return torch.zeros(operator.problem_shape, dtype=torch.bool)
    least = torch.where(spectrum.s > 0, spectrum.s, torch.inf).amin(-1)
    return spectrum.s.amax(-1) < FLAT * least


def _draw(
    problem: Problem,
    mean: Tensor,
    covariance: ErrorCovariance,
    noise: SampleNoise,
    noise_std: Float[Tensor, "*problem"],
    weights: Tensor,
    iterations: int,
) -> tuple[Tensor, int]:
    r"""Draw from :math:`N(D, C)` conditioned on the measurement.

    With :math:`C = L L^T` and a white ``v``, the draw is :math:`D + L (z + v)` where :math:`(I +
    L^T A^T A L / s^2) v` is the back-projected residual of the perturbed problem. Its Fourier
    diagonal is split to both sides of the system. The iterations of the slowest solve come with it.
    """
    operator, dims = problem.operator, len(problem.in_shape)
    variance = expand_to(noise_std.square(), dims)
    pixel = covariance.std.square().mean((-2, -1), keepdim=True)
    diagonal = 1 / (1 + covariance.amplitude.square() * pixel * weights / variance)
    scaled = replace(covariance, amplitude=covariance.amplitude * diagonal.sqrt())

    start = mean + covariance.root(spectrum_of(noise.like(mean)))
    perturbation = noise.normal(operator.out_shape, problem.y)
    if operator.row_mask is not None:
        perturbation = perturbation * operator.row_mask
    perturbation = expand_to(noise_std, len(operator.out_shape)) * perturbation
    residual = problem.y + perturbation - operator(start)

    def apply(v: Tensor) -> Tensor:
        return diagonal * v + scaled.root_transposed(operator.normal(scaled.root(v)) / variance)

    right = scaled.root_transposed(operator.adjoint(residual) / variance)
    rows = operator.measured_rows().to(mean).clamp(min=1)
    missed = residual.flatten(-len(operator.out_shape)).square().sum(-1).div(rows).sqrt()
    tol = (noise_std / missed.clamp(min=1e-30)).clamp(max=TOLERANCE)
    found, used = conjugate_gradient(apply, right, dims=dims, tol=tol, max_iter=iterations)
    return start + scaled.root(found), used
