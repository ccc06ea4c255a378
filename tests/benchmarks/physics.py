"""Coverage where physics is not linear, not Gaussian or not known: ``python -m tests.benchmarks.physics``.

Images are drawn from a Gaussian field, so that the prior is exact, and measured with parameters
drawn from theirs. Rows are kept in ``docs/benchmarks-physics.json`` as they are finished; a stopped
run resumes, and names of rows measure these again. ``docs/benchmarks-physics.md`` is the page.
"""  # noqa: E501 - the command on one line

import json
import math
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tests.benchmarks.physics_cases import Case, cases
from tests.benchmarks.physics_page import DRAWS, LEVELS, page
from tests.benchmarks.physics_plugin import exact, most_probable, plug_in
from uqrestore.diffusion.denoiser import Denoiser
from uqrestore.diffusion.wrapped import Counting
from uqrestore.methods import draw_jointly, local_laplace
from uqrestore.methods.fitted_joint import draw_fitted_in_detail
from uqrestore.methods.local_laplace import COORDINATES
from uqrestore.noise import Poisson, SampleNoise, UncertainGaussian
from uqrestore.operators.nonlinear import UncertainOperator
from uqrestore.priors import ClosedForm, GaussianPrior
from uqrestore.priors.gaussian import gaussian_field
from uqrestore.problem import GeneralProblem

DOCS = Path(__file__).parents[2] / "docs"
FEW_SCENES = 2
"""Images that calls are counted on."""
OPTIONS: Mapping[str, Any] = {"levels": LEVELS, "spread_products": 12, "data_products": 64}


def simulate(case: Case, prior: GaussianPrior) -> tuple[Tensor, Tensor | None, Tensor]:
    """Draw images, parameters in their units from their prior, and measurements."""
    rows = range(case.scenes)
    x = prior.draw(SampleNoise(0, [10], slices=rows))[0]
    noise, model, theta = SampleNoise(0, [11], slices=rows), case.noise, None
    if isinstance(case.operator, UncertainOperator):
        drawn = noise.normal((case.operator.count,), x)[0]
        signal, theta = case.operator.forward_at(x, drawn), flat(case.operator.values(drawn))
    else:
        signal = case.operator.forward(x)
    if isinstance(model, UncertainGaussian):
        # No measurement yet: with a signal of no rows, the draw is of the prior.
        none = torch.zeros_like(signal, dtype=torch.bool)
        model = model.given(signal[None], signal[None], noise, none)
        theta = torch.as_tensor(model.std).flatten()[:, None]
    y = model.simulate(signal[None], noise)[0]
    return x, theta, y if case.operator.row_mask is None else y * case.operator.row_mask


def flat(values: Mapping[str, Tensor], lead: int = 1) -> Tensor:
    """Return all parameters of each scene in a row."""
    return torch.cat([v.reshape(*v.shape[:lead], -1) for v in values.values()], -1)


def within(x: Tensor, draws: Tensor) -> float:
    """Return the share of values between the smallest and the largest draw: 90 % of 19 draws."""
    return float(((x >= draws.amin(0)) & (x <= draws.amax(0))).double().mean())


def by_scene(x: Tensor, draws: Tensor) -> float:
    """Return the standard error of the coverage, over scenes."""
    inside = ((x >= draws.amin(0)) & (x <= draws.amax(0))).double().flatten(1).mean(1)
    return float(inside.std() / math.sqrt(len(inside)))


def scored(name: str, x: Tensor, posterior: ClosedForm) -> dict[str, float]:
    """Return coverage of the 90 % intervals of Gaussian marginals, and RMSE of the mean."""
    inside = (x - posterior.mean).abs() <= 1.6449 * posterior.std
    rmse = (posterior.mean - x).square().mean().sqrt()
    return {name: float(inside.double().mean()), f"{name}_rmse": float(rmse)}


