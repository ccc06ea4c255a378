"""Coverage where physics is not linear, not Gaussian or not known: ``python -m tests.benchmarks.physics``.

Images are drawn from a Gaussian field, so that the prior is exact, and measured with parameters
drawn from theirs. Rows are kept in ``docs/benchmarks-physics.json`` as they are finished; a stopped
run resumes. ``docs/benchmarks-physics.md`` is the page.
"""  # noqa: E501 - the command on one line

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from uqrestore.methods import draw_jointly, local_laplace
from uqrestore.noise import (
    Gaussian,
    NoiseModel,
    Poisson,
    Rician,
    SampleNoise,
    StudentT,
    UncertainGaussian,
)
from uqrestore.operators import Inpainting, LinearOperator, Matrix, Radon
from uqrestore.operators.nonlinear import (
    Affine,
    BeerLambert,
    NonlinearOperator,
    Saturation,
    UncertainBlur,
    UncertainGain,
    UncertainOperator,
    phase_retrieval,
)
from uqrestore.priors import ClosedForm, GaussianPrior
from uqrestore.priors.dense import matrix_of
from uqrestore.priors.gaussian import gaussian_field
from uqrestore.problem import GeneralProblem, Problem

DOCS = Path(__file__).parents[2] / "docs"
SHAPE, SCENES, DRAWS, GRID = (1, 8, 8), 200, 19, 61
OPTIONS: Mapping[str, Any] = {"levels": 12, "spread_products": 12, "data_products": 64}
FEW: Mapping[str, Any] = {"levels": 6, "leaps": 2}
"""Options where almost every trajectory is accepted."""
FIRST = ("noise", "gain", "student", "ct-30", "rician", "phase")
"""Rows that are measured first."""
Instead = Callable[[GaussianPrior, Tensor], ClosedForm]


@dataclass(frozen=True)
class Case:
    """One row of the page.

    Attributes:
        title: What is measured, for the table.
        operator: The operator.
        noise: The noise model.
        options: Options of the method besides :data:`OPTIONS`.
        instead: Posterior of a linear Gaussian problem that one might solve instead.
        other: Name of that problem.
    """

    title: str
    operator: LinearOperator | NonlinearOperator
    noise: NoiseModel
    options: Mapping[str, Any]
    instead: Instead | None = None
    other: str = ""


def seen() -> Inpainting:
    """Return a mask of 6 pixels in 10."""
    return Inpainting(torch.rand(SHAPE, generator=torch.Generator().manual_seed(0)) < 0.6)


def cases() -> dict[str, Case]:
    """Return the rows of the page."""
    rays = Radon.sparse_view(SHAPE, views=6).to(torch.float64)
    generator = torch.Generator().manual_seed(0)
    phases = 2 * math.pi * torch.rand(3, *SHAPE[1:], generator=generator, dtype=torch.float64)

    def ct(photons: float) -> Case:
        scaled = Matrix(0.2 * matrix_of(rays), SHAPE)
        flat = scaled(torch.ones(SHAPE, dtype=torch.float64))

        def logarithm(prior: GaussianPrior, y: Tensor) -> ClosedForm:
            counts = y.clamp(min=0.5).flatten(1)
            std = (1 / counts).mean(-1).sqrt()
            return prior.posterior(Problem(scaled, -torch.log(counts / photons) - flat, std))

        operator = BeerLambert(rays.out_shape, photons) @ rays @ Affine(SHAPE, 0.0, 0.4)
        title = f"Poisson CT, 6 views, {photons:g} photons a ray"
        return Case(title, operator, Poisson(), FEW, logarithm, "logarithm, mean variance")

    def assume(std: float, shift: float = 0.0, scale: float = 1.0) -> Instead:
        identity = Matrix(scale * torch.eye(64, dtype=torch.float64), SHAPE)
        return lambda prior, y: prior.posterior(Problem(identity, y.flatten(1) - shift, std))

    return {
        "saturation": Case(
            "saturation: values above 0.4 and below -0.2 clipped, noise 0.1",
            Saturation(SHAPE, -0.2, 0.4),
            Gaussian(0.1),
            {"leaps": 8},
            assume(0.1),
            "no clipping",
        ),
        "rician": Case(
            "Rician magnitudes of (x + 1) / 2, noise 0.2",
            Affine(SHAPE, 0.0, 1.0),
            Rician(0.2),
            FEW,
            assume(0.2, 0.5, 0.5),
            "Gaussian noise",
        ),
        "student": Case(
            "outliers: Student noise of 3 degrees, scale 0.1",
            Matrix(torch.eye(64, dtype=torch.float64), SHAPE),
            StudentT(0.1, 3.0),
            FEW,
            assume(0.1),
            "Gaussian noise of this scale",
        ),
        "phase": Case(
            "phase retrieval, magnitudes behind 3 coded masks, noise 0.1",
            phase_retrieval(torch.polar(torch.ones_like(phases), phases)),
            Gaussian(0.1),
            {"leaps": 8},
        ),
        "gain": Case(
            "gain known to 30 %, 60 % of the pixels, noise 0.05",
            UncertainGain(seen(), 1.0, 0.3),
            Gaussian(0.05),
            {"leaps": 8},
        ),
        "blur": Case(
            "blur of 1 pixel, width known to 30 %, noise 0.05",
            UncertainBlur(SHAPE, 1.0, 0.3),
            Gaussian(0.05),
            {"leaps": 8},
        ),
        "noise": Case(
            "noise 0.1, known from 4 values, 60 % of the pixels",
            seen(),
            UncertainGaussian(0.1, 4.0),
            {"leaps": 1},
        ),
        "ct-30": ct(30.0),
        "ct-1000": ct(1000.0),
    }


