"""Evidence of a measurement by a twisted particle sampler."""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from uqrestore.diffusion.denoiser import Denoiser, as_denoiser
from uqrestore.diffusion.schedules import geometric_sigmas
from uqrestore.diffusion.wrapped import Checked
from uqrestore.methods._checks import require_range
from uqrestore.methods._laplace import LocalPosterior
from uqrestore.noise import Gaussian, SampleNoise, UncertainGaussian
from uqrestore.operators.nonlinear.uncertain import Joint
from uqrestore.priors import ClosedForm
from uqrestore.problem import GeneralProblem, Problem

LARGEST = 5000
"""Largest number of pixels and parameters: a level takes a Cholesky factor of this size."""
NEWTON, PRODUCTS = 30, 500
"""Gauss-Newton steps to the mode, and products in each of their solves."""
RESAMPLE, POOR = 0.5, 0.1
"""Effective share of the particles below which they are resampled, and one that warns."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """Estimate of the evidence.

    Attributes:
        log: ``log p(y)`` in nats, ``(*problem,)``.
        std: Monte Carlo standard error of it, to first order.
        effective: Smallest effective share of the particles, 0 to 1.
    """

    log: Float[Tensor, "*problem"]
    std: Float[Tensor, "*problem"]
    effective: Float[Tensor, "*problem"]


@torch.no_grad()
def evidence(
    problem: Problem | GeneralProblem,
    denoiser: Denoiser | Callable[..., Tensor],
    noise: SampleNoise,
    *,
    reference: ClosedForm | None = None,
    levels: int = 40,
    sigma_max: float = 80.0,
    sigma_min: float = 0.03,
) -> Evidence:
    r"""Estimate ``log p(y)``, whose differences tell which operator, noise or prior is right.

    Particles go down the noise levels as in ancestral sampling, each step drawn given the
    measurement under a Gaussian model: the denoiser's mean with the covariance
    :math:`C = (\Sigma^{-1} + \sigma^{-2} I)^{-1}` of the reference, and the likelihood linearised
    at the mode under the reference. Their weights correct for both approximations: at each level
    by the ratio of the Gaussian evidence with the denoiser's mean to that with the mean that the
    level before expected, and at the end by the exact likelihood over the linearised one.

    For a Gaussian prior, a linear operator and Gaussian noise all weights are 1 and the value is
    exact. For other priors the product is unbiased for the sampler's own discrete process, which
    tends to the prior with ``levels``; for other likelihoods the effective share of the particles
    falls with the dimension, and a warning says where it is below a tenth. Makes ``levels``
    network calls for each particle, and none is differentiated.

    Args:
        problem: One, or a batch of them; measurement noise above 0 and of known level. Parameters
            of an ``UncertainOperator`` are integrated out as well.
        denoiser: Prior.
        noise: Random streams of the particles; a hundred of them, or more.
        reference: Gaussian or other closed form with nearly the mean and covariance of the prior,
            such as ``brain64-gaussian``; by default the prior, where it is a closed form. Its
            quality affects the effective share alone.
        levels: Noise levels above 0, in equal ratios.
        sigma_max: Highest level, in network intensity.
        sigma_min: Lowest level above 0.

    Returns:
        The logarithm of the evidence with its standard error.

    Raises:
        ValueError: If a network comes without a reference, the measurement has no noise or noise
            of unknown level, or the image is too large.

    References:
        Wu et al., "Practical and asymptotically exact conditional sampling in diffusion models",
        NeurIPS 2023 (twisted particles). arXiv:2306.17775. The Gaussian reference is ours.
    """
    require_range("evidence", levels=(levels, 1, 10_000), sigma_min=(sigma_min, 1e-9, sigma_max))
    problem = _checked(problem)
    denoise = Checked(as_denoiser(denoiser, problem.in_shape), "evidence")
    joint = Joint(problem.operator)
    model = _Model.of(problem, _reference(denoise.inner, reference, joint))
    batch = len(noise.shape)
    grid = geometric_sigmas(levels, sigma_max, sigma_min).tolist()

    def mean_at(x: Tensor, sigma: float) -> Tensor:
        image, _ = joint.split(x)
        answer = denoise(image.to(problem.y), sigma).to(x)
        return torch.cat([answer.flatten(batch), joint.split(model.denoise(x, sigma))[1]], -1)

    top = _Level(model, math.inf)
    total, variance = top.log_evidence(), torch.zeros(noise.shape[1:]).to(model.mean)
    start = model.mean.expand(*noise.shape, -1)
    x = top.draw(start, noise)
    x = x + grid[0] * noise.like(x)
    expected, log_weight = model.denoise(x, grid[0]), torch.zeros(noise.shape).to(x)
    least, u = torch.ones_like(variance), x
    for sigma, below in pairwise(grid):
        level, mean = _Level(model, sigma), mean_at(x, sigma)
        log_weight = log_weight + level.relative(mean) - level.relative(expected)
        share = _effective(log_weight)
        least = torch.minimum(least, share)
        if bool((share < RESAMPLE).any()):
            chosen = _resampled(log_weight, share < RESAMPLE, noise)
            x, mean = (v.gather(0, chosen[..., None].expand_as(v)) for v in (x, mean))
            total, variance, log_weight = _collect(total, variance, log_weight, share < RESAMPLE)
        u = level.draw(mean, noise)
        kept = (below / sigma) ** 2
        ahead = (1 - kept) * u + kept * x + below * (1 - kept) ** 0.5 * noise.like(u)
        if below:
            gap = model.narrow(mean - model.denoise(x, sigma), sigma, below)
            expected = model.denoise(ahead, below) + gap
        x = ahead
    exact = GeneralProblem(joint, problem.y, problem.noise_model).log_likelihood(u.to(problem.y))
    log_weight = log_weight + exact - model.log_likelihood(u)
    share = _effective(log_weight)
    least = torch.minimum(least, share)
    total, variance, _ = _collect(total, variance, log_weight, torch.ones_like(share) > 0)
    if bool((least < POOR).any()):
        warnings.warn(
            f"evidence: {float(least.min()):.1%} of the particles are effective at one level, so "
            "the value may be far off; give more streams, more levels, or a better reference.",
            stacklevel=2,
        )
    return Evidence(total, variance.sqrt(), least)


@dataclass(frozen=True, eq=False)
class _Model:
    r"""A Gaussian reference of flat vectors, and :math:`\log g(u) = c + h^T u - u^T J u / 2`."""

    mean: Tensor
    variances: Tensor
    vectors: Tensor
    curvature: Tensor
    slope: Tensor
    constant: Tensor

    @classmethod
    def of(cls, problem: GeneralProblem, reference: tuple[Tensor, Tensor, Tensor]) -> "_Model":
        """Linearise the likelihood at the mode under the reference, for each problem."""
        mean, variances, vectors = reference
        exact = problem.to(torch.float64)
        flat = GeneralProblem(Joint(exact.operator), exact.y, exact.noise_model)
        start = mean.expand(*problem.problem_shape, -1)

        def covariance(v: Tensor) -> Tensor:
            return (v @ vectors * variances) @ vectors.mT

        posterior = LocalPosterior(flat, start, covariance, lambda: start, PRODUCTS)
        mode, _ = posterior.mode(NEWTON)
        linear, score = posterior.linearised(mode)
        eye = torch.eye(len(mean)).to(mean)
        lead = (len(mean), *problem.problem_shape)
        columns = linear.forward(eye.reshape(len(mean), *[1] * len(lead[1:]), -1).expand(*lead, -1))
        a = columns.flatten(len(lead)).movedim(0, -1)  # (*problem, row, entry)
        score = score.flatten(len(lead) - 1)
        data = torch.einsum("...ij,...j->...i", a, mode) + score
        constant = flat.log_likelihood(mode) + (score.square() - data.square()).sum(-1) / 2
        slope = torch.einsum("...ij,...i->...j", a, data)
        return cls(mean, variances, vectors, a.mT @ a, slope, constant)

    def denoise(self, x: Tensor, sigma: float) -> Tensor:
        """Return the mean of clean vectors behind noisy ones, under the reference."""
        share = self.variances / (self.variances + sigma**2)
        return self.mean + ((x - self.mean) @ self.vectors * share) @ self.vectors.mT

    def narrow(self, gap: Tensor, sigma: float, below: float) -> Tensor:
        """Multiply by the covariance at one level over that at a higher one."""
        ratio = (below / sigma) ** 2 * (self.variances + sigma**2) / (self.variances + below**2)
        return (gap @ self.vectors * ratio) @ self.vectors.mT

    def log_likelihood(self, u: Tensor) -> Tensor:
        """Return the logarithm of the linearised likelihood."""
        curved = torch.einsum("...ij,...j->...i", self.curvature, u)
        return self.constant + (u * (self.slope - curved / 2)).sum(-1)


class _Level:
    """Gaussian steps at one noise level."""

    def __init__(self, model: _Model, sigma: float) -> None:
        variances = model.variances
        if sigma < math.inf:
            variances = variances * sigma**2 / (variances + sigma**2)
        self.model, self.root = model, model.vectors * variances.sqrt()
        inner = self.root.mT @ model.curvature @ self.root
        self.factor = torch.linalg.cholesky(inner + torch.eye(inner.shape[-1]).to(inner))

    def relative(self, mean: Tensor) -> Tensor:
        """Return the log evidence with a mean, up to a constant of the level."""
        pulled = self._pulled(mean)
        half = self._solve(pulled, transpose=False)
        return self.model.log_likelihood(mean) + half.square().sum(-1) / 2

    def log_evidence(self) -> Tensor:
        """Return the log evidence with the mean of the reference."""
        diagonal = self.factor.diagonal(dim1=-2, dim2=-1)
        mean = self.model.mean.expand(1, *diagonal.shape)
        return self.relative(mean)[0] - diagonal.log().sum(-1)

    def draw(self, mean: Tensor, noise: SampleNoise) -> Tensor:
        """Draw clean vectors given the measurement."""
        half = self._solve(self._pulled(mean), transpose=False)
        return mean + self._solve(half + noise.like(half), transpose=True) @ self.root.mT

    def _pulled(self, mean: Tensor) -> Tensor:
        curved = torch.einsum("...ij,...j->...i", self.model.curvature, mean)
        return (self.model.slope - curved) @ self.root

    def _solve(self, v: Tensor, *, transpose: bool) -> Tensor:
        """Solve with the factor, or its transpose, of every problem."""
        factor = self.factor.mT if transpose else self.factor
        right = v.movedim(0, -1)  # particles
        return torch.linalg.solve_triangular(factor, right, upper=transpose).movedim(-1, 0)


def _effective(log_weight: Tensor) -> Tensor:
    """Return the effective share of the particles of each problem."""
    weight = log_weight.softmax(0)
    return 1 / (weight.square().sum(0) * len(weight))


def _collect(
    total: Tensor, variance: Tensor, log_weight: Tensor, chosen: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Move the mean weight of chosen problems into the total."""
    count = len(log_weight)
    mean = log_weight.logsumexp(0) - math.log(count)
    relative = (1 / _effective(log_weight) - 1).clamp(min=0) / count
    total = torch.where(chosen, total + mean, total)
    variance = torch.where(chosen, variance + relative, variance)
    return total, variance, torch.where(chosen, 0, log_weight)


