"""Components of brains in one call: are they as wide as predicted, and what are draws worth?

``python -m tests.benchmarks.one_call_components DATA FOLDER`` prints what goes into
``docs/benchmarks-uncertainty.md`` and draws ``docs/images/components.png``; of DATA, the folder of
the training data, only the groups ``test`` and ``val`` are read. FOLDER keeps the draws, so that a
stopped run goes on; with ``--no-draws`` only the tables are made.
"""

import argparse
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
    validation_slices,
    weights_key,
)
from tests.benchmarks.components import linear_moments
from uqrestore.conformal.component_box import ComponentPredictions, box_widths
from uqrestore.diffusion.denoiser import NetworkDenoiser
from uqrestore.diffusion.posterior_mean import PosteriorMoments, posterior_moments
from uqrestore.methods import METHODS
from uqrestore.noise import SampleNoise
from uqrestore.posterior.components import principal_components
from uqrestore.problem import Problem
from uqrestore.training.data import Images
from uqrestore.zoo import load_prior

PREDICTOR, SAMPLER = "brain64-nppc", "brain64-invfussion"
FIGURE_SLICES, MOST, STEPS, BLOCK = 16, 256, 10, 64
COUNTS = (8, 16, 32, 64, 128, 256)
COMPONENTS, ALPHA, SPLITS = 5, 0.1, 500
PICTURE = Path(__file__).parents[2] / "docs" / "images" / "components.png"


def ask(problem: Problem) -> PosteriorMoments:
    """Ask the network once for every slice."""
    network = load_prior(PREDICTOR)
    return posterior_moments(network, problem, SampleNoise(0, [0], slices=range(len(problem.y))))


def predictions(
    truth: Images, moments: PosteriorMoments, families: np.ndarray, residual: dict[int, float]
) -> ComponentPredictions:
    """Compare the network's moments with the truth.

    Args:
        truth: True slices.
        moments: The network's answer for them.
        families: Which kind of measurement each is of.
        residual: Error that the components of each kind leave out, as seen on other people.
    """
    return ComponentPredictions(
        truth.numpy().astype(np.float64),
        moments.mean.numpy().astype(np.float64),
        moments.directions.numpy().astype(np.float64),
        moments.std.numpy().astype(np.float64),
        np.array([residual[family] for family in families]),
    )


def left_out(truth: Images, moments: PosteriorMoments, families: np.ndarray) -> dict[int, float]:
    """Root mean square norm of the error outside of the components, for each kind."""
    error = truth - moments.mean
    along = torch.einsum("bkchw,bchw->bk", moments.directions, error)
    rest = error.flatten(1).square().sum(1) - along.square().sum(1)
    return {f: float(rest[torch.from_numpy(families == f)].mean()) ** 0.5 for f in set(families)}


def z_rows(components: ComponentPredictions, people: People, families: np.ndarray) -> Iterator[str]:
    """Yield rows: mean squared z of every component, over slices of some kind."""
    square = components.z**2

    def row(name: str, chosen: np.ndarray) -> str:
        of = square[chosen]
        error = of.std(0, ddof=1) / np.sqrt(len(of))
        each = " | ".join(f"{m:.3f} +- {e:.2f}" for m, e in zip(of.mean(0), error, strict=True))
        return f"| {name} | {len(of)} | {each} | {of.mean():.2f} |"

    yield row("all", np.ones(len(square), bool))
    for person, name in enumerate(people.names):
        yield row(name, people.person == person)
    for person, name in enumerate(people.names):
        yield row(f"all but {name}", people.person != person)
    for index, family in enumerate(FAMILIES):
        yield row(family.replace("_", " "), families == index)
    means = np.array([square[people.person == p].mean(0) for p in range(len(people.names))])
    spread = means.std(0, ddof=1)
    each = " | ".join(f"{m:.2f}, {s:.2f}" for m, s in zip(means.mean(0), spread, strict=True))
    yield f"| people: mean, standard deviation | {len(means)} | {each} | {means.mean():.2f} |"


