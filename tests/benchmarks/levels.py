"""Where the error of every method comes from: draws, steps, guidance, or what was learnt.

``python -m tests.benchmarks.levels`` prints the table of a Gaussian field;
``python -m tests.benchmarks.levels --data DATA`` also measures what it can of the network of
brains, whose posterior nobody knows: how far its draws move when it makes four times the steps.
"""

import argparse
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tests.benchmarks.brains import FAMILIES, held_out_people, measure
from tests.benchmarks.error_budget import ErrorLevels, error_levels
from uqrestore.benchmarks.exact import OPERATORS
from uqrestore.methods import METHODS
from uqrestore.noise import SampleNoise
from uqrestore.operators.base import stack_operators
from uqrestore.priors import GaussianPrior
from uqrestore.priors.gaussian import gaussian_field
from uqrestore.problem import simulate
from uqrestore.zoo import load_prior

SHAPE, NOISE_STD, IMAGES = (1, 16, 16), 0.1, 1000
PROBLEMS, DRAWS = range(8), 64
METHODS_SHOWN: Mapping[str, Mapping[str, Any]] = {
    "conditional": {"steps": 20, "sampler": "dpmpp_2m"},
    "ddrm": {},
    "diffpir": {},
    "dps": {},
    "pigdm": {},
    "moment_matching": {},
}
FEW, FINE, COARSE = 8, 80, 20


def fitted(prior: GaussianPrior) -> GaussianPrior:
    """Fit a Gaussian model to a thousand images: what a linear denoiser could be trained to."""
    images = prior.draw(SampleNoise(77, range(IMAGES))).flatten(1)
    away = images - images.mean(0)
    return GaussianPrior.from_covariance(images.mean(0).reshape(SHAPE), away.T @ away / IMAGES)


def split(operator: str) -> Iterator[tuple[str, ErrorLevels]]:
    """Yield the contributions of every method, on the same measurements."""
    prior = gaussian_field(SHAPE)
    generators = [torch.Generator().manual_seed(i) for i in PROBLEMS]
    known = stack_operators([OPERATORS[operator](SHAPE, generator) for generator in generators])
    truth = prior.draw(SampleNoise(0, [0], scan=1, slices=PROBLEMS))[0]
    noise = SampleNoise(0, [0], scan=2, slices=PROBLEMS)
    problem = simulate(known, truth, noise_std=NOISE_STD, noise=noise)
    sampler = partial(METHODS["conditional"], **METHODS_SHOWN["conditional"])
    for name, options in METHODS_SHOWN.items():
        method: Callable[..., Tensor] = partial(METHODS[name], **options)
        yield (
            name,
            error_levels(
                method, sampler, prior, problem, truth, network=fitted(prior), draws=DRAWS
            ),
        )


def rows(operator: str) -> Iterator[str]:
    """Yield one row a method."""
    for name, found in split(operator):
        c = found.contributions
        last = list(found.levels.values())[-1]
        assert c.learning is not None
        yield (
            f"| {operator} | {name} | {c.monte_carlo:.4f} | {c.discretisation:+.4f} "
            f"| {c.guidance:+.4f} | {c.learning:+.4f} | {last.sliced:.4f} | {c.chance:.4f} "
            f"| {c.ceiling:.3f} | {last.variance_ratio:.2f} | {last.coverage_90:.2f} |"
        )


def brain_rows(data: Path) -> Iterator[str]:
    """Yield, for each family, what steps do to draws of the conditional network of brains."""
    people, network = held_out_people(data), load_prior("brain64-invfussion")
    for family in FAMILIES:
        pick = torch.linspace(0, len(people.images) - 1, FEW).round().long()
        truth = people.images[pick]
        problem = measure(truth, (family,))
        draws = {}
        for steps in (COARSE, FINE):
            streams = SampleNoise(3, range(FEW), slices=range(FEW))
            with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
                draws[steps] = METHODS["conditional"](
                    problem, network, streams, steps=steps, sampler="dpmpp_2m"
                )
        spread = draws[FINE].var(0).mean()
        moved = (draws[COARSE] - draws[FINE]).square().mean()
        wide = draws[COARSE].var(0).mean() / spread
        error = (draws[FINE].mean(0) - truth).square().mean()
        shift, ratio = float((moved / spread).sqrt()), float(spread * (1 + 1 / FEW) / error)
        yield (
            f"| {family.replace('_', ' ')} | {FEW**-0.5:.2f} | {shift:.2f} | {float(wide):.2f} "
            f"| {ratio:.2f} |"
        )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path)
    arguments = parser.parse_args()
    names = "monte carlo | discretisation | guidance | learning | all | chance | prior draws"
    more = "variance ratio | 90 % intervals hold"
    print(f"| operator | method | {names} | {more} |\n|{'---|' * 11}")  # noqa: T201
    for operator in ("inpainting", "matrix"):
        for row in rows(operator):
            print(row, flush=True)  # noqa: T201
    if arguments.data is not None:
        print(  # noqa: T201
            f"\n| family | Monte Carlo error of a mean of {FEW}, std | a draw moves from {COARSE} "
            f"to {FINE} calls, std | variance at {COARSE} over {FINE} | variance over squared "
            f"error at {FINE} |\n|---|---|---|---|---|"
        )
        for row in brain_rows(arguments.data):
            print(row, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
