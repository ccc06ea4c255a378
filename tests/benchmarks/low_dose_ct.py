"""Low-dose CT of people whom no training saw, in Hounsfield units: posterior mean against FBP and TV.

``python -m tests.benchmarks.low_dose_ct DATA`` measures what is missing in
``docs/benchmarks-low-dose.json`` and writes ``docs/benchmarks-low-dose.md``; a stopped run resumes.
DATA is the folder of the training data, of which only the groups ``test`` are read.
``... DATA --fit`` fits the error model of the prior on the groups ``val`` and writes its card.
"""  # noqa: E501 - the first line on one line

import argparse
import json
import math
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.benchmarks.ct_slices import few
from uqrestore.baselines import total_variation
from uqrestore.cli.terminal import say
from uqrestore.diffusion.denoiser import NetworkDenoiser
from uqrestore.diffusion.error_model import fit_error_model
from uqrestore.methods import fitted_gaussian
from uqrestore.noise import MEASUREMENT_STREAM, REFINEMENT_STREAM, Poisson, SampleNoise
from uqrestore.operators import Radon
from uqrestore.operators.nonlinear import Affine, BeerLambert, NonlinearOperator
from uqrestore.posterior.intervals import central_interval
from uqrestore.problem import GeneralProblem
from uqrestore.problem.counts import logarithm, sinogram
from uqrestore.zoo import load_card, load_prior, locate

DOCS = Path(__file__).parents[2] / "docs"
STORE, PAGE = DOCS / "benchmarks-low-dose.json", DOCS / "benchmarks-low-dose.md"
SHAPE, VIEWS, DOSES = (1, 64, 64), 60, (1e4, 3e4, 1e5)
PIXEL_CM, WATER = 0.3, 0.2
"""Side of a pixel, and attenuation of water in 1/cm at 60 keV."""
DRAWS, FIRST, LEVELS = 19, 2, 20
"""Draws; draws of the logarithm before; noise levels."""
PER_PERSON = 2
SOFT = (-150.0, 250.0)
"""HU of soft tissue in the reference."""
WIDTHS = (0.0, 0.3, 0.4, 0.5, 0.6, 0.8)
"""Standard deviations, in detectors, of the smoothing before filtered back-projection."""
WEIGHTS = {
    1e4: (0.3, 0.45, 0.65, 0.9, 1.3, 1.9, 2.8, 4.0),
    3e4: (0.12, 0.2, 0.3, 0.45, 0.65, 0.95, 1.4, 2.0),
    1e5: (0.04, 0.07, 0.11, 0.16, 0.24, 0.36, 0.54, 0.8),
}
"""Weights of total variation at each dose."""
SIGMAS = torch.logspace(math.log10(0.003), math.log10(5), 20).tolist()
GAIN = 1.25


def crops(folder: Path, split: str, most: int = PER_PERSON) -> list[tuple[str, int, Tensor]]:
    """Return person, number and the middle 64 x 64 pixels of a few slices of everyone."""
    return [(who, at, x[:, 32:96, 32:96]) for who, at, x in few(folder, split, most)]


def scanner(photons: float) -> tuple[Radon, NonlinearOperator]:
    """Return the rays, and the expected counts behind an image in network intensity."""
    rays, water = Radon.sparse_view(SHAPE, views=VIEWS), WATER * PIXEL_CM
    return rays, BeerLambert(rays.out_shape, photons) @ rays @ Affine(SHAPE, 0.0, 2 * water)


def measure(photons: float, x: Tensor, key: int) -> GeneralProblem:
    """Count the photons of one slice."""
    _, operator = scanner(photons)
    noise = SampleNoise(0, [MEASUREMENT_STREAM], slices=key)
    return GeneralProblem.simulate(operator, x, Poisson(), noise=noise)


