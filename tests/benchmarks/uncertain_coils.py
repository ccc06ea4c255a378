"""Coil maps drawn with the image: ``python -m tests.benchmarks.uncertain_coils DATA``.

The real 4-coil head of ``raw_kspace.h5``, 256 x 256, with 24, 12 and 8 lines around the centre, and
simulated scans of new people with 8 coils, one line in four each. Four treatments of the maps with
the same prior and method: those of the centre taken as known, or drawn with the image; refined
(``raw-head``), or refined and drawn with the image (``mr-uncertain-coils``). Rows are kept in
``docs/benchmarks-uncertain-coils.json`` as they are finished.
"""

import argparse
import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tests.benchmarks.heads import (
    CoilScan,
    complex_images,
    draw_scores,
    lines,
    measure_coils,
    test_slices,
)
from tests.benchmarks.raw import ROUNDS, figures, fitted, real_scan, rivals, write_cfl
from uqrestore.cli.terminal import say
from uqrestore.diffusion.windowed import WindowedDenoiser
from uqrestore.methods import fitted_gaussian
from uqrestore.methods.fitted_joint import draw_fitted_in_detail
from uqrestore.noise import Gaussian, SampleNoise
from uqrestore.operators import CoilFourier
from uqrestore.operators.nonlinear import UncertainMaps
from uqrestore.problem import GeneralProblem, Problem
from uqrestore.restoration.refine_maps import DRAWS as REFINEMENT
from uqrestore.restoration.refine_maps import refined_problem
from uqrestore.scans.bart import read_cfl
from uqrestore.zoo import load_prior

DOCS = Path(__file__).parents[2] / "docs"
CENTRES, DRAWS, ACCELERATION = (24, 12, 8), 8, 4
PEOPLE, PEOPLE_CENTRE, COILS, NOISE_STD = 5, 8, 8, 0.01
NLINV_STEPS = range(7, 13)
STD, CENTRE_STD, LEVELS = 0.05, 0.1, 16
"""Error of refined maps (of the pipeline ``mr-uncertain-coils``) and of maps of the centre."""
TREATMENTS = {
    "centre": "maps of the centre lines, known",
    "centre drawn": "maps of the centre lines, drawn with the image",
    "refined": "maps refined, known",
    "refined drawn": "maps refined, drawn with the image",
}

Scan = tuple[CoilScan, Callable[[Tensor], Tensor]]
"""A measurement, and the true image combined with given maps."""


def real(data: Path, centre: int) -> Scan:
    """Return the real scan; the reference is that of all lines, with the maps of 24 of them."""
    full, unit = real_scan(data, ACCELERATION, CENTRES[0])
    scan, scale = real_scan(data, ACCELERATION, centre)
    truth = full.truth * unit / scale
    return replace(scan, truth=truth), lambda _: truth


def person(image: Tensor, name: str, number: int) -> Scan:
    """Return a simulated scan of a complex image."""
    mask = lines(image.shape[-1], ACCELERATION, PEOPLE_CENTRE, number)
    generator = torch.Generator().manual_seed(number)
    about: Any = {"count": COILS, "person": name}
    true = measure_coils(image, mask, 0.0, generator, **about).problem.operator
    assert isinstance(true, CoilFourier)
    scan = measure_coils(image, mask, NOISE_STD, generator, centre=PEOPLE_CENTRE, **about)
    return scan, lambda maps: (maps.conj() * true.maps * image).sum(0)


def scored(images: Tensor, scan: CoilScan) -> dict[str, float]:
    """Return the scores of draws, ``(draw, 2, row, column)``."""
    size = torch.view_as_complex(images.movedim(1, -1).contiguous()).abs()
    return {**draw_scores(images, scan), **figures(size.mean(0).to(torch.complex64), scan)}


def known(problem: Problem, prior: Any, draws: range) -> Tensor:  # noqa: ANN401
    """Draw images with the maps as they are."""
    return fitted_gaussian(problem, prior, SampleNoise(0, draws), levels=LEVELS)


def joint(scan: CoilScan, prior: Any, std: float) -> dict[str, float]:  # noqa: ANN401
    """Draw image and maps together and score the images."""
    operator, noise_std = scan.problem.operator, scan.problem.noise_std
    assert isinstance(operator, CoilFourier)
    uncertain = UncertainMaps(operator, std)
    problem = GeneralProblem(uncertain, scan.problem.y, Gaussian(noise_std))
    noise = SampleNoise(0, range(DRAWS))
    images, found = draw_fitted_in_detail(problem, prior, noise, levels=LEVELS)
    signal = uncertain.forward_at(images, found["theta"])
    fit = problem.noise_model.chi_square(problem.y, signal)
    seen = operator.mask.expand_as(fit) != 0
    return scored(images, scan) | {"chi_square": float(fit[seen].mean())}


def best_rival(scan: CoilScan, refined: CoilScan) -> dict[str, Any]:
    """Return the best of the rivals, with the refined maps or maps of their own (NLINV)."""
    found = {name: row["psnr"] for name, row in rivals(refined).items()}
    kspace = torch.view_as_complex(scan.problem.y.movedim(0, -1).contiguous())
    with tempfile.TemporaryDirectory() as folder:
        write_cfl(Path(folder) / "k", kspace.numpy().transpose(1, 2, 0)[:, :, None, :])
        for steps in NLINV_STEPS:
            command = ["bart", "nlinv", "-i", str(steps), "k", "x"]
            subprocess.run(command, cwd=folder, check=True, capture_output=True)
            image = torch.from_numpy(np.squeeze(read_cfl(Path(folder) / "x")))
            found[f"NLINV (BART, {steps} steps)"] = figures(fitted(image, scan), scan)["psnr"]
    name = max(found, key=lambda key: found[key])
    return {"name": name, "psnr": found[name], "all": found}


