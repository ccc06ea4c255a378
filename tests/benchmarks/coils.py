"""InvFussion for coils against zero-shot methods with the plain complex prior, on 8 coils.

    python -m tests.benchmarks.coils DATA [--rivals] [--part slices|people|real]

Eight real slices (ROBEX, 64 x 64 at 3 mm, not in any training), one slice of each of 16 test people
of IXI (96 x 96 at 2 mm), noise .01 of the brightest tissue, R = 4 and 8; and the real scan of
``tests.benchmarks.raw``. The network is that of ``train-coils-invfussion`` with the weights beside
this file. Its numbers and those of the rivals are kept in ``docs/benchmarks-coils.json`` and
written into the page ``docs/benchmarks-coils.md``.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tests.benchmarks.brains import real_validation_slices
from tests.benchmarks.coils_page import (
    CASES,
    DRAWS,
    NOISE,
    OURS,
    PEOPLE,
    REAL,
    REAL_DRAWS,
    REAL_STEPS,
    SIGMA,
    page,
)
from tests.benchmarks.heads import CoilScan, draw_scores
from tests.benchmarks.motion import people
from tests.benchmarks.raw import REFINEMENT, ROUNDS, figures, real_scan
from tests.scans.rawfiles import coils, smooth_phase
from uqrestore.diffusion.denoiser import NetworkDenoiser
from uqrestore.diffusion.posterior_mean import posterior_moments
from uqrestore.diffusion.windowed import for_slices
from uqrestore.methods import METHODS
from uqrestore.networks.weights import load_tensors
from uqrestore.noise import SampleNoise
from uqrestore.operators import CoilFourier, stack_operators
from uqrestore.operators.masks import cartesian
from uqrestore.pipeline import TrainPipeline
from uqrestore.pipeline.check import load_pipeline
from uqrestore.problem import Problem, simulate
from uqrestore.restoration.refine_maps import refined_problem
from uqrestore.training.trainer import build_denoiser
from uqrestore.zoo import load_prior

ROOT = Path(__file__).parents[2]
RECORD, PAGE = ROOT / "docs/benchmarks-coils.json", ROOT / "docs/benchmarks-coils.md"
WEIGHTS = Path(__file__).parent / "coils-start.safetensors"
SLICES = (6, 11, 14, 19, 22, 27, 31, 34)
STEPS = (14, 8, 4)
SAMPLER: Mapping[str, Any] = {
    "sampler": "dpmpp_3m", "rho": 7, "sigma_max": 10.0, "sigma_min": 0.01,
}  # fmt: skip
RIVALS = {"moment_matching": {"steps": 12}, "fitted_gaussian": {}, "local_gaussian": {}}


def problem_of(images: Tensor, acceleration: int, centre: int) -> Problem:
    """Measure complex images with eight coils, each by lines of its own."""
    shape = images.shape[-2], images.shape[-1]
    maps = torch.tensor(coils(shape, 8)).to(torch.complex64)
    masks = [
        cartesian(shape, acceleration, centre, torch.Generator().manual_seed(i))
        for i in range(len(images))
    ]
    operator = stack_operators([CoilFourier(mask, maps) for mask in masks])
    noise = SampleNoise(1, [0], slices=range(len(images)))
    return simulate(operator, images, noise_std=NOISE, noise=noise)


def psnr(estimate: Tensor, truth: Tensor) -> Tensor:
    """Return the PSNR (dB, peak 1) of each complex image."""
    return -10 * torch.log10((estimate - truth).square().sum(-3).mean((-2, -1)))


def real_part_psnr(estimate: Tensor, truth: Tensor) -> Tensor:
    """Return the PSNR of the real part once the true phase is taken off."""
    shape = truth.shape[-2], truth.shape[-1]
    turn = torch.polar(torch.ones(shape), -torch.tensor(smooth_phase(shape)).float())
    error = torch.complex(*(estimate - truth).unbind(-3)) * turn
    return -10 * torch.log10(error.real.square().mean((-2, -1)))


def score(images: Tensor, truth: Tensor, calls: int, seconds: float) -> dict[str, float]:
    """Return the scores of draws ``(draw, slice, 2, row, column)`` or of one estimate."""
    mean = images.mean(0)
    row = {
        "psnr": float(psnr(mean, truth).mean()),
        "real_part": float(real_part_psnr(mean, truth).mean()),
        "calls": calls,
        "seconds": seconds,
    }
    if len(images) > 1:
        count = len(images)
        spread = images.var(0).mean() * (1 + 1 / count)
        row["spread_over_error"] = float((spread / (mean - truth).square().mean()).sqrt())
    return row


def coil_network() -> NetworkDenoiser:
    """Return the network for coils with the weights beside this file."""
    recipe = load_pipeline("train-coils-invfussion", TrainPipeline)
    denoiser = build_denoiser(recipe.config.model_copy(update={"start": None}))
    weights = load_tensors(WEIGHTS)
    denoiser.load_state_dict({k: v.to(torch.float32) for k, v in weights.items()})
    return denoiser.eval()


def complex_images(gray: Tensor) -> Tensor:
    """Return slices of -1 to 1 as complex images with a smooth phase."""
    magnitude = (gray + 1) / 2
    phase = torch.tensor(smooth_phase((gray.shape[-2], gray.shape[-1]))).float()
    return torch.cat([magnitude * phase.cos(), magnitude * phase.sin()], dim=1)


def timed(make: Callable[[], Tensor]) -> tuple[Tensor, float]:
    """Run a function and return its result and the CPU seconds that it took."""
    start = time.process_time()
    with torch.no_grad():
        return make(), time.process_time() - start


def network_rows(images: Tensor, cases: Mapping[str, tuple[int, int]]) -> dict[str, dict]:
    """Measure the network: the mean in one call, and draws in few."""
    slices, (rows_of, columns) = range(len(images)), images.shape[-2:]
    denoiser = coil_network().resized(rows_of, columns)
    estimate = denoiser.network.linear_estimate
    assert estimate is not None
    rows: dict[str, dict] = {}
    for case, lines in cases.items():
        problem = problem_of(images, *lines)
        linear, spent = timed(lambda p=problem: estimate(p)[None])
        rows[f"{case}|first estimate"] = score(linear, images, 0, spent)
        noise = SampleNoise(2, [0], slices=slices)
        mean, spent = timed(
            lambda p=problem, n=noise: posterior_moments(denoiser, p, n, sigma=SIGMA).mean[None]
        )
        rows[f"{case}|InvFussion, one call"] = score(mean, images, 1, spent)
        for steps in STEPS:
            noise = SampleNoise(3, range(DRAWS), slices=slices)
            draws, spent = timed(
                lambda p=problem, n=noise, k=steps: METHODS["conditional"](
                    p, denoiser, n, **{**SAMPLER, "steps": k}
                )
            )
            title = f"InvFussion, mean of draws, {steps} calls each"
            rows[f"{case}|{title}"] = score(draws, images, steps, spent)
        x, level = images, torch.full((len(images),), 0.2)
        prepared = denoiser.prepare(problem, (len(images),))
        _ = prepared.measurement.misfits
        calls = partial(denoiser, x, level, prepared), partial(denoiser, x, level)
        conditional, plain = (min(timed(call)[1] for _ in range(3)) for call in calls)
        rows[f"{case}|cost"] = {"forward_over_trunk": conditional / plain}
    return rows


def real_rows(data: Path) -> dict[str, dict]:
    """Measure the network on the real scan, with maps refined by its own draws."""
    rows: dict[str, dict] = {}
    for case, acceleration in REAL.items():
        scan, _ = real_scan(data, acceleration)
        denoiser = coil_network().resized(*scan.truth.shape)
        mean, spent = timed(
            lambda p=scan.problem, d=denoiser: (
                posterior_moments(d, p, SampleNoise(2, [0]), sigma=SIGMA).mean
            )
        )
        one = figures(torch.complex(*mean), scan)
        rows[f"{case}|InvFussion, one call"] = {**one, "seconds": spent}

        def draw(p: Problem, count: Sequence[int], d: NetworkDenoiser = denoiser) -> Tensor:
            noise = SampleNoise(0, count)
            return METHODS["conditional"](p, d, noise, steps=REAL_STEPS, **SAMPLER)

        def whole(scan: CoilScan = scan, draw: Callable[..., Tensor] = draw) -> Tensor:
            refined = refined_problem(scan.problem, lambda p, n: draw(p, REFINEMENT[:n]), ROUNDS)
            return draw(refined[0], range(REAL_DRAWS))

        pairs, spent = timed(whole)
        size = torch.view_as_complex(pairs.movedim(1, -1).contiguous()).abs().mean(0)
        quality = figures(size.to(torch.complex64), scan)
        title = f"InvFussion, mean of {REAL_DRAWS} draws, {REAL_STEPS} calls each"
        rows[f"{case}|{title}"] = {**draw_scores(pairs, scan), **quality, "seconds": spent}
    return rows


def rival_rows(
    images: Tensor, cases: Mapping[str, tuple[int, int]], names: Iterable[str]
) -> Iterator[tuple[str, dict]]:
    """Measure the methods with the plain complex prior, one by one."""
    prior = for_slices(load_prior("mr-windows"), images.shape[-2], images.shape[-1])
    for name in names:
        options = RIVALS[name]
        for case, lines in cases.items():
            problem = problem_of(images, *lines)
            noise = SampleNoise(3, range(DRAWS), slices=range(len(images)))
            start = time.process_time()
            draws = METHODS[name](problem, prior, noise, **options)
            row = score(draws, images, 0, time.process_time() - start)
            yield f"{case}|{name}", row


def main() -> None:
    """Measure what is asked for and write the page."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("--rivals", action="store_true", help="in place of the network")
    parser.add_argument("--part", choices=("slices", "people", "real"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    record = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    record.pop("samples", None)  # of a record of before

    def keep(rows: Mapping[str, dict]) -> None:
        cases = {key.split("|")[0] for key in rows}
        if any(key.split("|")[1].startswith(OURS) for key in rows):  # with names of before
            for key in [k for k in record if k.split("|")[0] in cases]:
                if key.split("|")[1].startswith(OURS):
                    del record[key]
        record.update(rows)
        RECORD.write_text(json.dumps(record, indent=1) + "\n")
        PAGE.write_text(page(record))

    if options.part in (None, "slices"):
        images = complex_images(real_validation_slices(options.data)[list(SLICES)])
        if options.rivals:
            for name, row in rival_rows(images, CASES, RIVALS):
                keep({name: row})
        else:
            keep(network_rows(images, CASES))
    if options.part in (None, "people"):
        slices = people(options.data, "test", 1, 96).values()
        images = complex_images(torch.cat(list(slices)))
        if options.rivals:
            for name, row in rival_rows(images, PEOPLE, ["fitted_gaussian"]):
                keep({name: row})
        else:
            keep(network_rows(images, PEOPLE))
    if options.part in (None, "real") and not options.rivals:
        keep(real_rows(options.data))
    PAGE.write_text(page(record))


if __name__ == "__main__":
    main()
