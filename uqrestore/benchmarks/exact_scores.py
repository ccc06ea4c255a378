"""Draws against a posterior that is known exactly: value, floor, ceiling, skill, interval.

A distance alone is not a score: exact draws are not at 0, for they are few, and draws that ignore
the measurement are not at 1. So each stands between what exact draws and what prior draws get.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from uqrestore.diagnostics.bootstrap import Estimate, mean_over_scenes
from uqrestore.noise import SampleNoise
from uqrestore.priors.closed_form import ClosedForm
from uqrestore.priors.mixture import GaussianMixture
from uqrestore.problem import Problem

Draws = Float[Tensor, "draw problem pixel"]
PerProblem = Float[Tensor, " problem"]
COMPONENTS = 5
DIRECTIONS = 100
"""Of the sliced distance."""


@dataclass(frozen=True)
class ExactScore:
    """One distance from the exact posterior; smaller is better.

    Attributes:
        name: What it is.
        value: Mean over problems with its interval.
        floor: Of as many exact draws.
        ceiling: Of as many prior draws.
    """

    name: str
    value: Estimate
    floor: float
    ceiling: float

    @property
    def skill(self) -> float:
        """1 for exact draws, 0 for prior draws; NaN where the two are equal."""
        span = self.ceiling - self.floor
        return 1 - (self.value.value - self.floor) / span if span else float("nan")


@dataclass(frozen=True, eq=False)
class Target:
    """The exact posterior of a batch of problems, as matrices.

    Attributes:
        posterior: Exact posterior of the problem.
        prior: What it comes from.
        mean: ``(problem, pixel)``.
        covariance: ``(problem, pixel, pixel)``.
        reference: Exact draws, of another stream than any that are scored.
    """

    posterior: ClosedForm
    prior: ClosedForm
    mean: Float[Tensor, "problem pixel"]
    covariance: Float[Tensor, "problem pixel pixel"]
    reference: Draws


def mean_error(draws: Draws, target: Target) -> PerProblem:
    """Squared error of the mean, as a share of the posterior variance; exact draws: ``1 / L``."""
    trace = target.covariance.diagonal(dim1=-2, dim2=-1).sum(-1)
    return (draws.mean(0) - target.mean).square().sum(-1) / trace


def covariance_error(draws: Draws, target: Target) -> PerProblem:
    """Squared Frobenius error of the covariance, as a share of its own.

    Exact Gaussian draws get ``(1 + r) / (L - 1)`` with the effective rank
    ``r = (tr C)^2 / tr C^2``.
    """
    gap = _covariance(draws) - target.covariance
    return gap.square().sum((-2, -1)) / target.covariance.square().sum((-2, -1))


def bures_wasserstein(draws: Draws, target: Target) -> PerProblem:
    r"""Squared distance between the Gaussians of the same moments.

    .. math:: |\hat m - m|^2 + \mathrm{tr}(\hat C + C - 2 (C^{1/2} \hat C C^{1/2})^{1/2})
    """
    root = _root(target.covariance)
    found = _covariance(draws)
    cross = torch.linalg.eigvalsh(_symmetric(root @ found @ root)).clamp(min=0).sqrt().sum(-1)
    traces = (found + target.covariance).diagonal(dim1=-2, dim2=-1).sum(-1)
    return (draws.mean(0) - target.mean).square().sum(-1) + traces - 2 * cross


def uncaptured(draws: Draws, target: Target) -> PerProblem:
    """Posterior variance that five components of the draws miss of the most that five can hold."""
    away = (draws - draws.mean(0)).movedim(0, 1)
    count = min(COMPONENTS, away.shape[-1])
    rows = torch.linalg.svd(away, full_matrices=False).Vh[:, :count]
    held = torch.einsum("bkp,bpq,bkq->b", rows, target.covariance, rows)
    return 1 - held / torch.linalg.eigvalsh(target.covariance)[:, -count:].sum(-1)


def sliced_wasserstein(draws: Draws, target: Target) -> PerProblem:
    """Mean Wasserstein-1 distance to exact draws along 100 random directions."""
    g = torch.Generator().manual_seed(0)
    directions = torch.randn(draws.shape[-1], DIRECTIONS, generator=g, dtype=draws.dtype)
    directions = directions / directions.norm(dim=0)
    levels = (torch.arange(len(draws), dtype=draws.dtype) + 0.5) / len(draws)
    wanted = torch.quantile(target.reference @ directions, levels, dim=0)
    return ((draws @ directions).sort(0).values - wanted).abs().mean((0, 2))


def kernel_discrepancy(draws: Draws, target: Target) -> PerProblem:
    """Unbiased squared maximum mean discrepancy to exact draws; 0 on average for exact ones.

    The kernel is Gaussian, as wide as the posterior.
    """
    width = target.covariance.diagonal(dim1=-2, dim2=-1).sum(-1)

    def kernel(a: Draws, b: Draws) -> Float[Tensor, "problem first second"]:
        apart = torch.cdist(a.movedim(0, 1), b.movedim(0, 1)).square()
        return torch.exp(-apart / (2 * width[:, None, None]))

    def within(a: Draws) -> PerProblem:
        whole = kernel(a, a)
        count = len(a)
        pairs = whole.sum((-2, -1)) - whole.diagonal(dim1=-2, dim2=-1).sum(-1)
        return pairs / (count * (count - 1))

    cross = kernel(draws, target.reference).mean((-2, -1))
    return within(draws) + within(target.reference) - 2 * cross


def mode_weights(draws: Draws, target: Target) -> PerProblem:
    """Half the absolute error of the weights of the modes; 0 for one mode."""
    if not isinstance(target.posterior, GaussianMixture) or not isinstance(
        target.prior, GaussianMixture
    ):
        return draws.new_zeros(draws.shape[1])
    images = draws.unflatten(-1, target.prior.in_shape)
    shown = target.prior.responsibilities(images, 0.0).mean(1)
    return 0.5 * (shown - target.posterior.weights).abs().sum(0)


EXACT_SCORES: Mapping[str, Callable[[Draws, Target], PerProblem]] = {
    "mean": mean_error,
    "covariance": covariance_error,
    "Bures-Wasserstein": bures_wasserstein,
    "variance that five components miss": uncaptured,
    "sliced Wasserstein": sliced_wasserstein,
    "kernel discrepancy": kernel_discrepancy,
    "mode weights": mode_weights,
}


def score_exactly(
    prior: ClosedForm,
    problem: Problem,
    draws: Float[Tensor, "draw problem *image"],
    *,
    seed: int = 0,
) -> list[ExactScore]:
    """Score draws of a few hundred pixels against the exact posterior.

    Args:
        prior: Distribution of the truths.
        problem: A batch of problems; intervals are over them.
        draws: What a sampler returned.
        seed: Of the exact and prior draws that they are compared with.

    Raises:
        ValueError: If there are fewer than two problems or draws.
    """
    if len(draws) < 2 or draws.shape[1] < 2:
        raise ValueError(
            f"scores need at least 2 draws of 2 problems, got {len(draws)} of {draws.shape[1]}."
        )
    posterior, rows = prior.posterior(problem), range(draws.shape[1])

    def streams(scan: int) -> SampleNoise:
        return SampleNoise(seed, range(len(draws)), scan=scan, slices=rows)

    pixels = torch.Size(prior.in_shape).numel()
    images = torch.eye(pixels, dtype=torch.float64).reshape(pixels, 1, *prior.in_shape)
    images = images.expand(pixels, len(rows), *prior.in_shape)
    covariance = posterior.covariance_product(images).flatten(2).movedim(0, -1)
    target = Target(
        posterior,
        prior,
        posterior.mean.flatten(1),
        covariance,
        posterior.draw(streams(41)).flatten(2),
    )
    best, worst = posterior.draw(streams(42)).flatten(2), prior.draw(streams(43)).flatten(2)
    found = []
    for name, score in EXACT_SCORES.items():
        value = mean_over_scenes(score(draws.double().flatten(2), target).numpy())
        floor, ceiling = float(score(best, target).mean()), float(score(worst, target).mean())
        found.append(ExactScore(name, value, floor, ceiling))
    return found


def _covariance(draws: Draws) -> Float[Tensor, "problem pixel pixel"]:
    away = (draws - draws.mean(0)).movedim(0, 1)
    return away.mT @ away / (len(draws) - 1)


def _root(covariance: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(covariance)
    return (vectors * values.clamp(min=0).sqrt()[..., None, :]) @ vectors.mT


def _symmetric(matrix: Tensor) -> Tensor:
    return (matrix + matrix.mT) / 2