def box_rows(components: ComponentPredictions, people: People) -> Iterator[str]:
    """Yield rows: how often the calibrated box holds a whole slice."""
    largest, outside = np.abs(components.z).max(1), components.outside
    g, held, narrow = np.random.default_rng(0), [], []
    for _ in range(SPLITS):
        order = g.permutation(len(largest))
        here, there = np.array_split(order, 2)
        held.append(_held(largest, outside, here, there))
        narrow.append(np.mean(largest[there] <= 1.645))
    yield (
        f"| {SPLITS} random halves | {np.mean(held):.3f} | {np.quantile(held, 0.05):.3f} to "
        f"{np.quantile(held, 0.95):.3f} |"
    )
    for person, name in enumerate(people.names):
        out = people.person == person
        share = _held(largest, outside, np.flatnonzero(~out), np.flatnonzero(out))
        yield f"| calibrated without {name}, who is tested | {share:.3f} | |"
    yield f"| components alone, +- 1.645 std, no calibration | {np.mean(narrow):.3f} | |"


def _held(largest: np.ndarray, outside: np.ndarray, here: np.ndarray, there: np.ndarray) -> float:
    along, rest = box_widths(largest[here], outside[here], ALPHA)
    return float(np.mean((largest[there] <= along) & (outside[there] <= rest)))


def draw(problem: Problem, folder: Path, most: int) -> Tensor:
    """Draw very many images of every slice, ``(draw, slice, *image)``, some at a time."""
    network = load_prior(SAMPLER)
    assert isinstance(network, NetworkDenoiser)
    folder, columns = folder / f"many-{weights_key(SAMPLER)}", []
    for at in range(len(problem.y)):
        parts = []
        for first in range(0, most, BLOCK):
            streams = SampleNoise(1, range(first, first + BLOCK), slices=[at])

            def make(at: int = at, streams: SampleNoise = streams) -> Tensor:
                with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
                    return METHODS["conditional"](
                        problem.select([at]), network, streams, steps=STEPS, sampler="dpmpp_2m"
                    )

            parts.append(kept(folder / f"{at:02d}-{first:03d}.npy", make))
        columns.append(torch.cat(parts))
    return torch.cat(columns, 1)


def captured(directions: Tensor, error: Tensor) -> np.ndarray:
    """Return the share of the squared error inside the first 1, 2, ... directions."""
    along = torch.einsum("kchw,chw->k", directions.double(), error.double()).square()
    return (along.cumsum(0) / error.double().square().sum()).numpy()


def curves(truth: Images, moments: PosteriorMoments, draws: Tensor) -> dict[int, np.ndarray]:
    """Return, by number of draws, the captured shares ``(slice, component)``; 0 is one call."""
    error = truth - moments.mean
    rows = range(len(truth))
    found = {0: np.stack([captured(moments.directions[i], error[i]) for i in rows])}
    for count in (c for c in COUNTS if c <= len(draws)):
        found[count] = np.stack(
            [
                captured(
                    torch.from_numpy(
                        principal_components(
                            draws[:count, i].double().numpy(), COMPONENTS
                        ).directions
                    ),
                    error[i],
                )
                for i in rows
            ]
        )
    return found