def _resampled(log_weight: Tensor, chosen: Tensor, noise: SampleNoise) -> Tensor:
    """Return which particle takes the place of each, systematically; itself where not chosen."""
    count = len(log_weight)
    offset = torch.special.ndtr(noise.normal((), log_weight)[:1])
    ladder = torch.arange(count).to(log_weight).reshape(-1, *[1] * (log_weight.ndim - 1))
    edges = log_weight.softmax(0).cumsum(0).movedim(0, -1).contiguous()
    steps = ((ladder + offset) / count).movedim(0, -1).contiguous()
    taken = torch.searchsorted(edges, steps).clamp(max=count - 1).movedim(-1, 0)
    return torch.where(chosen, taken, ladder.long())


def _reference(
    denoiser: Denoiser, reference: ClosedForm | None, joint: Joint
) -> tuple[Tensor, Tensor, Tensor]:
    """Return mean, variances and directions of flat vectors."""
    size = joint.in_shape[0]
    if size > LARGEST:
        raise ValueError(f"evidence: {size} pixels and parameters are more than {LARGEST}.")
    prior = denoiser if reference is None else reference
    if not isinstance(prior, ClosedForm):
        raise ValueError(
            "evidence: a network needs a Gaussian reference; give reference=load_prior("
            "'brain64-gaussian'), or a GaussianPrior with the mean and covariance of images."
        )
    pixels = size - joint.count
    eye = torch.eye(pixels, dtype=torch.float64).reshape(pixels, *prior.in_shape)
    covariance = torch.eye(size, dtype=torch.float64)
    covariance[:pixels, :pixels] = prior.covariance_product(eye).flatten(1)
    variances, vectors = torch.linalg.eigh((covariance + covariance.mT) / 2)
    mean = torch.cat([prior.mean.double().flatten(), torch.zeros(joint.count).double()])
    return mean, variances.clamp(min=0), vectors


def _checked(problem: Problem | GeneralProblem) -> GeneralProblem:
    problem = GeneralProblem.of(problem)
    model = problem.noise_model
    if isinstance(model, UncertainGaussian):
        raise ValueError(
            "evidence: noise of unknown level is not integrated out; compare Gaussian(std) at "
            "several levels instead."
        )
    if isinstance(model, Gaussian) and not (torch.as_tensor(model.std) > 0).all():
        raise ValueError("evidence: a noise-free measurement has no density; give a small noise.")
    return problem
