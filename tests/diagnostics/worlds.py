"""Scenes whose posterior is known: draws from it, and samplers that are wrong in known ways."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from tests.benchmarks.calibration_sets import overlapping_modes
from uqrestore.diagnostics.scenes import Scenes, scenes_of
from uqrestore.noise import SampleNoise
from uqrestore.operators import Matrix
from uqrestore.priors import GaussianMixture, GaussianPrior
from uqrestore.problem import Problem, simulate

SHAPE = (1, 4, 4)

# Where long measurements leave their numbers: pytest -m slow --log-cli-level=INFO
LOG = logging.getLogger("measured")


def mixture(seed: int = 0, *, modes: int = 6, scale: float = 1.5) -> GaussianMixture:
    """Return overlapping anisotropic modes on 4 x 4 images."""
    return overlapping_modes(SHAPE, modes=modes, spread=scale, seed=seed)


@dataclass(frozen=True, eq=False)
class World:
    """A prior, and many scenes of one operator."""

    prior: GaussianMixture
    truth: Tensor
    problem: Problem
    posterior: GaussianMixture

    def scenes(self, draws: Tensor) -> Scenes:
        return scenes_of(self.truth, draws, self.problem)

    def exact(self, count: int, seed: int = 1) -> Tensor:
        """Draw from every posterior, ``(draw, scene, *image)``, from one fast stream."""
        return draw_fast(self.posterior, count, len(self.truth), seed)


def world(n: int, *, seed: int = 0, measured: int = 4, noise_std: float = 0.3) -> World:
    prior = mixture()
    g = torch.Generator().manual_seed(1000 + seed)
    operator = Matrix(torch.randn(measured, 16, generator=g, dtype=torch.float64) / 4, SHAPE)
    truth = draw_fast(prior, n, 1, 2000 + seed)[:, 0]
    noise = SampleNoise(3000 + seed, [0], slices=range(n))
    problem = simulate(operator, truth, noise_std=noise_std, noise=noise)
    posterior = prior.posterior(problem)
    assert isinstance(posterior, GaussianMixture)
    return World(prior, truth, problem, posterior)


def draw_fast(gaussian: GaussianMixture, count: int, n: int, seed: int) -> Tensor:
    """Draw without a stream per image, which a thousand simulated studies cannot afford."""
    g = torch.Generator().manual_seed(seed)
    weights = gaussian.weights.reshape(len(gaussian.modes), -1).expand(-1, n)
    chosen = torch.multinomial(weights.T, count, replacement=True, generator=g).T
    out = torch.zeros(count, n, 16, dtype=torch.float64)
    for k, mode in enumerate(gaussian.modes):
        assert isinstance(mode, GaussianPrior)
        white = torch.randn(count, n, 16, generator=g, dtype=torch.float64)
        root = mode.directions * mode.variances.sqrt()[..., None, :]
        image = mode.mean.reshape(-1, 16) + torch.einsum("...ij,c...j->c...i", root, white)
        out = torch.where((chosen == k)[..., None], image, out)
    return out.unflatten(-1, SHAPE)


def prior_draws(w: World, draws: Tensor) -> Tensor:
    count, n = draws.shape[:2]
    return draw_fast(w.prior, count * n, 1, 77)[:, 0].unflatten(0, (count, n))


def stretched(factor: float) -> Callable[[World, Tensor], Tensor]:
    return lambda w, draws: w.posterior.mean + factor * (draws - w.posterior.mean)


def biased(w: World, draws: Tensor) -> Tensor:
    return draws + 0.3 * w.posterior.std


def chequered(w: World, draws: Tensor) -> Tensor:
    """Shift every pixel by 0.3 std, up and down like a chequerboard, so that no mean shows it."""
    sign = (-1.0) ** torch.arange(4).add(torch.arange(4)[:, None])
    return draws + 0.3 * sign * w.posterior.std


def marginals_only(w: World, draws: Tensor) -> Tensor:
    """Keep the marginal distribution of every pixel, and no correlation between pixels."""
    del w
    g = torch.Generator().manual_seed(5)
    order = torch.rand(draws.shape, generator=g).argsort(0)
    return draws.gather(0, order)


def one_mode(w: World, draws: Tensor) -> Tensor:
    """Draw only from the heaviest mode of each posterior."""
    heaviest = torch.nn.functional.one_hot(w.posterior.weights.argmax(0), len(w.posterior.modes))
    collapsed = GaussianMixture(heaviest.T.double(), w.posterior.modes)
    return draw_fast(collapsed, draws.shape[0], draws.shape[1], 78)


# The six faults of the specification, and one that hides a bias from every mean.
FAULTS: dict[str, Callable[[World, Tensor], Tensor]] = {
    "prior draws": prior_draws,
    "std x 0.8": stretched(0.8),
    "std x 1.25": stretched(1.25),
    "bias 0.3 std": biased,
    "chequered bias": chequered,
    "marginals only": marginals_only,
    "one mode": one_mode,
}