def treated(case: Scan, prior: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return the scores of every treatment of the maps, with the seconds that each took."""
    scan, truth_with = case

    def combined(problem: Problem) -> CoilScan:
        operator = problem.operator
        assert isinstance(operator, CoilFourier)
        return replace(scan, problem=problem, truth=truth_with(operator.maps))

    def timed(make: Callable[[], dict[str, float]]) -> dict[str, float]:
        start = time.process_time()
        return make() | {"seconds": time.process_time() - start}

    rows = {
        "centre": timed(lambda: scored(known(scan.problem, prior, range(DRAWS)), scan)),
        "centre drawn": timed(lambda: joint(scan, prior, CENTRE_STD)),
    }
    start = time.process_time()
    refined = combined(
        refined_problem(
            scan.problem, lambda problem, n: known(problem, prior, REFINEMENT[:n]), ROUNDS
        )[0]
    )
    more = time.process_time() - start
    images = timed(lambda: scored(known(refined.problem, prior, range(DRAWS)), refined))
    both = timed(lambda: joint(refined, prior, STD))
    rows |= {"refined": images, "refined drawn": both}
    for name in ("refined", "refined drawn"):
        rows[name]["seconds"] += more
    return {"rows": rows, "rival": best_rival(scan, refined)}


def experiment(data: Path) -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    """Yield the name of every scan and what measures it."""
    prior = load_prior("mr-windows")

    def measure(case: Scan) -> dict[str, Any]:
        windowed = WindowedDenoiser(prior, (case[0].truth.shape[0], case[0].truth.shape[1]))
        with torch.no_grad():
            return treated(case, windowed)

    magnitudes, names = test_slices(data, 1)
    images = complex_images(magnitudes, torch.Generator().manual_seed(11))
    for number in torch.linspace(0, len(images) - 1, PEOPLE).long().tolist():
        yield (
            f"person {number}",
            lambda n=number: measure(person(images[n], names[n], n)),
        )
    for centre in CENTRES:
        yield f"real {centre}", lambda c=centre: measure(real(data, c))


def averaged(cases: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the mean of every number over scans."""
    rows = {
        name: {key: sum(c["rows"][name][key] for c in cases) / len(cases) for key in row}
        for name, row in cases[0]["rows"].items()
    }
    best = sum(case["rival"]["psnr"] for case in cases) / len(cases)
    return {"rows": rows, "rival": {"psnr": best}}


def table(case: Mapping[str, Any]) -> list[str]:
    """Return the lines of a table."""
    lines = [
        "| maps | PSNR | pixels between the extremes of the draws | spread over error | "
        "chi-square | CPU seconds |",
        "|---|---|---|---|---|---|",
    ]
    rival = case["rival"]
    lines.append(f"| best rival | {rival['psnr']:.2f} | | | | |")
    for name, row in case["rows"].items():
        lines.append(
            f"| {TREATMENTS[name]} | {row['psnr']:.2f} | {100 * row['covered']:.1f} % (ideal "
            f"{100 * row['ideal']:.1f} %) | {row['spread_over_error']:.2f} | "
            f"{row['chi_square']:.2f} | {row['seconds']:.0f} |"
        )
    return lines


def page(record: Mapping[str, Any]) -> str:
    """Return the page."""
    people = [case for name, case in record.items() if name.startswith("person")]
    parts = [PAGE]
    if people:
        parts += [
            f"## Simulated scans of {len(people)} new people",
            f"128 x 128 pixels, {COILS} coils, {PEOPLE_CENTRE} lines around the centre, noise "
            f"{NOISE_STD:g} of the brightest tissue; means over the people.",
            "\n".join(table(averaged(people))),
        ]
    for centre in CENTRES:
        if case := record.get(f"real {centre}"):
            title = f"## The real head, {centre} lines around the centre"
            parts += [title, "\n".join(table(case))]
    return "\n\n".join(parts) + "\n"


PAGE = f"""# Coil maps drawn with the image

`python -m tests.benchmarks.uncertain_coils DATA`: one line of k-space in {ACCELERATION}, {DRAWS}
draws of `fitted_gaussian` ({LEVELS} levels) with the prior `mr-windows`. *Known* maps are plugged
in; *drawn* ones have a prior of smooth errors ({STD:g} of the size of refined maps, {CENTRE_STD:g}
of those of the centre), and every draw is one of image and maps
([how](how-to/general-physics.md)). *Refined* maps are estimated again from all samples, as in
`raw-head`; refined and drawn is the pipeline `mr-uncertain-coils`.

Size and phase of the maps are held, so that the image is the one combined with maps of unit norm.
Coverage is of the magnitude inside the head. Best rival: of CG-SENSE, l1-wavelet and total
variation (sigpy and BART) with the refined maps, and BART's NLINV, which estimates maps and image
together from all samples; weights and steps are chosen on the reference, which favours them."""


def main() -> None:
    """Measure what is missing and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--only", default="", help="scans whose name begins so")
    given = parser.parse_args()
    torch.set_num_threads(1)
    store = DOCS / "benchmarks-uncertain-coils.json"
    record = json.loads(store.read_text()) if store.exists() else {}
    for name, measure in experiment(given.data):
        if name not in record and name.startswith(given.only):
            record[name] = measure()
            store.write_text(json.dumps(record, indent=1) + "\n")
            say(f"{name}: {record[name]}")
        (DOCS / "benchmarks-uncertain-coils.md").write_text(page(record))


if __name__ == "__main__":
    main()
