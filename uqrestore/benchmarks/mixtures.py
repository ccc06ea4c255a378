"""The set of problems ``MCG``: mixtures of 25 modes, of which a measurement leaves some open.

Gaussian fields show whether a method gets means and spreads right; these show whether it goes to
the right modes, in the right shares.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from uqrestore.benchmarks.exact import Method, Score, average, exact_draws, prior_draws, run
from uqrestore.noise import SampleNoise
from uqrestore.operators.matrix import Matrix
from uqrestore.priors import GaussianMixture, LowRankGaussian
from uqrestore.problem import Problem

CASES = ((8, 1, 2, 500), (8, 4, 2, 500), (80, 1, 2, 500), (80, 2, 2, 500), (800, 1, 1, 100))
"""On a card: voxels, measurements, problems of that kind, and draws of each."""


def mixture_problem(size: int, rows: int, seed: int) -> tuple[GaussianMixture, Problem, Tensor]:
    """Return one problem of the set: prior, measurement (a batch of one), truth.

    25 modes of unit covariance at ``(8 i, 8 j)`` repeated, with chi-squared weights; a random
    operator whose singular values are uniform on [0, 1], and noise uniform up to the largest.

    Args:
        size: Number of voxels, an even number.
        rows: Number of measurements.
        seed: Which problem of the set.

    References:
        Cardoso et al., "Monte Carlo guided Diffusion for Bayesian linear inverse problems",
        ICLR 2024, section 4.1. arXiv:2308.07983
    """
    if size % 2:
        raise ValueError(f"the modes repeat two numbers, so the size must be even, got {size}.")
    rng = np.random.default_rng((size, rows, seed))
    shape, steps = (1, 1, size), range(-2, 3)
    lattice = [torch.tensor([8.0 * i, 8.0 * j]).double() for i in steps for j in steps]
    none = torch.zeros(0, *shape, dtype=torch.float64)
    modes = [LowRankGaussian(at.repeat(size // 2).reshape(shape), none, 1.0) for at in lattice]
    weights = torch.from_numpy(rng.chisquare(1, len(modes)))
    prior = GaussianMixture(weights, modes)
    right = np.linalg.qr(rng.standard_normal((size, rows)))[0]
    left = np.linalg.qr(rng.standard_normal((rows, rows)))[0]
    s = rng.uniform(size=rows)
    operator = Matrix(torch.from_numpy(left * s @ right.T)[None], shape, rcond=1e-12)
    noise_std = float(rng.uniform() * s.max())
    chosen = lattice[rng.choice(len(modes), p=prior.weights.numpy())]
    truth = chosen.repeat(size // 2) + torch.from_numpy(rng.standard_normal(size))
    truth = truth.reshape(1, *shape)
    y = operator(truth) + noise_std * torch.from_numpy(rng.standard_normal((1, rows)))
    return prior, Problem(operator, y, noise_std), truth


def mixture_levels(
    size: int, steps: int, sigma_min: float = 0.02, reach: float = 10.0
) -> list[float]:
    """Return noise levels in equal ratios, from ``reach`` times the prior's largest std, then 0.

    A deterministic sampler that starts around 0 carries the distance of the posterior's mean from
    there, over the first level, into the shares of the modes: at ten times, with 80 voxels and 63
    calls, the shares are off by 0.05 where chance leaves 0.01; at a hundred times by 0.01.
    """
    top = reach * (1 + 64 * size) ** 0.5
    ratio = (sigma_min / top) ** (1 / (steps - 1))
    return [*(top * ratio**i for i in range(steps)), 0.0]


def measure_mixture(
    method: Method,
    *,
    size: int = 80,
    rows: int = 1,
    draws: int = 500,
    seed: int = 0,
    levels: int | None = None,
    sigma_min: float = 0.02,
    reach: float = 10.0,
    **options: Any,  # noqa: ANN401 - the method's own
) -> Score:
    """Run a method on one problem with the mixture's own denoiser and score its draws.

    Args:
        method: As in ``uqrestore.methods``.
        size: Number of voxels.
        rows: Number of measurements.
        draws: Posterior samples.
        seed: Which problem of the set, and of the draws.
        levels: How many noise levels of :func:`mixture_levels` the method is given; None for a
            method that takes none.
        sigma_min: Lowest of them above 0.
        reach: Highest of them, in standard deviations of the prior.
        options: Options of the method.
    """
    prior, problem, truth = mixture_problem(size, rows, seed)
    if levels is not None:
        options["sigmas"] = mixture_levels(size, levels, sigma_min, reach)
    noise = SampleNoise(seed, range(draws), slices=[0])
    return run(method, prior, problem, truth, noise, options)


def mixture_rows(
    method: Method,
    options: Mapping[str, Any],
    *,
    cases: Sequence[tuple[int, int, int, int]] = CASES,
    progress: Callable[[int, int], None] | None = None,
) -> list[dict[str, Any]]:
    """Return plain rows for a card: mean over problems of a method, exact draws and prior draws."""
    found = []
    for size, rows, problems, draws in cases:
        case = {"size": size, "rows": rows, "draws": draws}
        seeds = range(problems)
        score, best, worst = (
            average([measure_mixture(which, **case, seed=seed, **given) for seed in seeds])
            for which, given in ((method, options), (exact_draws, {}), (prior_draws, {}))
        )
        row = {**case, "problems": problems, "calls": score.calls, "products": score.products}
        for name in ("sliced", "mode_weights"):
            for label, of in (("", score), ("_exact", best), ("_prior", worst)):
                row[name + label] = round(getattr(of, name), 4)
        found.append(row)
        if progress is not None:
            progress(len(found), len(cases))
    return found