def draw(problem: GeneralProblem, prior: NetworkDenoiser, key: int, draws: int = DRAWS) -> Tensor:
    """Return draws: of the logarithm, and linearised about the mean of a few draws."""
    first = logarithm(problem)
    assert first is not None
    noise = SampleNoise(0, range(REFINEMENT_STREAM, REFINEMENT_STREAM + FIRST), slices=key)
    mean = fitted_gaussian(first, prior, noise, levels=LEVELS).mean(0)
    noise = SampleNoise(0, range(draws), slices=key)
    return fitted_gaussian(problem.linearise(mean), prior, noise, levels=LEVELS)


def baselines(problem: GeneralProblem, x: Tensor, photons: float) -> dict[str, float]:
    """Return the lowest error in HU over all settings, by the name of the method."""
    made = sinogram(problem)
    assert made is not None
    flat, low, high = made
    rays = flat.operator
    assert isinstance(rays, Radon)

    def shown(image: Tensor) -> Tensor:
        return low + (high - low) * image

    found = {
        "filtered back-projection": [shown(rays.fbp(smoothed(flat.y, width))) for width in WIDTHS],
        "total variation": [
            shown(total_variation(flat, weight=weight)) for weight in WEIGHTS[photons]
        ],
    }
    best = {}
    for name, images in found.items():
        errors = [rmse(image, x) for image in images]
        best[name] = min(errors)
        best[f"{name}: setting"] = float(np.argmin(errors))
    return best


def smoothed(integrals: Tensor, width: float) -> Tensor:
    """Smooth projections along the detectors by a Gaussian of a width in detectors."""
    if not width:
        return integrals
    at = torch.arange(-3, 4.0)
    kernel = torch.exp(-0.5 * (at / width) ** 2)
    return F.conv1d(
        integrals.transpose(0, 1), (kernel / kernel.sum())[None, None], padding=3
    ).transpose(0, 1)


def rmse(image: Tensor, x: Tensor) -> float:
    """Return the root mean square error in HU."""
    return float(1000 * (image - x).square().mean().sqrt())


def scores(draws: Tensor, x: Tensor) -> dict[str, float]:
    """Return error of the mean, coverage of soft tissue and of all pixels, and mean spread."""
    low, high = central_interval(len(draws)).of(draws.numpy())
    hu = 1000 * x.numpy()
    inside, soft = (low <= x.numpy()) & (x.numpy() <= high), (hu > SOFT[0]) & (hu < SOFT[1])
    return {
        "posterior mean": rmse(draws.mean(0), x),
        "one draw": rmse(draws[0], x),
        "coverage": float(inside[soft].mean()),
        "coverage everywhere": float(inside.mean()),
        "std": float(1000 * draws.var(0).mean().sqrt()),
    }


def fit(folder: Path) -> Path:
    """Write the error model of the prior, measured on validation people, to its card."""
    prior = load_prior("ct64-prior")
    assert isinstance(prior, NetworkDenoiser)
    images = torch.stack([x for _, _, x in crops(folder, "val", 24)])
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        errors = fit_error_model(prior, images, SIGMAS, generator)
    errors = replace(errors, gain=torch.full_like(errors.gain, GAIN))
    path = locate("ct64-prior").with_suffix(".json")
    card = json.loads(path.read_text())
    card["errors"] = errors.to_data()
    path.write_text(json.dumps(card, indent=1) + "\n")
    return path


def run(folder: Path) -> dict[str, dict[str, Any]]:
    """Measure what is missing, and keep every row."""
    digest = load_card("ct64-prior").sha256
    rows = json.loads(STORE.read_text()) if STORE.exists() else {}
    rows = {name: row for name, row in rows.items() if row.get("sha256") == digest}
    prior = load_prior("ct64-prior")
    assert isinstance(prior, NetworkDenoiser)
    for key, (person, number, x) in enumerate(crops(folder, "test")):
        for photons in DOSES:
            name = f"{person} {number} {photons:g}"
            if name in rows:
                continue
            problem, start = measure(photons, x, key), time.process_time()
            draws = draw(problem, prior, key)
            seconds = time.process_time() - start
            row = {"person": person, "photons": photons, "seconds": seconds, "sha256": digest}
            rows[name] = row | scores(draws, x) | baselines(problem, x, photons)
            STORE.write_text(json.dumps(rows, indent=1) + "\n")
            say(f"{name}: {rows[name]}")
    return rows