def simulate(case: Case, prior: GaussianPrior, scenes: int) -> tuple[Tensor, Tensor | None, Tensor]:
    """Draw images, parameters from their prior, and measurements."""
    rows = range(scenes)
    x = prior.draw(SampleNoise(0, [10], slices=rows))[0]
    noise, model, theta = SampleNoise(0, [11], slices=rows), case.noise, None
    if isinstance(case.operator, UncertainOperator):
        theta = noise.normal((1,), x)[0]
        signal = case.operator.forward_at(x, theta)
        theta = next(iter(case.operator.values(theta).values()))
    else:
        signal = case.operator.forward(x)
    if isinstance(model, UncertainGaussian):
        # No measurement yet: with a signal of no rows, the draw is of the prior.
        none = torch.zeros_like(signal, dtype=torch.bool)
        model = model.given(signal[None], signal[None], noise, none)
        theta = torch.as_tensor(model.std).flatten()
    y = model.simulate(signal[None], noise)[0]
    return x, theta, y if case.operator.row_mask is None else y * case.operator.row_mask


def at(case: Case, y: Tensor, value: Tensor) -> Problem:
    """Return the linear Gaussian problem of one value of the parameter."""
    if isinstance(case.operator, UncertainOperator):
        centre = next(iter(case.operator.values(torch.zeros(1, dtype=torch.float64)).values()))
        theta = (value / centre).log() / case.operator.relative_std  # type: ignore[attr-defined]
        images = torch.eye(64, dtype=torch.float64).reshape(64, *SHAPE)
        columns = case.operator.forward_at(images, theta.reshape(1, 1).expand(64, 1)).flatten(1)
        assert isinstance(case.noise, Gaussian)
        kept = columns.abs().sum(0) > 0
        return Problem(Matrix(columns.mT[kept], SHAPE), y.flatten(1)[:, kept], case.noise.std)
    assert isinstance(case.operator, LinearOperator)
    return Problem(case.operator, y, float(value))


def log_prior(case: Case, value: Tensor) -> Tensor:
    """Log density of the logarithm of a parameter."""
    if isinstance(case.noise, UncertainGaussian):
        degrees, std = case.noise.degrees, float(case.noise.std)
        return -degrees * value.log() - degrees * std**2 / (2 * value.square())
    centre, width = 1.0, case.operator.relative_std  # type: ignore[union-attr]
    return -0.5 * ((value / centre).log() / width).square()


def exact(case: Case, prior: GaussianPrior, y: Tensor) -> dict[str, Tensor]:
    """Return the exact posterior of image and parameter by a grid, and two plug-in posteriors."""
    known = isinstance(case.noise, UncertainGaussian)
    centre, width = (0.1, 0.5) if known else (1.0, 0.3)
    grid = centre * torch.exp(width * torch.linspace(-4.5, 4.5, GRID, dtype=torch.float64))
    log = torch.stack([prior.log_evidence(at(case, y, v)) + log_prior(case, v) for v in grid])
    weights, best = log.softmax(0), grid[log.argmax(0)]
    mean, power = torch.zeros(len(y), *SHAPE).double(), torch.zeros(len(y), *SHAPE).double()
    chosen = {"best_mean": mean.clone(), "best_std": mean.clone()}
    for value, w in zip(grid, weights, strict=True):
        posterior, share = prior.condition(at(case, y, value)), w[:, None, None, None]
        mean = mean + share * posterior.mean
        power = power + share * (posterior.mean.square() + posterior.std.square())
        mine = (best == value)[:, None, None, None]
        chosen["best_mean"] = torch.where(mine, posterior.mean, chosen["best_mean"])
        chosen["best_std"] = torch.where(mine, posterior.std, chosen["best_std"])
    nominal = prior.condition(at(case, y, torch.tensor(centre, dtype=torch.float64)))
    return chosen | {
        "mean": mean,
        "std": (power - mean.square()).sqrt(),
        "nominal_mean": nominal.mean,
        "nominal_std": nominal.std.expand_as(mean),
        "parameter_mean": (weights * grid[:, None]).sum(0),
    }


