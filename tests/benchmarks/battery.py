"""The battery on the InvFussion that ships, and the conformal correction of its intervals.

``python -m tests.benchmarks.battery DATA FOLDER`` prints what goes into
``docs/benchmarks-uncertainty.md``; DATA is the folder of the training data, of which only the
groups ``test`` are read. FOLDER keeps the draws, so that a stopped run goes on.
"""

import argparse
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tests.benchmarks.brains import (
    FAMILIES,
    People,
    held_out_people,
    kept,
    measure,
    weights_key,
)
from uqrestore.conformal.predictions import Predictions
from uqrestore.conformal.widths import WIDTHS, conformal_risk_control, control_risk
from uqrestore.diagnostics.battery import Battery, run_battery
from uqrestore.diagnostics.coverage import measure_coverage
from uqrestore.diagnostics.scenes import Scenes, scenes_of
from uqrestore.diagnostics.spread import spread_skill, three_decibels
from uqrestore.methods import METHODS
from uqrestore.noise import SampleNoise
from uqrestore.problem import Problem
from uqrestore.zoo import load_prior

NETWORK = "brain64-invfussion"
DRAWS, STEPS, AT_ONCE = 19, 20, 4
ALPHA, SPLITS = 0.1, 50


def draw(problem: Problem, folder: Path, finished: bool) -> tuple[Tensor, np.ndarray]:
    """Draw from the posterior of every slice, some slices at a time.

    Args:
        problem: One measurement a slice.
        folder: Where draws are kept.
        finished: Take what is there, and draw nothing.

    Returns:
        Draws, and the slices that have them.
    """
    network = load_prior(NETWORK)
    count = len(problem.y)
    # Slices of one family stand AT_ONCE families apart, and run together.
    order = [at for first in range(len(FAMILIES)) for at in range(first, count, len(FAMILIES))]
    draws, done = torch.empty(DRAWS, count, *problem.in_shape), []
    folder = folder / weights_key(NETWORK)
    # The same number of every family, however early it is stopped.
    starts = sorted(range(0, count, AT_ONCE), key=lambda start: start % (count // len(FAMILIES)))
    for start in starts:
        path = folder / f"{start:03d}.npy"
        if finished and not path.exists():
            continue
        at = order[start : start + AT_ONCE]
        some = problem.select(torch.tensor(at))
        streams = SampleNoise(0, range(DRAWS), slices=at)

        def make(some: Problem = some, streams: SampleNoise = streams) -> Tensor:
            # Operators leave autocast; the network is trained under it.
            with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
                return METHODS["conditional"](
                    some, network, streams, steps=STEPS, sampler="dpmpp_2m"
                )

        draws[:, at] = kept(path, make)
        done += at
    return draws, np.array(sorted(done))


def battery_rows(name: str, scenes: Scenes) -> str:
    """Return one row: the verdict, and how wide the draws are."""
    battery = run_battery(scenes)
    skill, gap = spread_skill(scenes), three_decibels(scenes)
    coverage = measure_coverage(scenes, [0.9])[0]
    return (
        f"| {name} | {len(scenes)} | {'passed' if battery.passed else 'failed'} "
        f"| {battery.p_value:.2g} | {_causes(battery)} | {coverage.coverage.value:.3f} "
        f"({coverage.band[0]:.3f} to {coverage.band[1]:.3f}) | {skill.ratio.value:.2f} "
        f"| {gap.gap.value:.2f} ({gap.expected:.2f}) |"
    )


def _causes(battery: Battery) -> str:
    caught = [f for f in battery.findings if f.p_corrected <= battery.level]
    if not caught:
        return "no fault found"
    return "; ".join(f"{f.words} ({f.statistic}, p = {f.p_corrected:.1g})" for f in caught)


def repairs(scenes: Scenes, people: People) -> Iterator[str]:
    """Yield rows: width and pixels missed, before and after calibration on other scenes."""
    predictions = Predictions.from_scenes(scenes)
    table = predictions.misses(WIDTHS)
    plain = float(predictions.misses(np.array([1.6449])).mean())
    yield f"| none: mean +- 1.645 std | {plain:.3f} | 1.645 | |"
    g = np.random.default_rng(0)
    for name, choose in (("conformal risk control", _crc), ("RCPS, betting", _rcps)):
        missed, widths = [], []
        for _ in range(SPLITS):
            order = g.permutation(len(scenes))
            half = len(order) // 2
            width = choose(table[order[:half]])
            widths.append(width)
            missed.append(float(table[order[half:]][:, width == WIDTHS].mean()))
        yield (
            f"| {name}, half of the slices, the others tested | {np.mean(missed):.3f} "
            f"| {np.mean(widths):.2f} | {np.mean(np.array(missed) > ALPHA):.2f} |"
        )
        for person, called in enumerate(people.names):
            out = people.person == person
            width = choose(table[~out])
            found = float(table[out][:, width == WIDTHS].mean())
            yield f"| {name}, without {called}, who is tested | {found:.3f} | {width:.2f} | |"


def _crc(losses: np.ndarray) -> float:
    return conformal_risk_control(losses, WIDTHS, ALPHA)


def _rcps(losses: np.ndarray) -> float:
    return control_risk(losses, WIDTHS, ALPHA, 0.1)


def report(scenes: Scenes, people: People, families: np.ndarray) -> str:
    """Return the tables."""
    rows = [battery_rows("all", scenes)]
    for first, family in enumerate(FAMILIES):
        part = scenes.pick(np.flatnonzero(families == first))
        rows.append(battery_rows(family.replace("_", " "), part))
    for person, name in enumerate(people.names):
        rows.append(battery_rows(name, scenes.pick(np.flatnonzero(people.person == person))))
    head = (
        "| slices of | slices | battery | corrected p | cause | 90 % intervals hold (band of a "
        "ideal sampler) | spread over error | mean better than a draw, dB (ideal) |\n"
        "|---|---|---|---|---|---|---|---|\n"
    )
    more = (
        "\n\n| intervals for 90 % of pixels | pixels missed | width, std | splits above .1 |\n"
        "|---|---|---|---|\n"
    )
    return head + "\n".join(rows) + more + "\n".join(repairs(scenes, people))


def main() -> None:
    """Draw what is missing, then test."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--finished", action="store_true", help="draw nothing, take what is there")
    arguments = parser.parse_args()
    people = held_out_people(arguments.data)
    problem, families = measure(people.images), np.arange(len(people.images)) % len(FAMILIES)
    draws, done = draw(problem, arguments.folder, arguments.finished)
    scenes = dataclasses.replace(
        scenes_of(people.images, draws, problem), groups=people.person
    ).pick(done)
    people = People(people.images[done], people.person[done], people.names)
    print(f"weights {weights_key(NETWORK)}\n\n{report(scenes, people, families[done])}")  # noqa: T201


if __name__ == "__main__":
    main()