def by_person(rows: Mapping[str, dict[str, Any]], photons: float, key: str) -> np.ndarray:
    """Return the mean of a number over the slices of each person, at one dose."""
    people: dict[str, list[float]] = {}
    for row in rows.values():
        if row["photons"] == photons:
            people.setdefault(row["person"], []).append(row[key])
    return np.array([np.mean(values) for values in people.values()])


def spread(values: np.ndarray, digits: int = 1) -> str:
    """Return mean and standard deviation over people."""
    return f"{values.mean():.{digits}f} ± {values.std(ddof=1):.{digits}f}"


def page(rows: Mapping[str, dict[str, Any]]) -> str:
    """Return the page."""
    people = len({row["person"] for row in rows.values()})
    interval = central_interval(DRAWS)
    seconds = np.mean([row["seconds"] for row in rows.values()]) / DRAWS
    lines = [
        "# Low-dose CT",
        "",
        f"{len(rows) // len(DOSES)} slices of {people} people whom no training saw (thorax, the "
        f"middle 64 x 64 pixels of 3 mm, taken as the whole object), {VIEWS} parallel views, "
        "Poisson counts behind Beer-Lambert attenuation, at 60 keV. Noise model, operator and "
        "draws are those of the pipeline `ct-low-dose`: `ct64-prior`, `fitted_gaussian` with "
        f"{LEVELS} levels on the linearised counts, {DRAWS} draws ({LEVELS} network calls and "
        f"{seconds:.1f} s each on one core, after {FIRST} draws of the logarithm that give the "
        "point of linearisation). Filtered back-projection and total variation take the "
        "logarithm of the counts; their smoothing and weight are the best of each slice, chosen "
        "with the reference, which no one has in practice. Root mean square error in HU, mean ± "
        "standard deviation over people; in the last column the number of people for whom the "
        "posterior mean is nearer than total variation.",
        "",
        "| photons a ray | filtered back-projection | total variation | posterior mean | below "
        "total variation | nearer |",
        "|---|---|---|---|---|---|",
    ]
    for photons in DOSES:
        fbp, tv, mean = (
            by_person(rows, photons, key)
            for key in ("filtered back-projection", "total variation", "posterior mean")
        )
        lines.append(
            f"| {photons:,.0f} | {spread(fbp)} | {spread(tv)} | **{spread(mean)}** | "
            f"{100 * (1 - mean.mean() / tv.mean()):.1f} % | {(mean < tv).sum()} of {len(tv)} |"
        )
    lines += [
        "",
        f"Coverage: {interval.name} intervals of {DRAWS} draws, smallest to largest; an ideal "
        f"sampler's hold {interval.name}. Soft tissue is {SOFT[0]:g} to {SOFT[1]:g} HU in the "
        "reference.",
        "",
        "| photons a ray | soft tissue | all pixels | standard deviation of a pixel, HU |",
        "|---|---|---|---|",
    ]
    for photons in DOSES:
        soft, everywhere, std = (
            by_person(rows, photons, key) for key in ("coverage", "coverage everywhere", "std")
        )
        lines.append(
            f"| {photons:,.0f} | {spread(100 * soft)} % | {spread(100 * everywhere)} % | "
            f"{spread(std)} |"
        )
    lines += [
        "",
        f"Limits of `ct64-prior`: {load_card('ct64-prior').known_limits} "
        "Its error model, which sets the spread, was measured "
        f"on validation people, and its gain ({GAIN:g}) chosen so that intervals of soft tissue "
        "hold what they should there.",
        "",
        "    python -m tests.benchmarks.low_dose_ct DATA",
        "",
        "makes this page, and `--fit` the error model in the card of the prior. A stopped run "
        "resumes.",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure what is missing and write the page, or fit the error model."""
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--fit", action="store_true")
    arguments = parser.parse_args()
    if arguments.fit:
        say(f"error model written to {fit(arguments.data)}")
        return
    PAGE.write_text(page(run(arguments.data)))


if __name__ == "__main__":
    main()
