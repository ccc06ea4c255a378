"""Turning point, new noise and injection of SSD by operator: ``python -m tests.benchmarks.ssd_operators DATA``.

Twelve people of IXI whom no training saw, one slice each. Rows are kept in
``docs/benchmarks-ssd-operators.json`` as they are finished; a stopped run resumes, and
``docs/benchmarks-ssd-operators.md`` is the page.
"""  # noqa: E501 - the first line on one line

import argparse
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from tests.benchmarks.motion import people
from tests.benchmarks.ssd_operators_page import page
from tests.methods.contrasts import fitted_prior, grey, three_contrasts
from uqrestore.diffusion.denoiser import Denoiser
from uqrestore.methods import METHODS
from uqrestore.noise import MEASUREMENT_STREAM, Gaussian, SampleNoise
from uqrestore.operators import (
    Downsampling,
    Inpainting,
    LinearOperator,
    MaskedFourier,
    StridedBlur,
    stack_operators,
)
from uqrestore.operators.kernels import gaussian_kernel
from uqrestore.operators.masks import cartesian
from uqrestore.operators.nonlinear import (
    NonlinearOperator,
    Saturation,
    UncertainBlur,
    UncertainGain,
    UncertainOperator,
    phase_retrieval,
)
from uqrestore.problem import GeneralProblem, Problem, simulate
from uqrestore.training.labels import load_labels
from uqrestore.zoo import load_prior

DOCS = Path(__file__).parents[2] / "docs"
SHAPE, SLICES, DRAWS = (1, 64, 64), 12, 4
TURNS, ETAS = (350, 550, 750), (0.0, 0.4, 1.0)
INJECTED, INJECTED_ETA = 2, 0.4
"""Inversion steps whose attention maps are injected, and the new noise with which this is tried."""


@dataclass(frozen=True, eq=False)
class Case:
    """One operator: its measurements of the slices, and the prior.

    Attributes:
        truth: The slices, in network intensity.
        problem: Their noise-free measurements.
        prior: Of the slices.
        attention: Whether attention injection is tried; a closed-form prior has none.
        either_sign: Whether the measurement does not tell an image from its negative.
    """

    truth: Tensor
    problem: Problem | GeneralProblem
    prior: Denoiser
    attention: bool = True
    either_sign: bool = False


def linear_operators() -> dict[str, LinearOperator]:
    """Return the operators on brains that are linear and known."""
    generator = torch.Generator().manual_seed(0)
    hidden = torch.rand(SHAPE, generator=generator) < 0.7
    lines = cartesian(SHAPE[1:], 4, 5, generator)
    return {
        "super-resolution x4": Downsampling(SHAPE, 4, "bicubic"),
        "super-resolution x8": Downsampling(SHAPE, 8, "bicubic"),
        "deblurring, std 2 pixels": StridedBlur(gaussian_kernel((17, 17), 2.0), 1, SHAPE),
        "in-painting, 70 % hidden": Inpainting(~hidden),
        "k-space, one line in 4": MaskedFourier(lines, channels=1),
    }


def general_operators() -> dict[str, NonlinearOperator]:
    """Return the operators on brains that are nonlinear or have unknown parameters."""
    generator = torch.Generator().manual_seed(1)
    phases = 2 * math.pi * torch.rand(1, *SHAPE[1:], generator=generator)
    shown = Inpainting(torch.rand(SHAPE, generator=generator) > 0.7)
    return {
        "saturation above 0.3": Saturation(SHAPE, -1.5, 0.3),
        "phase retrieval, 1 coded mask": phase_retrieval(
            torch.polar(torch.ones_like(phases), phases)
        ),
        "blur of 1.5 pixels, width unknown to 30 %": UncertainBlur(SHAPE, 1.5, 0.3),
        "in-painting, 70 % hidden, gain unknown to 30 %": UncertainGain(shown, 1.0, 0.3),
    }


