"""Does a prior hide lesions? ``python -m tests.benchmarks.lesions DATA FOLDER``.

Two priors of FLAIR slices, one trained without and one with lesions, restore slices of new people
with strokes from simulated k-space and with missing pixels. DATA holds ``soop_flair.h5``; FOLDER
keeps the trainings and every row, so that a stopped run goes on. Writes
``docs/benchmarks-lesions.md`` and its pictures.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.ndimage import binary_dilation
from torch import Tensor

from tests.benchmarks.fit_errors import with_gain
from tests.benchmarks.heads import stored
from tests.benchmarks.lesion_page import RIVAL, page, picture
from tests.benchmarks.lesion_priors import PRIORS, SAMPLES, STROKES, chosen, trained
from tests.benchmarks.small import run
from uqrestore.baselines import total_variation
from uqrestore.cli.terminal import say
from uqrestore.diagnostics.heldout import hold_out
from uqrestore.diagnostics.scenes import Scenes
from uqrestore.diagnostics.scores import fair_energy
from uqrestore.diffusion.denoiser import NetworkDenoiser
from uqrestore.diffusion.error_model import ErrorModel, fit_error_model
from uqrestore.methods import fitted_gaussian
from uqrestore.noise import SampleNoise
from uqrestore.operators import Inpainting
from uqrestore.operators.random.medical import CartesianKSpace
from uqrestore.posterior.intervals import central_interval
from uqrestore.problem import Problem, simulate
from uqrestore.training.data import step_generator, to_network
from uqrestore.zoo import load_prior

DRAWS, NOISE_STD, SHAPE = 19, 0.05, (1, 64, 64)
FEWEST = 4
"""Pixels of a lesion, of 9 mm^2 each, below which its mean says little."""
AROUND = 3
"""Pixels around a lesion that are hidden with it."""
WEIGHTS = (0.01, 0.02, 0.04, 0.08, 0.15)
"""Weights of total variation."""
SIGMAS = torch.logspace(np.log10(0.003), np.log10(5), 20).tolist()
GAINS = (
    (1.0, 1.0, 1.0, 1.0, 1.0, 1.0),
    (1.2, 1.2, 1.2, 1.2, 1.2, 1.2),
    (1.4, 1.4, 1.4, 1.4, 1.4, 1.4),
    (1.7, 1.7, 1.7, 1.7, 1.7, 1.7),
    (1.2, 1.2, 1.5, 1.7, 2.0, 2.1),
)
"""Gains of the error model to choose from, at the levels of ``fit_errors``."""
CASES = {
    "k-space R = 4": "k-space, one line in 4",
    "k-space R = 8": "k-space, one line in 8",
    "a quarter measured": "in-painting, a quarter of its pixels measured",
    "half measured": "in-painting, one side measured",
    "hidden": "in-painting, all of it hidden",
}


@dataclass(frozen=True, eq=False)
class Strokes:
    """Slices of people with strokes.

    Args:
        images: In network units, ``(slice, 1, row, column)``.
        lesion: Outlined pixels, ``(slice, row, column)``.
        people: The person of each slice.
    """

    images: Tensor
    lesion: np.ndarray
    people: np.ndarray

    def __len__(self) -> int:
        return len(self.images)

    def of(self, rows: np.ndarray) -> "Strokes":
        """Return some slices."""
        return Strokes(self.images[rows], self.lesion[rows], self.people[rows])

    @property
    def sizes(self) -> np.ndarray:
        """Pixels of each lesion."""
        return self.lesion.sum((1, 2))

    @property
    def brain(self) -> np.ndarray:
        """Pixels that are not background."""
        return np.asarray(self.images[:, 0] > -0.95)


def load_strokes(data: Path, split: str) -> Strokes:
    """Read the slices of a split."""
    parts = [stored(data / STROKES, f"{split}/{name}") for name in ("brain", "lesion", "group")]
    return Strokes(to_network(torch.from_numpy(parts[0])[:, None]), parts[1] > 0, parts[2])


def grown(region: np.ndarray, pixels: int) -> np.ndarray:
    """Return a region with what lies around it."""
    return np.asarray(binary_dilation(region, iterations=pixels), bool)


def near(strokes: Strokes) -> np.ndarray:
    """Return the brain around each lesion, without it: what its contrast is measured against."""
    out = np.zeros_like(strokes.lesion)
    for i, lesion in enumerate(strokes.lesion):
        out[i] = grown(lesion, AROUND) & ~grown(lesion, 1)
    return out & strokes.brain


def mirrored(strokes: Strokes) -> np.ndarray:
    """Return the same places on the other side of the brain, where there is no lesion."""
    other = strokes.lesion[:, :, ::-1] & strokes.brain
    for i, lesion in enumerate(strokes.lesion):
        other[i] &= ~grown(lesion, 1)
    return other


def measured(case: str, strokes: Strokes) -> Problem:
    """Measure slices, the same in every run."""
    noise = SampleNoise(4, [0], slices=range(len(strokes)))
    if case.startswith("k-space"):
        distribution = CartesianKSpace(SHAPE, (int(case[-1]),))
        operator = distribution.draw(step_generator(3), len(strokes))
        return simulate(operator, strokes.images, noise_std=NOISE_STD, noise=noise)
    seen = torch.rand(strokes.lesion.shape, generator=step_generator(5)).numpy() < 0.25
    masks = np.ones_like(strokes.lesion)
    for i, lesion in enumerate(strokes.lesion):
        hidden = grown(lesion, AROUND)
        rows = np.arange(lesion.shape[0])[:, None]
        if case == "half measured":
            hidden &= rows >= np.median(np.nonzero(lesion)[0])
        elif case == "a quarter measured":
            hidden &= ~seen[i]
        masks[i] = ~hidden
    operator = Inpainting(torch.from_numpy(masks)[:, None])
    return simulate(operator, strokes.images, noise_std=NOISE_STD, noise=noise)


def drawn(prior: NetworkDenoiser, problem: Problem, seed: int = 6, draws: int = DRAWS) -> Tensor:
    """Draw from the posteriors of all slices, ``(draw, slice, 1, row, column)``."""
    parts = []
    for start in range(0, problem.problem_shape[0], 8):
        rows = range(start, min(start + 8, problem.problem_shape[0]))
        noise = SampleNoise(seed, range(draws), slices=rows)
        with torch.no_grad():
            parts.append(fitted_gaussian(problem.select(rows), prior, noise))
    return torch.cat(parts, 1)


def with_errors(prior: NetworkDenoiser, kind: str, data: Path) -> tuple[ErrorModel, list[float]]:
    """Return the error model of a prior, of validation people of its own kind, and its gains.

    By the energy score of draws, which no sampler but the ideal one minimises.
    """
    held = load_strokes(data, "val")
    held = held.of(chosen(held.lesion, kind))
    model = fit_error_model(prior, held.images, SIGMAS, step_generator(1))
    few = held.of(np.arange(0, len(held), 4))
    problem, rows = measured("k-space R = 4", few), []
    for gains in GAINS:
        prior.errors = with_gain(model, gains)
        draws = drawn(prior, problem, seed=8, draws=8)
        scenes = Scenes(few.images.double().numpy(), draws.double().numpy())
        rows.append((float(fair_energy(scenes.truth, scenes.draws).mean()), gains))
        say(f"{kind}: gains {gains}, energy score {rows[-1][0]:.4f}")
    best = min(rows)[1]
    return with_gain(model, best), list(best)


def means(images: np.ndarray, regions: np.ndarray) -> np.ndarray:
    """Return the mean of a region of each slice."""
    return (images * regions).sum((-2, -1)) / np.maximum(regions.sum((-2, -1)), 1)


def scored(draws: Tensor, strokes: Strokes) -> dict[str, list[Any]]:
    """Return what became of each lesion: one number a slice."""
    all_draws = draws[:, :, 0].double().numpy()
    truth = strokes.images[:, 0].double().numpy()
    around, other = near(strokes), mirrored(strokes)
    interval, out = central_interval(len(draws)), {}
    for name, region in (("lesion", strokes.lesion), ("mirrored", other)):
        low, high = interval.of(means(all_draws, region))
        true = means(truth, region)
        out[f"{name} inside"] = ((true >= low) & (true <= high)).tolist()
        out[f"{name} std"] = means(all_draws, region).std(0, ddof=1).tolist()
        out[f"{name} pixel std"] = means(all_draws.std(0, ddof=1), region).tolist()
        out[f"{name} error"] = (means(all_draws, region).mean(0) - true).tolist()
        out[f"{name} pixels"] = region.sum((1, 2)).tolist()
    out["contrast"] = (means(truth, strokes.lesion) - means(truth, around)).tolist()
    of_draws = means(all_draws, strokes.lesion) - means(all_draws, around)
    out["contrast of the mean"] = of_draws.mean(0).tolist()
    out["draws with half of it"] = (of_draws > 0.5 * np.array(out["contrast"])).mean(0).tolist()
    return {**out, "people": strokes.people.tolist()}


def conventional(case: str, strokes: Strokes) -> dict[str, list[Any]]:
    """Return the contrast that total variation keeps, at the weight that is best for each slice."""
    problem, best = measured(case, strokes), strokes.images.clone()
    least = torch.full((len(strokes),), torch.inf)
    above = Problem(
        problem.operator, problem.y + problem.operator(torch.ones_like(best)), NOISE_STD
    )  # 0 outside, as it expects
    for weight in WEIGHTS:
        images = total_variation(above, weight=weight) - 1
        error = (images - strokes.images).square().flatten(1).sum(1)
        better = error < least
        best[better], least[better] = images[better], error[better]
    around, found = near(strokes), {}
    for name, images in (("contrast", strokes.images), ("contrast of the mean", best)):
        values = images[:, 0].double().numpy()
        found[name] = (means(values, strokes.lesion) - means(values, around)).tolist()
    return {**found, "people": strokes.people.tolist()}


def flagged(prior: NetworkDenoiser, strokes: Strokes) -> list[float]:
    """Return how far held-out k-space is from what the draws predict: a rank of each slice.

    The distance of the measurement to the mean of the draws' predictions, among the distances of
    each prediction to the mean of the others and the measurement: 1 of 20 is the farthest by
    chance.
    """
    kept, held = hold_out(measured("k-space R = 4", strokes), 0.2, step_generator(11))
    draws = drawn(prior, kept, seed=12)
    noise = SampleNoise(13, range(DRAWS), slices=range(len(strokes)))
    row_mask = held.operator.row_mask
    assert row_mask is not None
    predicted = held.operator(draws)
    predicted = predicted + held.noise_std_like(predicted) * noise.like(predicted) * row_mask
    every = torch.cat([held.y[None], predicted]).flatten(2).double()
    others = (every.sum(0) - every) / (len(every) - 1)
    apart = (every - others).square().sum(-1)
    return ((apart <= apart[:1]).double().mean(0)).tolist()


def experiment(data: Path, folder: Path, samples: int) -> Iterator[str]:
    """Train, restore and score; yield the page as it grows."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "lesions.json"
    record: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    test = load_strokes(data, "test")
    ill, well = (
        test.of(np.flatnonzero(test.sizes >= FEWEST)),
        test.of(np.flatnonzero(test.sizes == 0)),
    )
    if RIVAL not in record:
        cases = [case for case in CASES if case.startswith("k-space")]
        record[RIVAL] = {case: conventional(case, ill) for case in cases}
    shown: dict[str, dict[str, Tensor]] = {}
    for kind in PRIORS:
        loaded = load_prior(str(trained(data, folder, kind, samples)))
        assert isinstance(loaded, NetworkDenoiser)
        rows: dict[str, Any] = record.setdefault(kind, {})
        if "gains" not in rows:
            model, rows["gains"] = with_errors(loaded, kind, data)
            (folder / f"{kind}-errors.json").write_text(json.dumps(model.to_data()))
        loaded.errors = ErrorModel.from_data(
            json.loads((folder / f"{kind}-errors.json").read_text())
        )
        for number, case in enumerate(CASES):
            kept = folder / f"{kind}-{number}.npy"
            if not kept.exists():
                np.save(kept, drawn(loaded, measured(case, ill)).numpy())
                say(f"{kind}: {case} done")
            shown.setdefault(case, {})[kind] = torch.from_numpy(np.load(kept))
            rows[case] = scored(shown[case][kind], ill)
            path.write_text(json.dumps(record))
        if "flags" not in rows:
            rows["flags"] = {"lesion": flagged(loaded, ill), "none": flagged(loaded, well)}
        path.write_text(json.dumps(record))
        yield page(record, sizes_of(ill), samples)
    picture(ill.images, ill.lesion, shown)
    yield page(record, sizes_of(ill), samples)


def sizes_of(strokes: Strokes) -> np.ndarray:
    """Return the area of each lesion in cm^2."""
    return strokes.sizes * 0.09


if __name__ == "__main__":
    run("lesions", experiment, SAMPLES, ("data", "folder"))
