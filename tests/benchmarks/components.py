"""Predicted principal components beside the exact posterior of a Gaussian field.

``python -m tests.benchmarks.components FOLDER`` measures the networks that
``python -m tests.benchmarks.field_networks FOLDER`` has trained.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tests.benchmarks.field_networks import COMPONENTS, FAMILIES, RUNS, SHAPE, field, trained
from uqrestore.diffusion.denoiser import NetworkDenoiser
from uqrestore.diffusion.posterior_mean import PosteriorMoments, posterior_moments
from uqrestore.networks import InvFussion
from uqrestore.networks.linear.build import SizedEstimator
from uqrestore.networks.linear.components import linear_components
from uqrestore.noise import SampleNoise
from uqrestore.operators.base import LinearOperator
from uqrestore.operators.mixed import mix
from uqrestore.priors import GaussianPrior
from uqrestore.problem import Problem, simulate
from uqrestore.training.batch import build_distribution
from uqrestore.training.data import step_generator

PROBLEMS = 150
ROUNDS = 2
"""Iterations of the search for the components of the Gaussian model alone, as in the networks."""
OPEN = 16
"""Least directions that a measurement must leave open to be counted here."""
DRAWS = 64


@dataclass(frozen=True)
class Fidelity:
    """How five predicted components compare with the exact ones, over problems.

    Attributes:
        captured: Posterior variance inside the predicted five, over that of the exact five.
        captured_error: Its standard error over problems.
        captured_by_draws: The same for the components of 64 exact draws.
        length: Root mean square predicted std over root mean square of the true std along the
            predicted directions, for each component.
        within: Share of all predicted std that are within 5 % of the true one.
        typical: Median of ``|std / true - 1|``.
        shrunk: Mean over problems of predicted over true *variance*, for each component.
        shrunk_form: What the closed form of the published normalisation makes of it.
        mean_excess: Squared error of the mean beyond the exact one, over the posterior variance.
    """

    captured: float
    captured_error: float
    captured_by_draws: float
    length: tuple[float, ...]
    within: float
    typical: float
    shrunk: tuple[float, ...]
    shrunk_form: tuple[float, ...]
    mean_excess: float


def operators(family: str, options: object) -> LinearOperator:
    """Draw operators that leave enough directions open, the same in every run."""
    distribution = build_distribution(family, options, SHAPE)  # type: ignore[arg-type]
    generator, kept = step_generator(11, len(family)), []
    while len(kept) < PROBLEMS:
        one = distribution.draw_one(generator)
        rank = one.rank()
        assert rank is not None
        if int(np.prod(SHAPE)) - int(rank) >= OPEN:
            kept.append(one)
    return mix(kept)


def measure(
    denoiser: NetworkDenoiser,
    prior: GaussianPrior,
    operator: LinearOperator,
    *,
    linear: bool = False,
) -> Fidelity:
    """Ask the network, or its linear model alone, for every problem; compare with what is exact."""
    count = range(PROBLEMS)
    truth = prior.draw(SampleNoise(5, [0], slices=count))[0]
    problem = simulate(operator.to(torch.float64), truth)
    posterior = prior.posterior(problem)
    assert isinstance(posterior, GaussianPrior)
    single = Problem(operator.to(torch.float32), problem.y.float())
    if linear:
        moments = linear_moments(denoiser, single)
    else:
        moments = posterior_moments(denoiser, single, SampleNoise(0, [0], slices=count))
    rows = moments.directions.double().flatten(2)
    variance = _variance(posterior, rows)
    best = posterior.components(COMPONENTS)[1].square().sum(-1)
    captured = (variance.sum(-1) / best).numpy()
    draws = posterior.draw(SampleNoise(6, range(DRAWS), slices=count)).flatten(2)
    found = torch.linalg.svd((draws - draws.mean(0)).movedim(0, 1), full_matrices=False).Vh
    by_draws = _variance(posterior, found[:, :COMPONENTS]).sum(-1) / best
    std = moments.std.double()
    ratio = std / variance.sqrt()
    total = posterior.variances.sum(-1)
    away = (moments.mean.double() - posterior.mean).square().flatten(1).sum(1)
    return Fidelity(
        captured=float(captured.mean()),
        captured_error=float(captured.std(ddof=1) / PROBLEMS**0.5),
        captured_by_draws=float(by_draws.mean()),
        length=_each((std.square().mean(0) / variance.mean(0)).sqrt()),
        within=float(((ratio - 1).abs() <= 0.05).double().mean()),
        typical=float((ratio - 1).abs().median()),
        shrunk=_each(ratio.square().mean(0)),
        shrunk_form=_each(shrinkage(posterior, rows).mean(0)),
        mean_excess=float((away / total).mean()),
    )


def linear_moments(denoiser: NetworkDenoiser, problem: Problem) -> PosteriorMoments:
    """Starting point of the network: estimate and components of the model of its images."""
    network = denoiser.network
    assert isinstance(network, InvFussion)
    assert isinstance(network.linear_guess, SizedEstimator)
    rows = linear_components(network.linear_guess, problem, COMPONENTS, ROUNDS)
    std = rows.flatten(2).norm(dim=2).clamp(min=torch.finfo(rows.dtype).tiny)
    mean = problem.project(network.linear_guess(problem))
    return PosteriorMoments(mean, rows / std[..., None, None, None], std)


def shrinkage(posterior: GaussianPrior, rows: Tensor) -> Tensor:
    r"""Return what ``per_image`` makes of the variance along unit directions, over the true one.

    The minimiser is :math:`E[(v^T e)^2 / |e|^4] / E[|e|^{-4}]`. With
    :math:`q^{-2} = \int t e^{-t q} dt` both are integrals over one number,
    :math:`\int t \phi(t)\, v^T C (1 + 2 t C)^{-1} v\, dt` over :math:`\int t \phi(t)\, dt`, where
    :math:`\phi(t) = \prod_i (1 + 2 t \lambda_i)^{-1/2}`.
    """
    u = torch.linspace(-14, 14, 4001, dtype=torch.float64)  # of ln t; the integrands are smooth
    variances = posterior.variances[:, None] / posterior.variances.mean(-1)[:, None, None]
    t = u.exp()[None, :, None]
    weight = torch.exp(2 * u - 0.5 * torch.log1p(2 * t * variances).sum(-1))
    shares = torch.einsum("...kp,...pr->...kr", rows, posterior.directions).square()
    found = []
    for share, lam, w in zip(shares, variances[:, 0], weight, strict=True):
        above = (lam / (1 + 2 * u.exp()[:, None] * lam)) @ share.mT
        found.append((above * w[:, None]).sum(0) / w.sum() / (share @ lam))
    return torch.stack(found)


def _variance(posterior: GaussianPrior, rows: Tensor) -> Tensor:
    """Posterior variance along unit directions ``(problem, component, pixel)``."""
    along = torch.einsum("bkp,bpr->bkr", rows, posterior.directions)
    return (along.square() * posterior.variances[:, None]).sum(-1)


def _each(values: Tensor) -> tuple[float, ...]:
    return tuple(values.tolist())


def table(found: Mapping[tuple[str, str], Fidelity]) -> str:
    """Return the rows of the page."""
    head = (
        "| network | operators | captured | by PCA of 64 exact draws | std over true std, "
        "components 1 to 5 | median error of a std | within 5 % | excess error of the mean |\n"
        "|---|---|---|---|---|---|---|---|\n"
    )
    rows = [
        f"| {name} | {family.replace('_', ' ')} | {f.captured:.3f} +- {f.captured_error:.3f} "
        f"| {f.captured_by_draws:.3f} | {_words(f.length)} | {100 * f.typical:.1f} % "
        f"| {100 * f.within:.0f} % | {f.mean_excess:.4f} |"
        for (name, family), f in found.items()
    ]
    bias = [
        f"| {name} | {family.replace('_', ' ')} | {_words(f.shrunk)} | {_words(f.shrunk_form)} |"
        for (name, family), f in found.items()
        if "squared" in name
    ]
    more = (
        "\n\n| network | operators | predicted over true variance | closed form of `per_image` |\n"
        "|---|---|---|---|\n"
    )
    return head + "\n".join(rows) + (more + "\n".join(bias) if bias else "")


def _words(values: Sequence[float]) -> str:
    return " ".join(f"{value:.2f}" for value in values)


def main() -> None:
    """Measure every network of the folder."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    prior, found = field(), {}
    for name, run in RUNS.items():
        if not (arguments.folder / name / "ema.safetensors").exists():
            continue
        denoiser = trained(name, arguments.folder)
        for family, options in FAMILIES[run.families].items():
            operator = operators(family, options)
            found[name, family] = measure(denoiser, prior, operator)
            if run.start is None and run.rounds:
                alone = measure(denoiser, prior, operator, linear=True)
                found[f"the Gaussian model that {name} starts from", family] = alone
    print(table(found))  # noqa: T201 - the command's answer


if __name__ == "__main__":
    main()
