"""Where the error of draws comes from: too few of them, steps, guidance, or the network."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from torch import Tensor

from uqrestore.benchmarks.exact import exact_draws, prior_draws
from uqrestore.benchmarks.posterior_scores import Distance, distance
from uqrestore.diffusion.denoiser import Denoiser
from uqrestore.noise import SampleNoise
from uqrestore.priors.closed_form import ClosedForm
from uqrestore.problem import Problem

Draw = Callable[[Problem, Any, SampleNoise], Tensor]
LEVELS = ("exact draws", "ideal conditional denoiser", "ideal denoiser, the method", "trained")


@dataclass(frozen=True)
class Contributions:
    """What each cause adds to the sliced distance of draws from the exact posterior.

    They add up to the distance of the last level. A negative one undoes an error of the level
    before, or is chance: compare it with ``chance``.

    Attributes:
        monte_carlo: Of a finite number of exact draws: the floor.
        discretisation: Of the sampler's steps, its start and its end, with nothing else wrong.
        guidance: Of the method's rule in place of the exact conditional denoiser.
        learning: Of the network in place of the exact denoiser; None where none was given.
        chance: Difference of two sets of exact draws.
        ceiling: Distance of prior draws, which know nothing of the measurement.
    """

    monte_carlo: float
    discretisation: float
    guidance: float
    learning: float | None
    chance: float
    ceiling: float


@dataclass(frozen=True)
class ErrorLevels:
    """Distances from the exact posterior, one more thing going wrong at each level.

    Attributes:
        levels: By name, in the order of :data:`LEVELS`; the last is missing without a network.
        contributions: Of the sliced distance.
    """

    levels: Mapping[str, Distance]
    contributions: Contributions

    def to_data(self) -> dict[str, Any]:
        """Return plain values for JSON and tables."""
        return {
            "levels": {name: vars(found) for name, found in self.levels.items()},
            "contributions": {
                f.name: getattr(self.contributions, f.name) for f in fields(Contributions)
            },
        }


def error_levels(
    method: Draw,
    sampler: Draw,
    prior: ClosedForm,
    problem: Problem,
    truth: Tensor,
    *,
    network: Denoiser | None = None,
    draws: int = 64,
    seed: int = 0,
) -> ErrorLevels:
    r"""Split the error of a method into Monte Carlo, discretisation, guidance and learning.

    Four samplers restore the same measurements from the same streams, each with one thing less
    that is exact: draws of the posterior itself; :math:`E[x_0 \mid x_t, y]` in a sampler; the
    method with :math:`E[x_0 \mid x_t]`; the method with a network.

    Args:
        method: A method of ``uqrestore.methods`` with its options, ``(problem, denoiser, noise)
            -> draws``.
        sampler: ``conditional`` on the grid of the method. Where the method is ``conditional``
            itself, guidance adds 0.
        prior: Distribution of the images; the truths must be drawn from it.
        problem: A batch of problems.
        truth: ``(problem, *in_shape)``.
        network: Network trained on images of this distribution.
        draws: Draws of each problem.
        seed: Of their streams.

    Returns:
        The distance of every level, and what each cause adds.
    """
    rows = range(len(truth))

    def of(draw: Draw, denoiser: Denoiser, at: int = seed) -> Distance:
        images = draw(problem, denoiser, SampleNoise(at, range(draws), slices=rows))
        return distance(prior, problem, truth, images)

    found = {
        LEVELS[0]: of(exact_draws, prior),
        LEVELS[1]: of(sampler, prior),
        LEVELS[2]: of(method, prior),
    }
    if network is not None:
        found[LEVELS[3]] = of(method, network)
    heights = [each.sliced for each in found.values()]
    added = Contributions(
        monte_carlo=heights[0],
        discretisation=heights[1] - heights[0],
        guidance=heights[2] - heights[1],
        learning=None if network is None else heights[3] - heights[2],
        chance=abs(of(exact_draws, prior, seed + 1).sliced - heights[0]),
        ceiling=of(prior_draws, prior).sliced,
    )
    return ErrorLevels(found, added)
