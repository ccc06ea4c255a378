"""DAPS: decoupled noise annealing with a Langevin draw of the clean image at every level."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from uqrestore.diffusion.denoiser import Denoiser
from uqrestore.diffusion.schedules import karras_sigmas, noise_levels
from uqrestore.diffusion.wrapped import Checked
from uqrestore.methods._checks import require_known, require_range
from uqrestore.methods._langevin import Langevin, NonlinearLangevin
from uqrestore.methods._method import method
from uqrestore.noise import Gaussian, SampleNoise
from uqrestore.noise.base import as_like
from uqrestore.problem import GeneralProblem, Problem

NOISE_FREE_TAU = 0.01
"""Noise level that the chain assumes for noise-free data, in network intensity."""


@method(
    general=True,
    published={
        "levels": 200,
        "width": "sigma",
        "ode_steps": 5,
        "tau": 0.01,
        "misfit": 2.0,
        "step_size": 1e-4,
    },
    legacy={
        "levels": 200,
        "width": "sigma",
        "ode_steps": 5,
        "tau": 0.01,
        "step_size": 1e-4,
    },
)
def daps(
    problem: Problem | GeneralProblem,
    denoiser: Denoiser,
    noise: SampleNoise,
    *,
    levels: int = 100,
    sigmas: Sequence[float] | None = None,
    width: Literal["posterior", "sigma"] = "posterior",
    ode_steps: int = 1,
    langevin_steps: int = 100,
    tau: float | None = None,
    misfit: float = 1.0,
    step_fraction: float = 0.5,
    step_size: float | None = None,
    step_decay: float = 0.01,
    data_std: float = 0.5,
) -> Float[Tensor, " sample *problem_and_image"]:
    r"""Draw images by decoupled annealing.

    At each level: an estimate :math:`\hat x_0`, then Langevin steps on :math:`p(u) \propto
    N(u; \hat x_0, r^2 I)\, N(y; A u, \tau^2 I)`, or the likelihood of any operator and noise model
    in place of the second factor, then new noise of the next level. Makes
    ``levels * ode_steps`` network calls. Where the operator has a spectral form, the end of each
    chain is drawn directly from its exact distribution; otherwise there are ``levels *
    langevin_steps`` products with ``A`` and its adjoint. On three pixels with counts or clipped
    values, against a grid, the mean is off by less than 0.1 posterior deviations, and the variance
    1.2 times the right one.

    Args:
        problem: Noisy or not, with any operator and noise.
        denoiser: Prior; only its unconditional estimate is used.
        noise: Random streams of the samples to draw.
        levels: Annealing levels, from 100 down to 0.1 as published.
        sigmas: Explicit noise levels instead, in network intensity.
        width: ``sigma`` as published: ``r = sigma`` around the end of a short probability-flow
            path. ``posterior``: :math:`r^2 = \sigma^2 v / (\sigma^2 + v)` around ``D``, which is
            exact for a white prior.
        ode_steps: Steps of the probability-flow path, with ``width="sigma"``.
        langevin_steps: Steps of the unadjusted Langevin chain.
        tau: Noise level that the chain assumes; by default that of the problem, 0.01 where it is 0.
            For Gaussian noise alone.
        misfit: Factor of the gradient of the data misfit: 1 is the posterior; the published code
            has 2.
        step_fraction: Langevin step as a fraction of ``1 / L``, the inverse curvature.
        step_size: Langevin step as published instead, falling linearly to ``step_decay`` of it.
        step_decay: Last step as a fraction of ``step_size``.
        data_std: Standard deviation of the images, the square root of ``v``.

    Returns:
        Images in network intensity.

    Raises:
        ValueError: If an option is out of range, or ``step_size`` makes the chain diverge.

    References:
        Zhang et al., "Improving Diffusion Inverse Problem Solving with Decoupled Noise
        Annealing", CVPR 2025, Algorithm 1. arXiv:2407.01521
    """
    require_known("daps", problem)
    require_range("daps", step_fraction=(step_fraction, 1e-6, 1.9), misfit=(misfit, 0, 1e6))
    require_range("daps", langevin_steps=(langevin_steps, 1, 1e6), ode_steps=(ode_steps, 1, 1000))
    if sigmas is None:
        require_range("daps", levels=(levels, 1, 100_000))
        sigmas = [*karras_sigmas(levels + 1, 0.1, 100.0)[:levels].tolist(), 0.0]
    grid = noise_levels(levels, sigmas=sigmas)
    chain = _chain(problem, tau, misfit)
    variances = [
        sigma**2 * data_std**2 / (sigma**2 + data_std**2) if width == "posterior" else sigma**2
        for sigma in grid[:-1]
    ]

    def step_at(level: int, curvature: Tensor) -> Tensor:
        curvature = 1 / variances[level] + curvature
        if step_size is None:
            return step_fraction / curvature
        fall = 1 + level / len(grid) * (step_decay - 1)
        step = torch.as_tensor(step_size * fall, device=problem.y.device)
        _require_stable(step, curvature, grid[level])
        return step

    steps: list[Tensor] = []
    if isinstance(chain, Langevin):  # known before the first call of the network
        steps = [step_at(level, chain.curvature) for level in range(len(variances))]
    denoise = Checked(denoiser, "daps")
    x = grid[0] * noise.normal(problem.in_shape, problem.y)
    for level, (sigma, below) in enumerate(pairwise(grid)):
        follow = width == "sigma"
        estimate = flow(denoise, x, sigma, ode_steps) if follow else denoise(x, sigma)
        if isinstance(chain, NonlinearLangevin):
            steps.append(step_at(level, chain.curvature_at(estimate)))
        x = chain.run(estimate, variances[level], noise, steps[level], langevin_steps)
        if below > 0:
            x = x + below * noise.like(x)
    return x


def _chain(
    problem: Problem | GeneralProblem, tau: float | None, misfit: float
) -> Langevin | NonlinearLangevin:
    """Return the chain with the noise level that it assumes."""
    if isinstance(problem, Problem):
        std = as_like(problem.noise_std if tau is None else tau, problem.y)
        return Langevin(problem, torch.where(std > 0, std, NOISE_FREE_TAU), misfit)
    if isinstance(problem.noise_model, Gaussian):
        std = as_like(problem.noise_model.std if tau is None else tau, problem.y)
        model = Gaussian(torch.where(std > 0, std, NOISE_FREE_TAU))
        return NonlinearLangevin(replace(problem, noise_model=model), misfit)
    if tau is not None:
        raise ValueError(
            f"daps: tau is a level of Gaussian noise but this is {problem.noise_model.name} noise; "
            "leave it out."
        )
    return NonlinearLangevin(problem, misfit)


def flow(denoise: Checked, x: Tensor, sigma: float, steps: int, end: float = 0.01) -> Tensor:
    """Follow the probability-flow ODE by Euler steps on a grid of degree seven down to ``end``."""
    path = karras_sigmas(steps + 1, min(end, sigma / 2), sigma)[:-1].tolist()
    for here, there in pairwise(path):
        x = x + (there - here) * (x - denoise(x, here)) / here
    return x


def _require_stable(step: Tensor, curvature: Tensor, sigma: float) -> None:
    worst = float((step * curvature).max())
    if worst > 2 * (1 + 1e-6):
        raise ValueError(
            f"daps: at sigma={sigma:.4g} the Langevin step is {worst:.3g} times the inverse "
            "curvature, above 2 where the chain diverges; lower step_size, raise tau, or leave "
            "step_size out."
        )
