"""Very many scenes of GMM-slice, restored too confidently."""

import functools
from dataclasses import dataclass

import torch
from torch import Tensor

from tests.benchmarks.calibration_sets import gmm_slice_scenes
from uqrestore.conformal.component_box import ComponentPredictions
from uqrestore.conformal.predictions import Predictions
from uqrestore.priors import LowRankGaussian
from uqrestore.problem import Problem

COMPONENTS = 5


@dataclass(frozen=True, eq=False)
class Population:
    """Very many scenes, which *are* the distribution that calibrations are drawn from.

    Attributes:
        predictions: Exact posterior means, with standard deviations that are 0.6 of the exact, on
            median over scenes, and off by another factor of 0.5 to 2 from scene to scene.
        components: Leading components of each scene's likeliest mode, std short likewise.
    """

    predictions: Predictions
    components: ComponentPredictions


@functools.cache
def population(count: int = 6000) -> Population:
    """Restore many slices of the mixture from half of their pixels, too confidently."""
    made = gmm_slice_scenes(count, seed=1)
    gaussian, truth, problem, posterior = made.prior, made.truth, made.problem, made.posterior
    g = torch.Generator().manual_seed(3)
    short = 0.6 * torch.exp(0.4 * torch.randn(count, 1, 1, 1, generator=g, dtype=torch.float64))
    centre, std = posterior.mean, short * posterior.std
    directions, along = zip(*(_components(mode, problem) for mode in gaussian.modes), strict=True)
    likely = posterior.weights.argmax(0)
    v, sigma = torch.stack(directions)[likely], short[:, 0, 0] * torch.stack(along)[likely]
    rest = std.square().flatten(1).sum(1) - sigma.square().sum(1)
    x = truth.numpy(), centre.numpy()
    return Population(
        Predictions(*x, std.numpy()),
        ComponentPredictions(*x, v.numpy(), sigma.numpy(), rest.sqrt().numpy()),
    )


def _components(mode: object, problem: Problem) -> tuple[Tensor, Tensor]:
    """Components of one mode's posterior, which are the same whatever was measured."""
    assert isinstance(mode, LowRankGaussian)
    one = Problem(problem.operator, problem.y[:1], problem.noise_std)
    directions, std = mode.posterior(one).components(COMPONENTS)
    return directions[0], std[0]
