"""Sparse-view and limited-angle CT of people whom no training saw, in Hounsfield units.

``python -m tests.benchmarks.ct DATA`` measures what is missing in ``docs/benchmarks-ct.json`` and
writes ``docs/benchmarks-ct.md``; DATA is the folder of the training data, of which only the groups
``test`` are read.
"""

import argparse
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tests.benchmarks.ct_slices import few
from tests.benchmarks.low_dose_ct import smoothed
from uqrestore.baselines import total_variation
from uqrestore.cli.terminal import say
from uqrestore.diffusion.denoiser import NetworkDenoiser
from uqrestore.diffusion.windowed import WindowedDenoiser
from uqrestore.methods import ssd
from uqrestore.noise import MEASUREMENT_STREAM, SampleNoise
from uqrestore.operators import Radon
from uqrestore.posterior.intervals import central_interval
from uqrestore.problem import Problem, simulate
from uqrestore.zoo import load_card, load_prior

DOCS = Path(__file__).parents[2] / "docs"
STORE, PAGE = DOCS / "benchmarks-ct.json", DOCS / "benchmarks-ct.md"
SHAPE, DRAWS, PER_PERSON = (1, 128, 128), 8, 1
WIDTHS = (0.0, 0.4, 0.6, 0.8, 1.1)
"""Standard deviations, in detectors, of the smoothing before filtered back-projection."""
WEIGHTS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
METHODS = ("filtered back-projection", "total variation", "SSD")
BODY = -300.0
"""HU in the reference above which a row or column has body, whose box is scored."""


@dataclass(frozen=True)
class Geometry:
    """Parallel views.

    Attributes:
        views: Number of directions.
        degrees: Range that they are spread over evenly.
    """

    views: int
    degrees: float

    def rays(self) -> Radon:
        """Return the operator."""
        step = self.degrees / self.views
        return Radon(step * torch.arange(self.views), SHAPE)


GEOMETRIES = {
    "32 views": Geometry(32, 180.0),
    "64 views": Geometry(64, 180.0),
    "64 views over 120 degrees": Geometry(64, 120.0),
}


