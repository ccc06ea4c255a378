"""Do single draws have the detail of true slices, and how much noise must be left for that?

``python -m tests.benchmarks.detail DATA`` prints a table of ``docs/benchmarks-uncertainty.md``; of
DATA, the folder of the training data, only the validation people are read.
"""

import argparse
import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tests.benchmarks.brains import FAMILIES, measure, real_validation_slices, validation_slices
from uqrestore.methods import METHODS
from uqrestore.noise import SampleNoise
from uqrestore.problem import Problem
from uqrestore.training.data import Images
from uqrestore.zoo import load_prior

NETWORK, SLICES, DRAWS = "brain64-invfussion", 40, 2
FEW: Mapping[str, Any] = {"steps": 20, "sampler": "dpmpp_2m"}
SCALES = (1.0, 1.003, 1.006, 1.01)
BANDS = (0.0, 0.06, 0.12, 0.2, 0.3, 0.5)
"""Edges, in cycles a pixel."""


def power(images: Images) -> Tensor:
    """Return the mean power in every band."""
    frequency = torch.fft.fftfreq(images.shape[-1])
    radius = torch.hypot(frequency[:, None], frequency)
    spectrum = torch.fft.fft2(images).abs().square().flatten(0, -3).mean(0)
    bands = itertools.pairwise(BANDS)
    return torch.stack([spectrum[(radius >= a) & (radius < b)].mean() for a, b in bands])


def row(name: str, truth: Images, problem: Problem, *, half: bool = True, **options: object) -> str:
    """Draw, and compare two draws with each other and with the truth."""
    network = load_prior(NETWORK)
    noise = SampleNoise(1, range(DRAWS), slices=range(len(truth)))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=half):
        draws = METHODS["conditional"](problem, network, noise, **{**FEW, **options}).float()
    error = (draws - truth).square().mean()
    apart = (draws[0] - draws[1]).square().mean()
    shares = " | ".join(f"{share:.2f}" for share in power(draws) / power(truth))
    scale = options.get("epsilon_scale", 1)
    return f"| {name} | {scale:g} | {apart / error:.2f} | {error - apart / 2:.4f} | {shares} |"


def rows(truth: Images, real: Images) -> Iterator[str]:
    """Yield a row for every operator and scale, then what else might be to blame, then a scan."""
    measured = {family: measure(truth, (family,)) for family in FAMILIES}
    for family, problem in measured.items():
        for scale in SCALES:
            yield row(family.replace("_", " "), truth, problem, epsilon_scale=scale)
    lines = measured["cartesian_kspace"]
    yield row("cartesian kspace, Heun in 63 calls", truth, lines, steps=32, sampler="heun")
    yield row("cartesian kspace, float32", truth, lines, half=False)
    for family in ("cartesian_kspace", "random_matrix"):
        problem = measure(real, (family,))
        for scale in SCALES[::3]:
            name = f"{family.replace('_', ' ')}, real scan"
            yield row(name, real, problem, epsilon_scale=scale)


def main() -> None:
    """Draw and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    edges = " | ".join(f"{a:g} to {b:g}" for a, b in itertools.pairwise(BANDS))
    print(  # noqa: T201 - the command's answer
        f"| operator | epsilon_scale | two draws apart over error | error of the mean | {edges} |\n"
        f"|{'---|' * (len(BANDS) + 3)}",
        flush=True,
    )
    truth, real = validation_slices(arguments.data, SLICES), real_validation_slices(arguments.data)
    for line in rows(truth, real):
        print(line, flush=True)  # noqa: T201 - the command's answer


if __name__ == "__main__":
    main()
