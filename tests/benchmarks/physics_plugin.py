"""Plug-in posteriors of the page on physics, and exact ones where one parameter is unknown."""

import math

import torch
from torch import Tensor

from tests.benchmarks.physics_cases import Case
from uqrestore.methods._laplace import LocalPosterior
from uqrestore.noise import Gaussian, UncertainGaussian
from uqrestore.operators import LinearOperator, Matrix
from uqrestore.operators.nonlinear import UncertainOperator
from uqrestore.operators.nonlinear.uncertain import Joint
from uqrestore.priors import GaussianPrior
from uqrestore.problem import GeneralProblem, Problem

GRID = 401
NOISE_WIDTH = 0.5
"""Step of the logarithm of the noise level on the grid, for one of :data:`GRID`'s coordinates."""


def at(case: Case, y: Tensor, theta: Tensor) -> Problem:
    """Return linear Gaussian problems at parameters ``(scene or 1, coordinate)``."""
    if isinstance(case.noise, UncertainGaussian):
        assert isinstance(case.operator, LinearOperator)
        std = float(case.noise.std) * torch.exp(NOISE_WIDTH * theta[:, 0])
        return Problem(case.operator, y, float(std) if len(std) == 1 else std)
    assert isinstance(case.operator, UncertainOperator)
    assert isinstance(case.noise, Gaussian)
    shape = case.operator.in_shape
    pixels = math.prod(shape)
    images = torch.eye(pixels, dtype=torch.float64).reshape(pixels, *shape)
    columns = [
        case.operator.forward_at(images, t.expand(pixels, -1)).flatten(1).mT for t in theta.double()
    ]
    kept = columns[0].abs().sum(1) > 0
    rows = torch.stack([c[kept] for c in columns])
    return Problem(
        Matrix(rows if len(rows) > 1 else rows[0], shape), y.flatten(1)[:, kept], case.noise.std
    )


def log_prior(case: Case, theta: Tensor) -> Tensor:
    """Log density of one parameter on the grid."""
    if isinstance(case.noise, UncertainGaussian):
        degrees = case.noise.degrees
        return -degrees * (NOISE_WIDTH * theta + torch.exp(-2 * NOISE_WIDTH * theta) / 2)
    return -0.5 * theta.square()


def value(case: Case, theta: Tensor) -> Tensor:
    """Return one parameter in its unit."""
    if isinstance(case.noise, UncertainGaussian):
        return float(case.noise.std) * torch.exp(NOISE_WIDTH * theta)
    assert isinstance(case.operator, UncertainOperator)
    return next(iter(case.operator.values(theta[..., None]).values()))


def exact(case: Case, prior: GaussianPrior, y: Tensor) -> dict[str, Tensor]:
    """Return the exact posterior of the image by a grid, and the most probable parameter."""
    grid = torch.linspace(-4.5, 4.5, GRID, dtype=torch.float64)[:, None]
    log = [prior.log_evidence(at(case, y, t[None])) + log_prior(case, t[0]) for t in grid]
    weights = torch.stack(log).softmax(0)
    mean, power = torch.zeros(len(y), *prior.in_shape).double(), torch.zeros(1).double()
    for theta, w in zip(grid, weights, strict=True):
        posterior, share = prior.condition(at(case, y, theta[None])), w[:, None, None, None]
        mean = mean + share * posterior.mean
        power = power + share * (posterior.mean.square() + posterior.std.square())
    return {
        "mean": mean,
        "std": (power - mean.square()).sqrt(),
        "best": grid[weights.argmax(0)],
    }


def most_probable(case: Case, prior: GaussianPrior, y: Tensor) -> Tensor:
    """Return the parameters at a mode of image and parameters together."""
    assert isinstance(case.operator, UncertainOperator)
    joint = Joint(case.operator)

    def covariance(v: Tensor) -> Tensor:
        image, theta = joint.split(v)
        return torch.cat([prior.covariance_product(image).flatten(1), theta], -1)

    mean = torch.zeros(len(y), *joint.in_shape, dtype=y.dtype)
    problem = GeneralProblem(joint, y, case.noise)
    found, _ = LocalPosterior(problem, mean, covariance, lambda: mean, 200).mode(30)
    return joint.split(found)[1]


def plug_in(case: Case, prior: GaussianPrior, y: Tensor, theta: Tensor) -> GaussianPrior:
    """Return the posterior of the image at parameters of each scene, ``(scene, coordinate)``."""
    found = [prior.condition(at(case, one[None], t[None])) for one, t in zip(y, theta, strict=True)]
    mean = torch.cat([p.mean for p in found])
    directions = torch.stack([p.directions.reshape(p.directions.shape[-2:]) for p in found])
    variances = torch.stack([p.variances.reshape(-1) for p in found])
    return GaussianPrior(mean, directions, variances, prior.in_shape)
