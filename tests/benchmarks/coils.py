"""InvFussion for coils against zero-shot methods with the plain complex prior, on 8 coils.

    python -m tests.benchmarks.coils DATA [--rivals]

Eight real slices (ROBEX, 64 x 64 at 3 mm, not in any training), noise .01 of the brightest tissue,
R = 4 and 8. The network is that of ``train-coils-invfussion`` with the weights beside this file.
Its numbers and those of the rivals are kept in ``docs/benchmarks-coils.json`` and written into the
page ``docs/benchmarks-coils.md``.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tests.benchmarks.brains import real_validation_slices
from tests.scans.rawfiles import coils, smooth_phase
from uqrestore.cli.terminal import say
from uqrestore.diffusion.denoiser import NetworkDenoiser
from uqrestore.diffusion.posterior_mean import posterior_moments
from uqrestore.methods import METHODS
from uqrestore.networks.weights import load_tensors
from uqrestore.noise import SampleNoise
from uqrestore.operators import CoilFourier, stack_operators
from uqrestore.operators.masks import cartesian
from uqrestore.pipeline import TrainPipeline
from uqrestore.pipeline.check import load_pipeline
from uqrestore.problem import Problem, simulate
from uqrestore.training.trainer import build_denoiser
from uqrestore.zoo import load_prior

ROOT = Path(__file__).parents[2]
RECORD, PAGE = ROOT / "docs/benchmarks-coils.json", ROOT / "docs/benchmarks-coils.md"
WEIGHTS = Path(__file__).parent / "coils-start.safetensors"
SLICES = (6, 11, 14, 19, 22, 27, 31, 34)
CASES = {"R = 4": (4, 5), "R = 8": (8, 4)}
"""Acceleration and centre lines."""
NOISE, DRAWS, SIGMA = 0.01, 4, 50.0
STEPS = (14, 8, 4)
SAMPLER: Mapping[str, Any] = {
    "sampler": "dpmpp_3m", "rho": 7, "sigma_max": SIGMA, "sigma_min": 0.003,
}  # fmt: skip
SEEN = (42_240, 218_208)
"""Training samples behind the weights: without, and with the last step (`final_steps`)."""
RIVALS = {"moment_matching": {"steps": 12}, "fitted_gaussian": {}, "local_gaussian": {}}
WITH_PHASE = {"R = 4": (28.8, 26.1, 33.4), "R = 8": (23.9, 19.3, 26.1)}
"""Earlier numbers with the phase known: linear estimate and one call of ``brain64-invfussion``,
and moment matching with ``brain64-prior``."""


def problem_of(images: Tensor, acceleration: int, centre: int) -> Problem:
    """Measure complex images with eight coils, each by lines of its own."""
    maps = torch.tensor(coils((64, 64), 8)).to(torch.complex64)
    masks = [
        cartesian((64, 64), acceleration, centre, torch.Generator().manual_seed(i))
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
    turn = torch.polar(torch.ones(64, 64), -torch.tensor(smooth_phase((64, 64))).float())
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
    phase = torch.tensor(smooth_phase((64, 64))).float()
    return torch.cat([magnitude * phase.cos(), magnitude * phase.sin()], dim=1)


def timed(make: Callable[[], Tensor]) -> tuple[Tensor, float]:
    """Run a function and return its result and the CPU seconds that it took."""
    start = time.process_time()
    with torch.no_grad():
        return make(), time.process_time() - start


def network_rows(images: Tensor) -> dict[str, dict]:
    """Measure the network: the mean in one call, and draws in few."""
    denoiser, slices = coil_network(), range(len(images))
    estimate = denoiser.network.linear_estimate
    assert estimate is not None
    rows: dict[str, dict] = {}
    for case, lines in CASES.items():
        problem = problem_of(images, *lines)
        linear, spent = timed(lambda p=problem: estimate(p)[None])
        rows[f"{case}|linear estimate"] = score(linear, images, 0, spent)
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


def rival_rows(images: Tensor) -> Iterator[tuple[str, dict]]:
    """Measure the methods with the plain complex prior, one by one."""
    prior = load_prior("mr-windows")
    for name, options in RIVALS.items():
        for case, lines in CASES.items():
            problem = problem_of(images, *lines)
            noise = SampleNoise(3, range(DRAWS), slices=range(len(images)))
            start = time.process_time()
            draws = METHODS[name](problem, prior, noise, **options)
            row = score(draws, images, 0, time.process_time() - start)
            yield f"{case}|{name}", row


def page(record: dict[str, dict]) -> str:
    """Write the page."""
    text = [
        "# InvFussion for coils",
        "",
        "`python -m tests.benchmarks.coils`: the network of `train-coils-invfussion` after "
        f"**{sum(SEEN):,} training samples** (the first {SEEN[0]:,} without the last step), "
        "against methods with the unconditional "
        "complex prior `mr-windows`. Its weights are not bundled. Eight slices of one person "
        "(ROBEX) whom no training saw, 64 x 64 at 3 mm; 8 coils, a smooth phase that no method "
        "knows, noise of "
        f"{NOISE:g} of the brightest tissue for each real component; {DRAWS} draws. PSNR is of "
        "the complex image (peak 1); *real part* is that of the real part once the true phase is "
        "taken off. Eight slices of one person are few.",
        "",
    ]
    for case in CASES:
        rows = [(k.split("|")[1], v) for k, v in record.items() if k.startswith(f"{case}|")]
        cost = dict(rows).get("cost", {}).get("forward_over_trunk")
        text += [
            f"## {case}",
            "",
            "| method | PSNR | real part | spread over error | CPU seconds, 8 slices |",
            "|---|---|---|---|---|",
        ]
        for name, row in rows:
            if name == "cost":
                continue
            spread = row.get("spread_over_error")
            shown = "" if spread is None else f"{spread:.2f}"
            text.append(
                f"| {name} | {row['psnr']:.2f} | {row['real_part']:.2f} | {shown} | "
                f"{row['seconds']:.1f} |"
            )
        linear, one, moments = WITH_PHASE[case]
        text += [
            "",
            f"With the phase given and a prior of real brains at 3 mm alone: {moments} dB of "
            f"`moment_matching` with `brain64-prior`, {one} dB of one call and {linear} dB of the "
            "linear estimate of `brain64-invfussion`, which never saw coils. They compare with "
            "the column *real part*, but know more.",
        ]
        if cost is not None:
            text.append(
                f"A call of the network costs {cost:.2f} times one of its trunk without operator."
            )
        text.append("")
    return "\n".join(text)


def main() -> None:
    """Measure what is asked for and write the page."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("--rivals", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    images = complex_images(real_validation_slices(options.data)[list(SLICES)])
    record = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    if options.rivals:
        for name, row in rival_rows(images):
            say(f"{name}: {row}")
            record[name] = row
            RECORD.write_text(json.dumps(record, indent=1) + "\n")
    ours = network_rows(images)
    record = ours | {k: v for k, v in record.items() if k.split("|")[1] in RIVALS}
    RECORD.write_text(json.dumps(record, indent=1) + "\n")
    PAGE.write_text(page(record))


if __name__ == "__main__":
    main()