def picture(found: dict[int, np.ndarray]) -> None:
    """Draw captured error energy against network calls."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6.4, 4), constrained_layout=True)
    counts = [count for count in found if count]
    calls = [STEPS * count for count in counts]
    for k, colour in ((1, "#7fb3d5"), (3, "#2e86c1"), (5, "#1b4f72")):
        shares = np.array([found[count][:, k - 1].mean() for count in counts])
        errors = np.array([_error(found[count][:, k - 1]) for count in counts])
        axes.errorbar(calls, shares, errors, color=colour, marker="o", ms=4, capsize=2)
        axes.annotate(f"{k}", (calls[-1], shares[-1]), (8, -3), textcoords="offset points",
                      color=colour)  # fmt: skip
        one = found[0][:, k - 1]
        axes.errorbar([1], [one.mean()], [_error(one)], color=colour, marker="*", ms=12, capsize=2)
        axes.axhline(one.mean(), color=colour, lw=0.7, ls=":")
    axes.set_xscale("log")
    axes.set_ylim(0)
    axes.set_xlim(0.7, calls[-1] * 1.6)
    axes.set_xlabel("network calls a slice")
    axes.set_ylabel("share of squared error in the first components")
    axes.set_title(
        f"Stars: NPPC, one call. Circles: PCA of {counts[0]} to {counts[-1]} draws.\n"
        "Numbers: how many components",
        fontsize=10,
    )
    axes.spines[["top", "right"]].set_visible(False)
    PICTURE.parent.mkdir(exist_ok=True)
    figure.savefig(PICTURE, dpi=130)


def _error(values: np.ndarray) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values)))


def linear_row(truth: Images, problem: Problem, moments: PosteriorMoments) -> str:
    """Return the share of the error in five components of the model of the linear estimate."""
    network = load_prior(PREDICTOR)
    assert isinstance(network, NetworkDenoiser)
    prior = linear_moments(network, problem).directions
    error = truth - moments.mean
    ours, alone = (
        np.mean([captured(rows[i], error[i])[-1] for i in range(len(truth))])
        for rows in (moments.directions, prior)
    )
    return (
        f"validation slices, captured by five: {ours:.3f}, by those of the model alone {alone:.3f}"
    )


def table(found: dict[int, np.ndarray]) -> str:
    """Return the captured shares as rows, with the paired difference from one call."""
    rows = []
    for count, shares in found.items():
        name = "NPPC" if count == 0 else f"PCA of {count} draws"
        calls = 1 if count == 0 else STEPS * count
        gap = shares[:, -1] - found[0][:, -1]
        rows.append(
            f"| {name} | {calls} | {' '.join(f'{v:.3f}' for v in shares.mean(0))} "
            f"| {gap.mean():+.3f} +- {_error(gap):.3f} |"
        )
    return (
        "| directions | calls a slice | captured by 1 to 5 | five, against one call (paired) |\n"
        "|---|---|---|---|\n" + "\n".join(rows)
    )


def main() -> None:
    """Ask, draw what is missing, and compare."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--no-draws", action="store_true")
    parser.add_argument("--most", type=int, default=MOST, help="draws of a slice")
    arguments = parser.parse_args()
    people = held_out_people(arguments.data)
    problem, families = measure(people.images), np.arange(len(people.images)) % len(FAMILIES)
    others = validation_slices(arguments.data)
    kinds = np.arange(len(others)) % len(FAMILIES)
    watched = measure(others)
    other_moments = ask(watched)
    residual = left_out(others, other_moments, kinds)
    moments = ask(problem)
    components = predictions(people.images, moments, families, residual)
    numbers = " | ".join(str(k + 1) for k in range(COMPONENTS))
    print(f"weights {weights_key(PREDICTOR)}, {weights_key(SAMPLER)}\n")  # noqa: T201
    print(f"| slices of | slices | {numbers} | all |\n|{'---|' * (COMPONENTS + 3)}")  # noqa: T201
    print("\n".join(z_rows(components, people, families)))  # noqa: T201
    print("\n| box | slices inside | 5 to 95 % |\n|---|---|---|")  # noqa: T201
    print("\n".join(box_rows(components, people)))  # noqa: T201
    print(f"\n{linear_row(others, watched, other_moments)}")  # noqa: T201
    if arguments.no_draws:
        return
    pick = torch.linspace(0, len(people.images) - 1, FIGURE_SLICES).round().long()
    chosen = PosteriorMoments(moments.mean[pick], moments.directions[pick], moments.std[pick])
    draws = draw(problem.select(pick), arguments.folder, arguments.most)
    found = curves(people.images[pick], chosen, draws)
    picture(found)
    print(f"\n{table(found)}")  # noqa: T201


if __name__ == "__main__":
    main()
