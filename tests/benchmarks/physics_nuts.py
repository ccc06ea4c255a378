"""Draws of ``local_laplace`` against the no-U-turn sampler: ``python -m tests.benchmarks.physics_nuts``.

Needs pyro-ppl. Rows are kept in ``docs/benchmarks-physics-nuts.json`` as they are finished, and
become a section of ``docs/benchmarks-physics.md``.
"""  # noqa: E501 - the command on one line

import json
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from tests.benchmarks.physics import DOCS, write
from tests.benchmarks.physics_cases import CLIPPED
from uqrestore.methods import local_laplace
from uqrestore.noise import Gaussian, NoiseModel, Poisson, SampleNoise
from uqrestore.operators import Radon
from uqrestore.operators.nonlinear import Affine, BeerLambert, NonlinearOperator, Saturation
from uqrestore.priors import GaussianPrior
from uqrestore.priors.gaussian import gaussian_field
from uqrestore.problem import GeneralProblem

CHAINS, DRAWS = 4, 400
OPTIONS: Mapping[str, Any] = {"levels": 12, "leaps": 8, "spread_products": 12, "data_products": 64}


@dataclass(frozen=True)
class Field:
    """One row: a nonlinear measurement of a Gaussian field.

    Attributes:
        title: What is measured, for the table.
        operator: The operator.
        noise: The noise model.
        steps: Draws of each chain, after half as many that are discarded.
        options: Options of the method besides those of every row.
    """

    title: str
    operator: NonlinearOperator
    noise: NoiseModel
    steps: int = 1000
    options: Mapping[str, Any] = field(default_factory=dict)


def fields() -> dict[str, Field]:
    """Return the rows."""
    small, large = (1, 8, 8), (1, 16, 16)
    rays = Radon.sparse_view(small, views=6).to(torch.float64)
    scan = BeerLambert(rays.out_shape, 30.0) @ rays @ Affine(small, 0.0, 0.4)
    return {
        "saturation-8": Field(
            "saturation, 8 x 8",
            Saturation(small, -0.2, 0.4),
            Gaussian(0.1),
            options=CLIPPED,
        ),
        "ct-8": Field("Poisson CT, 30 photons a ray, 8 x 8", scan, Poisson()),
        "saturation-16": Field(
            "saturation, 16 x 16",
            Saturation(large, -0.2, 0.4),
            Gaussian(0.1),
            steps=3000,
            options=CLIPPED,
        ),
        "counts-16": Field(
            "photons behind each pixel, 5 on average, 16 x 16",
            BeerLambert(large, 15.0) @ Affine(large, 0.0, 2.0),
            Poisson(),
        ),
    }


def no_u_turn(
    problem: GeneralProblem, prior: GaussianPrior, steps: int
) -> tuple[Tensor, float, float]:
    """Return draws ``(chain * step, *in_shape)``, the largest R-hat and the least sample size."""
    import pyro
    from pyro.infer import MCMC, NUTS
    from pyro.ops.stats import effective_sample_size, split_gelman_rubin

    root = prior.directions * prior.variances.sqrt()
    pixels = len(root)

    def image(z: Tensor) -> Tensor:
        return prior.mean + (z @ root.mT).unflatten(-1, prior.in_shape)

    def potential(at: Mapping[str, Tensor]) -> Tensor:
        return at["z"].square().sum() / 2 - problem.log_likelihood(image(at["z"]))

    chains = []
    for seed in range(CHAINS):
        pyro.set_rng_seed(seed)
        start = {"z": torch.randn(pixels, dtype=torch.float64)}
        kernel = NUTS(potential_fn=potential, target_accept_prob=0.8)
        sampler = MCMC(kernel, steps, steps // 2, initial_params=start, disable_progbar=True)
        sampler.run()
        chains.append(sampler.get_samples()["z"])
    drawn = image(torch.stack(chains))
    flat = drawn.flatten(2)
    ratio, size = split_gelman_rubin(flat, 0, 1), effective_sample_size(flat, 0, 1)
    return drawn.flatten(0, 1), float(ratio.max()), float(size.min())


def measure(row: Field) -> dict[str, float]:
    """Return the numbers of one row."""
    prior = gaussian_field(row.operator.in_shape)
    x = prior.draw(SampleNoise(0, [10]))[0]
    problem = GeneralProblem.simulate(row.operator, x, row.noise, seed=11)
    exact, ratio, size = no_u_turn(problem, prior, row.steps)
    draws = local_laplace(
        problem, prior, SampleNoise(1, range(DRAWS)), **{**OPTIONS, **row.options}
    )
    variance, away = exact.var(0), draws.mean(0) - exact.mean(0)
    floor = (variance.mean() * (1 / DRAWS + 1 / size)).sqrt()
    return {
        "r_hat": ratio,
        "effective": size,
        "mean_error": float(away.square().mean().sqrt() / floor),
        "variance_ratio": float(draws.var(0).mean() / variance.mean()),
        "pixel": float((draws.var(0) / variance).log().square().mean().sqrt()),
        "chance": math.sqrt(2 / DRAWS + 2 / size),
    }


def main() -> None:
    """Measure what is missing or named and write the page."""
    torch.set_num_threads(1)
    store, known = DOCS / "benchmarks-physics-nuts.json", fields()
    rows = json.loads(store.read_text()) if store.exists() else {}
    for key in sys.argv[1:] or [key for key in known if key not in rows]:
        rows[key] = {"title": known[key].title} | measure(known[key])
        store.write_text(json.dumps(rows, indent=1) + "\n")
        print(key, rows[key], flush=True)  # noqa: T201 - progress
        write()


if __name__ == "__main__":
    main()
