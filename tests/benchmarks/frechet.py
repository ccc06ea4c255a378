"""Do single draws look like images? Frechet and kernel distances, beside what chance gives.

``python -m tests.benchmarks.frechet DATA FOLDER`` writes ``docs/benchmarks-frechet.md``; of DATA,
the folder of the training data, the label maps of the test people are read, and those of the
validation people for the feature map. FOLDER keeps the draws, so that a stopped run goes on.
"""

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tests.benchmarks.brains import SHAPE, kept, weights_key
from tests.benchmarks.invfussion import FAMILIES, psnr
from uqrestore.methods import METHODS
from uqrestore.metrics.features import Features, ScatteringFeatures, joint
from uqrestore.metrics.frechet import frechet_distance, kernel_distance
from uqrestore.noise import SampleNoise
from uqrestore.operators.random.mixture import DISTRIBUTIONS
from uqrestore.problem import Problem, simulate
from uqrestore.training.data import Drawn, Images, step_generator
from uqrestore.training.labels import labels_source, load_labels
from uqrestore.zoo import load_prior

IMAGES, COUNT, BATCH = 512, 10, 32
SHOWN: Mapping[str, Mapping[str, Any]] = {**FAMILIES, "nothing": {}}
"""Operators by family; no training saw the last but one, and the last measures nothing."""


@dataclass(frozen=True)
class Sampler:
    """A network, the method that draws with it, and the calls that it makes."""

    weights: str
    method: str
    options: Mapping[str, Any]
    calls: int


FEW: Mapping[str, Any] = {"steps": 14, "sampler": "dpmpp_3m", "rho": 50.0, "sigma_min": 0.005}
SAMPLERS = {
    "DDNM, prior": Sampler("brain64-prior", "ddnm", {"steps": 30}, 30),
    "Palette": Sampler("brain64-palette", "conditional", FEW, 14),
    "InvFussion": Sampler("brain64-invfussion", "conditional", FEW, 14),
}
PAGE = """# Do draws look like images?

One draw of each of {count} fresh slices, painted from the label maps of two people whom no training
saw, noise-free; compared with {count} other such slices through {features} scattering features
(`ScatteringFeatures`, fitted to slices of three other people; textures of eight pixels and below,
not anatomy). `frechet` is the Frechet distance of the features, `with A^+ y` that of image and
measurement side by side, and `kernel` a thousand times the squared kernel distance. Every sampler
ends exactly on its measurement, so these are the distances that the paper reports as consistent.
The row *other slices* compares {count} true slices with {count} others: a distance that is not
above it shows no difference. The distances do not measure spread; the rank battery does. They are
not FID: no Inception network is behind them.

The tables show: draws of InvFussion are the nearest on every operator, on dense matrices, blur and
k-space at a quarter to two fifths of Palette's distance. None is as near as other true slices are,
so draws can be distinguished from slices by their texture, as the battery finds too. A single draw
of InvFussion also has the highest PSNR, but for blur.

{tables}

    python -m tests.benchmarks.frechet DATA FOLDER

Made with the weights {keys}.
"""


def slices(data: Path, split: str, count: int, seed: int) -> Images:
    """Paint fresh slices of the people of a split."""
    source = labels_source(load_labels(data / "brain_labels.h5", split, SHAPE[1]))
    blocks = (min(64, count - at) for at in range(0, count, 64))
    made = (source(n, step_generator(seed, i)) for i, n in enumerate(blocks))
    return torch.cat([Drawn.of(one).images for one in made])


def measured(family: str, truth: Images) -> Problem:
    """Measure every slice by an operator of its own, without noise, the same in every run."""
    gaussian, number = DISTRIBUTIONS[family](SHAPE, **SHOWN[family]), list(SHOWN).index(family)  # type: ignore[arg-type]
    return simulate(gaussian.draw(step_generator(31, number), len(truth)), truth)


def draw(sampler: Sampler, problem: Problem, family: str, folder: Path) -> Images:
    """Draw once for every problem, some at a time; what is kept is not drawn again."""
    network = load_prior(sampler.weights)
    place, parts = folder / f"frechet-{weights_key(sampler.weights)}", []
    for first in range(0, len(problem.y), BATCH):
        rows = list(range(first, min(first + BATCH, len(problem.y))))

        def make(rows: list[int] = rows) -> Tensor:
            streams = SampleNoise(32, [0], slices=rows)
            with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
                found = METHODS[sampler.method](
                    problem.select(rows), network, streams, **sampler.options
                )
            return found[0].float()

        name = f"{sampler.method}-{sampler.calls}-{family}-{first:03d}.npy"
        parts.append(kept(place / name, make))
    return torch.cat(parts)


def rows(
    family: str, truth: Images, others: Images, phi: ScatteringFeatures, folder: Path
) -> Iterator[str]:
    """Yield a row for true slices and one for every sampler."""
    problem, blank = measured(family, truth), family == "nothing"

    def seen(arguments: Problem) -> Features:
        return phi(arguments.operator.pinv(arguments.y).numpy())

    reference = phi(others.numpy())
    both, estimate = joint(reference, seen(measured(family, others))), seen(problem)

    def row(name: str, calls: str, images: Images, quality: str) -> str:
        found = phi(images.numpy())
        plain = frechet_distance(found, reference).value
        beside = "" if blank else f"{frechet_distance(joint(found, estimate), both).value:.2f}"
        kernel = 1000 * kernel_distance(found, reference, permutations=1).value
        return f"| {name} | {calls} | {plain:.2f} | {beside} | {kernel:.0f} | {quality} |"

    yield row("other slices", "", truth, "")
    for name, sampler in SAMPLERS.items():
        images = draw(sampler, problem, family, folder)
        quality = "" if blank else f"{psnr(images, truth).mean():.2f}"
        yield row(name, str(sampler.calls), images, quality)


def main() -> None:
    """Draw what is missing, compare, and write the page."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    truth, others = slices(arguments.data, "test", 2 * IMAGES, 33).split(IMAGES)
    phi = ScatteringFeatures.fit(slices(arguments.data, "val", 2 * IMAGES, 34).numpy(), COUNT)
    head = (
        "| draws of | calls | frechet | with A^+ y | kernel | PSNR of a draw, dB |\n"
        "|---|---|---|---|---|---|\n"
    )
    tables = []
    for family in SHOWN:
        table = "\n".join(rows(family, truth, others, phi, arguments.folder))
        tables.append(f"## {family.replace('_', ' ')}\n\n{head}{table}")
        print(tables[-1], flush=True)  # noqa: T201 - progress
    keys = ", ".join(f"{s.weights} {weights_key(s.weights)}" for s in SAMPLERS.values())
    page = Path(__file__).parents[2] / "docs" / "benchmarks-frechet.md"
    page.write_text(
        PAGE.format(count=IMAGES, features=COUNT, tables="\n\n".join(tables), keys=keys)
    )


if __name__ == "__main__":
    main()