def within(x: Tensor, draws: Tensor) -> float:
    """Return the share of values between the smallest and the largest draw: 90 % of 19 draws."""
    return float(((x >= draws.amin(0)) & (x <= draws.amax(0))).double().mean())


def gaussian_cover(x: Tensor, mean: Tensor, std: Tensor) -> float:
    """Return the share of pixels in the 90 % intervals of Gaussian marginals."""
    return float(((x - mean).abs() <= 1.6449 * std).double().mean())


def by_scene(x: Tensor, draws: Tensor) -> float:
    """Return the standard error of the coverage, over scenes."""
    inside = ((x >= draws.amin(0)) & (x <= draws.amax(0))).double().flatten(1).mean(1)
    return float(inside.std() / math.sqrt(len(inside)))


def measure(case: Case, scenes: int = SCENES) -> dict[str, Any]:
    """Return the numbers of one row."""
    prior = gaussian_field(SHAPE)
    x, theta, y = simulate(case, prior, scenes)
    problem = GeneralProblem(case.operator, y, case.noise).to(torch.float32)  # twice as fast
    noise, start = SampleNoise(1, range(DRAWS), slices=range(scenes)), time.perf_counter()
    options = {**OPTIONS, **case.options}
    if theta is None:
        draws, found = local_laplace(problem, prior, noise, **options), {}
    else:
        draws, found = draw_jointly(problem, prior, noise, **options)
    draws, found = draws.double(), {key: value.double() for key, value in found.items()}
    seconds = time.perf_counter() - start
    if case.operator.name == "nonlinear_composed" and not isinstance(case.noise, Poisson):
        sign = (draws * x).flatten(2).sum(-1).sign()  # magnitudes do not tell x from -x
        draws = draws * sign[..., None, None, None]
    row: dict[str, Any] = {
        "coverage": within(x, draws),
        "error": by_scene(x, draws),
        "rmse": float((draws.mean(0) - x).square().mean().sqrt()),
        "std": float(draws.var(0).mean().sqrt()),
        "seconds": seconds,
    }
    if case.instead is not None:
        other = case.instead(prior, y)
        row |= {"other": gaussian_cover(x, other.mean, other.std)}
        row |= {"other_rmse": float((other.mean - x).square().mean().sqrt())}
    if theta is not None:
        known = exact(case, prior, y)
        away = (draws.mean(0) - known["mean"]).square().mean().sqrt()
        floor = (known["std"].square().mean() / DRAWS).sqrt()
        row |= {
            "parameter": within(theta, next(iter(found.values()))),
            "nominal": gaussian_cover(x, known["nominal_mean"], known["nominal_std"]),
            "best": gaussian_cover(x, known["best_mean"], known["best_std"]),
            "nominal_rmse": float((known["nominal_mean"] - x).square().mean().sqrt()),
            "mean_error": float(away / floor),
            "variance_ratio": float(draws.var(0).mean() / known["std"].square().mean()),
        }
    return row


def split_gibbs(noise_std: float, levels: int, high: float = 3.0) -> tuple[float, float]:
    r"""Return mean and variance of annealed split Gibbs draws, relative to the exact ones.

    Of one direction with a prior :math:`N(0, 1)` and a measurement of value 1. At each level
    :math:`\rho`, from ``high`` down to 0.01, :math:`z` is drawn from the prior given
    :math:`x = z + \rho n`, and :math:`x` from the likelihood given :math:`z`, both exactly.
    """
    mean, variance, noise = 0.0, 1 + high**2, noise_std**2
    for rho in torch.logspace(math.log10(high), -2, levels, dtype=torch.float64).tolist():
        kept = 1 / (1 + rho**2)
        mean, variance = kept * mean, kept**2 * variance + kept * rho**2
        held = noise / (noise + rho**2)
        mean, variance = held * mean + 1 - held, held**2 * variance + held * rho**2
    return mean * (1 + noise), variance * (1 + noise) / noise


def percent(value: float) -> str:
    """Return a share as text."""
    return f"{100 * value:.1f} %"