def body(x: Tensor) -> np.ndarray:
    """Return the box around the body, ``(row, column)``; air around it is easy."""
    inside = 1000 * x[0].numpy() > BODY
    box = np.zeros_like(inside)
    rows, columns = (np.flatnonzero(inside.any(axis)) for axis in (1, 0))
    box[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
    return box


def rmse(image: Tensor, x: Tensor, box: np.ndarray) -> float:
    """Return the root mean square error in the box, in HU."""
    return float(1000 * np.sqrt(np.square((image - x)[0].numpy()[box]).mean()))


def conventional(problem: Problem, x: Tensor, box: np.ndarray) -> dict[str, float]:
    """Return the lowest error over all settings of each rival, chosen with the reference."""
    rays = problem.operator
    assert isinstance(rays, Radon)
    # Air is -1 in network intensity; both reconstruct what lies above it, which is 0 outside.
    above = problem.y - rays(torch.full(SHAPE, -1.0))
    found = {
        METHODS[0]: [rays.fbp(smoothed(above, width)) - 1 for width in WIDTHS],
        METHODS[1]: [
            total_variation(Problem(rays, above, 0.0), weight=weight) - 1 for weight in WEIGHTS
        ],
    }
    return {name: min(rmse(image, x, box) for image in images) for name, images in found.items()}


def measured(x: Tensor, geometry: Geometry, prior: NetworkDenoiser, key: int) -> dict[str, Any]:
    """Return the errors of all methods on one slice, and the coverage of the draws."""
    noise = SampleNoise(0, [MEASUREMENT_STREAM], slices=key)
    problem, box = simulate(geometry.rays(), x, noise=noise), body(x)
    windowed = WindowedDenoiser(prior, SHAPE[1:])
    with torch.no_grad():
        draws = ssd(problem, windowed, SampleNoise(0, range(DRAWS), slices=key), preset="30")
    low, high = central_interval(DRAWS).of(draws.numpy())
    inside = (low <= x.numpy()) & (x.numpy() <= high)
    return conventional(problem, x, box) | {
        METHODS[2]: rmse(draws.mean(0), x, box),
        "a draw": rmse(draws[0], x, box),
        "coverage": float(inside[0][box].mean()),
    }


def run(folder: Path) -> dict[str, dict[str, Any]]:
    """Measure what is missing with the prior of now, and keep every row."""
    digest = load_card("ct64-prior").sha256
    rows: dict[str, dict[str, Any]] = json.loads(STORE.read_text()) if STORE.exists() else {}
    rows = {name: row for name, row in rows.items() if row["sha256"] == digest}
    prior = load_prior("ct64-prior")
    assert isinstance(prior, NetworkDenoiser)
    for title, geometry in GEOMETRIES.items():
        for key, (person, number, x) in enumerate(few(folder, "test", PER_PERSON)):
            name = f"{person} {number} {title}"
            if name not in rows:
                about = {"person": person, "geometry": title, "sha256": digest}
                rows[name] = about | measured(x, geometry, prior, key)
                STORE.write_text(json.dumps(rows, indent=1) + "\n")
                PAGE.write_text(page(rows))
                say(f"{name}: {rows[name]}")
    return rows


def by_person(rows: Mapping[str, dict[str, Any]], geometry: str, key: str) -> np.ndarray:
    """Return the mean of a number over the slices of each person."""
    people: dict[str, list[float]] = {}
    for row in rows.values():
        if row["geometry"] == geometry:
            people.setdefault(row["person"], []).append(row[key])
    return np.array([np.mean(values) for values in people.values()])


def spread(values: np.ndarray) -> str:
    """Return mean and standard deviation over people."""
    return f"{values.mean():.1f} ± {values.std(ddof=1):.1f}" if len(values) > 1 else f"{values}"


def page(rows: Mapping[str, dict[str, Any]]) -> str:
    """Return the page."""
    errors, coverage = [], []
    for title in GEOMETRIES:
        if not any(row["geometry"] == title for row in rows.values()):
            continue
        found = {name: by_person(rows, title, name) for name in METHODS}
        ours = found[METHODS[2]]
        rival = min(METHODS[:2], key=lambda name: found[name].mean())
        cells = [spread(found[name]) for name in METHODS]
        less = 100 * (1 - ours.mean() / found[rival].mean())
        nearer = f"{(ours < found[rival]).sum()} of {len(ours)}"
        errors.append(f"| {title} | {' | '.join(cells)} | {less:.0f} % | {nearer} |")
        coverage.append(f"| {title} | {spread(100 * by_person(rows, title, 'coverage'))} |")
    return PAGE_TEXT.format(
        slices=max(sum(row["geometry"] == title for row in rows.values()) for title in GEOMETRIES),
        people=len({row["person"] for row in rows.values()}),
        draws=DRAWS,
        windows=load_card("ct64-prior").training.samples,
        interval=central_interval(DRAWS).name,
        errors="\n".join(errors),
        coverage="\n".join(coverage),
    )


PAGE_TEXT = """# Sparse-view and limited-angle CT

{slices} slices of {people} people whom no training saw (thorax, 128 x 128 pixels of 3 mm), parallel
views without noise. `ct64-prior` ({windows:,} windows) with SSD in 30 calls, as in the pipeline
`ct-sparse-view-ssd`, {draws} draws. Filtered
back-projection has the smoothing and total variation the weight that is best for each slice, chosen
with the reference, which no one has in practice. Root mean square error in HU in the box around the
body, mean ± standard deviation over people; then how far the mean of the draws is below the better
of the conventional reconstructions, and for how many people it is nearer.

| geometry | filtered back-projection | total variation | mean of SSD | below | nearer |
|---|---|---|---|---|---|
{errors}

Central intervals of {interval}, from the smallest to the largest of {draws} draws, hold, in percent
of the pixels:

| geometry | SSD |
|---|---|
{coverage}

`fitted_gaussian` is not in the table: on whole slices without noise its solves end early, which it
says in a warning; with the noise of [low doses](benchmarks-low-dose.md) it is the method to take.

    python -m tests.benchmarks.ct DATA

makes this page. A prior of calibrated units (`range` in its card) keeps them: scans are not
stretched to their own brightest tissue, values beyond -1000 ... 1000 HU are cut, and the command
prints how many. File and report are in HU.
"""


def main() -> None:
    """Measure and write the page."""
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    PAGE.write_text(page(run(parser.parse_args().data)))


if __name__ == "__main__":
    main()
