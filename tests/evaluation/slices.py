"""GMM-slice: a mixture fitted to real brain slices, which is then the truth itself."""

import functools
from dataclasses import dataclass

import numpy as np
import torch
from scipy.cluster.vq import kmeans2
from torch import Tensor

from uqrestore.evaluation.component_box import ComponentPredictions
from uqrestore.evaluation.predictions import Predictions
from uqrestore.noise import SampleNoise
from uqrestore.operators import Inpainting
from uqrestore.priors import GaussianMixture, LowRankGaussian, fit_low_rank
from uqrestore.problem import Problem, simulate
from uqrestore.scans import demo_scan_path, fit_to_model, read_scan

SIDE, MODES, RANK, COMPONENTS = 28, 4, 24, 5


@functools.cache
def slice_mixture() -> GaussianMixture:
    """Fit low-rank modes to 28 x 28 crops of the demo scan, grouped by k-means."""
    model = fit_to_model(read_scan(demo_scan_path()))
    images, mask = model.images, model.mask
    images = 2 * (images - images.min()) / np.ptp(images) - 1
    g = np.random.default_rng(0)
    crops = []
    while len(crops) < 3000:
        k = g.integers(len(images))
        row, column = g.integers(0, images.shape[-1] - SIDE + 1, size=2)
        where = np.s_[row : row + SIDE, column : column + SIDE]
        if mask[k][where].mean() > 0.6:
            crops.append(images[k, :, *where])
    x = np.array(crops)
    _, label = kmeans2(x.reshape(len(x), -1), MODES, minit="++", rng=0)
    modes = [fit_low_rank(torch.from_numpy(x[label == k]).double(), RANK) for k in range(MODES)]
    return GaussianMixture(torch.from_numpy(np.bincount(label).astype(float)), modes)


@dataclass(frozen=True, eq=False)
class Population:
    """Very many scenes, which *are* the law that calibrations are drawn from.

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
    law = slice_mixture()
    mask = torch.rand(1, SIDE, SIDE, generator=torch.Generator().manual_seed(0)) < 0.5
    truth = law.draw(SampleNoise(1, range(count)))
    noise = SampleNoise(2, [0], slices=range(count))
    problem = simulate(Inpainting(mask), truth, noise_std=0.1, noise=noise)
    posterior = law.posterior(problem)
    assert isinstance(posterior, GaussianMixture)
    g = torch.Generator().manual_seed(3)
    short = 0.6 * torch.exp(0.4 * torch.randn(count, 1, 1, 1, generator=g, dtype=torch.float64))
    centre, std = posterior.mean, short * posterior.std
    directions, along = zip(*(_components(mode, problem) for mode in law.modes), strict=True)
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