def page(rows: Mapping[str, dict[str, Any]]) -> str:
    """Return the page."""
    known = cases()
    lines = [
        "# Physics that is not linear, not Gaussian or not known",
        "",
        f"{SCENES} images of a Gaussian field of 8 x 8 pixels (standard deviation 0.5), {DRAWS} "
        "draws of `local_laplace` each with this prior, which is exact. Coverage is the share of "
        "pixels between the smallest and the largest draw: 90 % for an ideal sampler. Its standard "
        "error is over scenes. Made by `python -m tests.benchmarks.physics`, in single precision, "
        f"with {OPTIONS['levels']} noise levels, or {FEW['levels']} for counts, Rician and Student "
        "noise.",
        "",
        "## Operators and noise",
        "",
        "In the last columns: the 90 % intervals of the exact posterior of a linear Gaussian "
        "problem that one might solve instead.",
        "",
        "| problem | coverage | RMSE of the mean | instead | coverage | RMSE |",
        "|---|---|---|---|---|---|",
    ]
    for key, row in rows.items():
        case = known[key]
        if "parameter" not in row:
            other = (
                f"{case.other} | {percent(row['other'])} | {row['other_rmse']:.3f}"
                if "other" in row
                else " | | "
            )
            lines.append(
                f"| {case.title} | {percent(row['coverage'])} ± {percent(row['error'])} | "
                f"{row['rmse']:.3f} | {other} |"
            )
    lines += [
        "",
        *(
            [
                "Phase retrieval is up to the sign of the image: every draw has the sign that is "
                "nearer to the truth, which narrows its intervals a little.",
                "",
            ]
            if "phase" in rows
            else []
        ),
        "## Unknown parameters",
        "",
        "Image and parameter drawn together, against plug-in posteriors: with the parameter at the "
        "centre of its prior, and at its most probable value given the measurement. The exact "
        f"posterior is a sum over {GRID} values of the parameter, each with a Gaussian posterior; "
        "the error of the mean of the draws is in units of what chance leaves with "
        f"{DRAWS} draws, and the variance is relative to the exact one.",
        "",
        "| unknown | coverage | of the parameter | plug-in at centre | plug-in, most probable | "
        "mean error | variance |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {known[key].title} | {percent(row['coverage'])} ± {percent(row['error'])} | "
        f"{percent(row['parameter'])} | {percent(row['nominal'])} | {percent(row['best'])} | "
        f"{row['mean_error']:.2f} | {row['variance_ratio']:.2f} |"
        for key, row in rows.items()
        if "parameter" in row
    ]
    lines += [
        "",
        "A variance above 1, and parameters that are covered less often than 90 %, point to "
        "chains that have not converged after these levels.",
        "",
        *(
            ["Not measured yet: " + "; ".join(known[key].title for key in missing) + ".", ""]
            if (missing := [key for key in known if key not in rows])
            else []
        ),
        "## Why not a split Gibbs sampler",
        "",
        "PnP-DM (arXiv:2405.18782) alternates between prior and likelihood, coupled by a noise "
        "whose level falls. Where a direction is measured poorly, it has not converged at the end: "
        "mean and variance of its draws in a direction of prior variance 1, relative to the exact "
        "ones, by the recursion of its moments with exact steps, from level 3 to 0.01.",
        "",
        "| noise of the measurement | 12 levels | 25 levels | 80 levels |",
        "|---|---|---|---|",
    ]
    for noise_std in (0.3, 1.0, 3.0):
        cells = [
            "mean {:.2f}, variance {:.2f}".format(*split_gibbs(noise_std, levels))
            for levels in (12, 25, 80)
        ]
        lines.append(f"| {noise_std:g} | {' | '.join(cells)} |")
    lines += [
        "",
        "`local_laplace` draws the image from prior and likelihood at once; for Gaussian images "
        "and a linear measurement both ratios are 1 at any number of levels (`tests/methods`).",
    ]
    return "\n".join([*lines, ""])


def main() -> None:
    """Measure what is missing and write the page."""
    torch.set_num_threads(1)
    store = DOCS / "benchmarks-physics.json"
    rows = json.loads(store.read_text()) if store.exists() else {}
    for key in dict.fromkeys([*FIRST, *cases()]):
        if key not in rows:
            rows[key] = measure(cases()[key])
            store.write_text(json.dumps(rows, indent=1) + "\n")
            print(key, rows[key], flush=True)  # noqa: T201 - progress
        done = {key: rows[key] for key in cases() if key in rows}
        (DOCS / "benchmarks-physics.md").write_text(page(done))


if __name__ == "__main__":
    main()