def cases(data: Path) -> dict[str, Callable[[], Case]]:
    """Return the problems of the page."""

    def slices() -> Tensor:
        return torch.cat(list(people(data, "val", 1).values()))[::2][:SLICES]

    def linear(operator: LinearOperator) -> Case:
        truth = slices()
        problem = simulate(stack_operators([operator] * len(truth)), truth)
        return Case(truth, problem, load_prior("brain64-prior"))

    def general(operator: NonlinearOperator) -> Case:
        truth = slices()
        noise = SampleNoise(0, [MEASUREMENT_STREAM], slices=range(len(truth)))
        if isinstance(operator, UncertainOperator):
            y = operator.forward_at(truth, noise.normal((operator.count,), truth)[0])
        else:
            y = operator.forward(truth)
        mask = operator.row_mask
        problem = GeneralProblem(operator, y if mask is None else y * mask, Gaussian(0.0))
        prior = load_prior("brain64-prior")
        return Case(truth, problem, prior, False, operator.name == "nonlinear_composed")

    def colours() -> Case:
        labels = data / "brain_labels.h5"
        truth = three_contrasts(load_labels(labels, "test", 32, 6.0), SLICES, 9)
        prior = fitted_prior(load_labels(labels, "train", 32, 6.0), 800, 200)
        return Case(truth, grey(truth, 0.0), prior, False)

    found: dict[str, Callable[[], Case]] = {
        name: partial(linear, operator) for name, operator in linear_operators().items()
    }
    found["colorization of three contrasts, 32 x 32"] = colours
    return found | {
        name: partial(general, operator) for name, operator in general_operators().items()
    }


def settings(case: Case) -> list[tuple[int, float, int]]:
    """Return turning points, shares of new noise and injected steps."""
    found = [(t0, eta, 0) for t0 in TURNS for eta in ETAS]
    return found + [(t0, INJECTED_ETA, INJECTED) for t0 in TURNS if case.attention]


def measure(case: Case, t0: int, eta: float, injection: int) -> dict[str, float]:
    """Return the numbers of one setting: peak 2, spread over error 1 if right."""
    truth, noise = case.truth, SampleNoise(0, range(DRAWS), slices=range(len(case.truth)))
    options = {"t0": t0, "eta_inversion": eta, "injection": injection}
    draws = METHODS["ssd"](case.problem, case.prior, noise, preset="30", **options)
    if case.either_sign:
        draws = draws * (draws * truth).flatten(2).sum(-1).sign()[..., None, None, None]
    mean = draws.mean(0)
    error = (mean - truth).square().flatten(1).mean(1)
    spread = draws.var(0).flatten(1).mean(1)
    if isinstance(case.problem, GeneralProblem):
        start = torch.zeros_like(truth)
    else:
        start = case.problem.operator.pinv(case.problem.y)
    return {
        "start": decibels(start, truth),
        "mean": decibels(mean, truth),
        "draw": sum(decibels(one, truth) for one in draws) / DRAWS,
        "spread": float((spread.sum() * (1 + 1 / DRAWS) / error.sum()).sqrt()),
    }


def decibels(image: Tensor, truth: Tensor) -> float:
    """Return the mean over slices of the PSNR, peak 2."""
    error = (image - truth).square().flatten(1).mean(1)
    return float((10 * torch.log10(4 / error)).mean())


def main() -> None:
    """Measure what is missing and write the page."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    data = parser.parse_args().data
    torch.set_num_threads(1)
    store = DOCS / "benchmarks-ssd-operators.json"
    rows: dict[str, dict[str, Mapping[str, float]]] = (
        json.loads(store.read_text()) if store.exists() else {}
    )
    for name, make in cases(data).items():
        row, case = rows.setdefault(name, {}), make()
        for t0, eta, injection in settings(case):
            key = f"{t0}, {eta:g}, {injection}"
            if key not in row:
                row[key] = measure(case, t0, eta, injection)
                store.write_text(json.dumps(rows, indent=1) + "\n")
                print(name, key, row[key], flush=True)  # noqa: T201 - progress
    text = page(rows, SLICES, DRAWS)
    (DOCS / "benchmarks-ssd-operators.md").write_text(text)


if __name__ == "__main__":
    main()
