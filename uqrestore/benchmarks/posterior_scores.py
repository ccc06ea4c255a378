"""How far draws are from a posterior that is known exactly."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from uqrestore.noise import SampleNoise
from uqrestore.priors.closed_form import ClosedForm
from uqrestore.priors.gaussian import GaussianPrior
from uqrestore.priors.mixture import GaussianMixture
from uqrestore.problem import Problem

COMPONENTS = 5
SLICES = 100
"""Random directions of the sliced distance."""


@dataclass(frozen=True)
class Distance:
    """How far the draws of one method are from the exact posteriors of some problems.

    Attributes:
        mean_error: Root mean square error of the mean of the draws, in posterior standard
            deviations, along the posterior's principal directions (over voxels for a mixture).
        mean_error_floor: What exact draws would get, ``1 / sqrt(draws)``.
        variance_ratio: Total variance of the draws over that of the posterior; 1 is right.
        voxel_variance_ratio: The same voxel by voxel, averaged over voxels that are not known.
        coverage_50: Share of true coefficients inside the central 50 % of the draws.
        coverage_90: Inside the central 90 %.
        coverage_95: Inside the central 95 %.
        residual: Largest ``||A x - y|| / ||y||`` of a draw.
        residual_ratio: ``||A x - y||^2`` over ``s^2`` times the number of measurements, averaged;
            1 is right; 0 without noise.
        captured: Posterior variance along the leading five components of the draws, over the most
            that five directions can capture.
        eigenvalue_ratio: Variance that the draws show along those components, over the
            posterior's there; above 1 even for exact draws, which the components are fitted to.
        sliced: Mean Wasserstein-1 distance to as many exact draws along 100 random directions, in
            network units.
        mode_weights: Half the absolute error of the weights of the modes; 0 for one mode.
    """

    mean_error: float
    mean_error_floor: float
    variance_ratio: float
    voxel_variance_ratio: float
    coverage_50: float
    coverage_90: float
    coverage_95: float
    residual: float
    residual_ratio: float
    captured: float
    eigenvalue_ratio: float
    sliced: float
    mode_weights: float


def distance(
    prior: ClosedForm, problem: Problem, truth: Tensor, draws: Tensor, *, seed: int = 0
) -> Distance:
    """Compare draws with the exact posterior.

    Args:
        prior: Distribution of the truths.
        problem: The measurements, a batch of problems.
        truth: ``(problem, *in_shape)``.
        draws: ``(draw, problem, *in_shape)``.
        seed: Of the exact draws and the directions they are compared along.
    """
    posterior, draws = prior.posterior(problem), draws.double()
    centred = draws - posterior.mean
    along, spread, open_ = _coordinates(prior, posterior, centred)
    true = _coordinates(prior, posterior, (truth - posterior.mean)[None])[0][0]
    scaled = torch.where(open_, along.mean(0) / torch.where(open_, spread, 1), 0)
    variance = torch.where(open_, along.var(0), 0).sum(-1)
    known = posterior.std > 1e-6 * prior.std.max()
    voxels = torch.where(known, draws.var(0) / torch.where(known, posterior.std, 1) ** 2, 0)
    captured, ratio = _components(posterior, centred)
    relative, per_row = _residuals(problem, draws)
    covered = [_coverage(along, true, open_, level) for level in (0.5, 0.9, 0.95)]
    return Distance(
        mean_error=_mean(scaled.square(), open_) ** 0.5,
        mean_error_floor=len(draws) ** -0.5,
        variance_ratio=float((variance / (spread.square() * open_).sum(-1)).mean()),
        voxel_variance_ratio=_mean(voxels, known),
        coverage_50=covered[0],
        coverage_90=covered[1],
        coverage_95=covered[2],
        residual=relative,
        residual_ratio=per_row,
        captured=captured,
        eigenvalue_ratio=ratio,
        sliced=_sliced(posterior, draws, seed),
        mode_weights=_mode_weights(prior, posterior, draws),
    )


def _mean(values: Tensor, kept: Tensor) -> float:
    return float((values * kept).sum() / kept.expand(values.shape).sum())


def _coordinates(
    prior: ClosedForm, posterior: ClosedForm, centred: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return coordinates of centred images, their posterior std, and which are not known."""
    flat = centred.flatten(centred.ndim - len(prior.in_shape))
    if not isinstance(posterior, GaussianPrior):
        spread = posterior.std.flatten(posterior.std.ndim - len(prior.in_shape))
        return flat, spread, spread > 1e-6 * prior.std.max()
    along = torch.einsum("...ij,...i->...j", posterior.directions, flat)
    spread = posterior.variances.sqrt().expand(along.shape[1:])
    return along, spread, spread > 1e-3 * prior.std.max()


def _coverage(along: Tensor, true: Tensor, open_: Tensor, level: float) -> float:
    tails = [(1 - level) / 2, (1 + level) / 2]
    low, high = np.quantile(along.numpy(), tails, axis=0, method="weibull")
    inside = (true.numpy() >= low) & (true.numpy() <= high)
    return float(inside[open_.expand(inside.shape).numpy()].mean())


def _residuals(problem: Problem, draws: Tensor) -> tuple[float, float]:
    operator = problem.operator
    dims = len(operator.out_shape)
    gap = (operator(draws) - problem.y).flatten(-dims)
    size = problem.y.flatten(-dims).norm(dim=-1)
    relative = float((gap.norm(dim=-1) / size).max())
    if not problem.is_noisy:
        return relative, 0.0
    return relative, float(problem.chi_square(draws).mean())


def _components(posterior: ClosedForm, centred: Tensor) -> tuple[float, float]:
    """Return the share of variance that the draws' components capture, and their excess."""
    dims = len(posterior.in_shape)
    flat = (centred - centred.mean(0)).flatten(centred.ndim - dims).movedim(0, -2)
    count = min(COMPONENTS, flat.shape[-1])
    _, s, rows = torch.linalg.svd(flat, full_matrices=False)
    found = rows[..., :count, :].movedim(-2, 0)
    shown = s[..., :count].square() / (len(centred) - 1)
    moved = posterior.covariance_product(found.unflatten(-1, posterior.in_shape))
    energy = (found * moved.flatten(moved.ndim - dims)).sum(-1).movedim(0, -1)
    most = posterior.components(count)[1].square().sum(-1)
    captured = float((energy.sum(-1) / most).mean())
    return captured, float((shown.sum(-1) / energy.sum(-1)).mean())


def _sliced(posterior: ClosedForm, draws: Tensor, seed: int) -> float:
    lead = draws.shape[1 : draws.ndim - len(posterior.in_shape)]
    noise = SampleNoise(seed, range(len(draws)), scan=7, slices=range(lead[0]) if lead else 0)
    other = posterior.draw(noise).flatten(1 + len(lead))
    generator = torch.Generator().manual_seed(seed)
    directions = torch.randn(other.shape[-1], SLICES, generator=generator, dtype=torch.float64)
    directions = directions / directions.norm(dim=0)
    first = (draws.flatten(1 + len(lead)) @ directions).sort(0).values
    second = (other @ directions).sort(0).values
    return float((first - second).abs().mean())


def _mode_weights(prior: ClosedForm, posterior: ClosedForm, draws: Tensor) -> float:
    if not isinstance(posterior, GaussianMixture) or not isinstance(prior, GaussianMixture):
        return 0.0
    shown = prior.responsibilities(draws, 0.0).mean(1)
    return float(0.5 * (shown - posterior.weights).abs().sum(0).mean())