def sample(case: Case, y: Tensor, prior: Denoiser) -> tuple[Tensor, dict[str, Tensor]]:
    """Draw images, and parameters if some are unknown, in single precision: twice as fast."""
    problem = GeneralProblem(case.operator, y, case.noise).to(torch.float32)
    noise = SampleNoise(1, range(DRAWS), slices=range(len(y)))
    if case.fitted:
        images, found = draw_fitted_in_detail(problem, prior, noise, **case.options)
        return images, {name: v for name, v in found.items() if name != COORDINATES}
    options = {**OPTIONS, **case.options}
    unknown = isinstance(case.operator, UncertainOperator) or isinstance(
        case.noise, UncertainGaussian
    )
    if unknown:
        return draw_jointly(problem, prior, noise, **options)
    return local_laplace(problem, prior, noise, **options), {}


def cost(case: Case) -> dict[str, int]:
    """Return network calls and products of a draw, the most among those of a few images."""
    prior = gaussian_field(case.operator.in_shape, correlation=case.correlation)
    counting = Counting(prior)
    sample(case, simulate(replace(case, scenes=FEW_SCENES), prior)[2], counting)
    return {"calls": counting.counts.network, "products": counting.counts.products}


def measure(case: Case) -> dict[str, Any]:
    """Return the numbers of one row."""
    prior = gaussian_field(case.operator.in_shape, correlation=case.correlation)
    x, theta, y = simulate(case, prior)
    start = time.perf_counter()
    draws, found = sample(case, y, prior)
    draws, seconds = draws.double(), time.perf_counter() - start
    if case.operator.name == "nonlinear_composed" and not isinstance(case.noise, Poisson):
        sign = (draws * x).flatten(2).sum(-1).sign()  # magnitudes do not tell x from -x
        draws = draws * sign[..., None, None, None]
    row: dict[str, Any] = {
        "scenes": case.scenes,
        "coverage": within(x, draws),
        "error": by_scene(x, draws),
        "rmse": float((draws.mean(0) - x).square().mean().sqrt()),
        "std": float(draws.var(0).mean().sqrt()),
        "seconds": seconds,
    }
    if case.instead is not None:
        row |= scored("other", x, case.instead(prior, y))
    if theta is None:
        return row
    row["parameter"] = within(theta, flat({k: v.double() for k, v in found.items()}, 2))
    count = case.operator.count if isinstance(case.operator, UncertainOperator) else 1
    row |= scored("nominal", x, plug_in(case, prior, y, torch.zeros(len(y), count).double()))
    if count > 1:
        return row | scored("best", x, plug_in(case, prior, y, most_probable(case, prior, y)))
    known = exact(case, prior, y)
    away = (draws.mean(0) - known["mean"]).square().mean().sqrt()
    floor = (known["std"].square().mean() / DRAWS).sqrt()
    row |= scored("best", x, plug_in(case, prior, y, known["best"]))
    row |= {
        "mean_error": float(away / floor),
        "variance_ratio": float(draws.var(0).mean() / known["std"].square().mean()),
    }
    return row


def write() -> None:
    """Write the page from what has been measured."""
    kept = {name: DOCS / f"benchmarks-physics{name}.json" for name in ("", "-nuts", "-evidence")}
    rows = {k: json.loads(p.read_text()) if p.exists() else {} for k, p in kept.items()}
    (DOCS / "benchmarks-physics.md").write_text(page(rows[""], rows["-nuts"], rows["-evidence"]))


def main() -> None:
    """Measure what is missing or named and write the page."""
    torch.set_num_threads(1)
    store, known = DOCS / "benchmarks-physics.json", cases()
    rows = json.loads(store.read_text()) if store.exists() else {}
    for key in sys.argv[1:] or [key for key in known if key not in rows]:
        rows[key] = measure(known[key])
        store.write_text(json.dumps(rows, indent=1) + "\n")
        print(key, rows[key], flush=True)  # noqa: T201 - progress
    for key in [key for key, row in rows.items() if "calls" not in row]:
        rows[key] |= cost(known[key])
        store.write_text(json.dumps(rows, indent=1) + "\n")
        print(key, rows[key], flush=True)  # noqa: T201 - progress
    write()


if __name__ == "__main__":
    main()
