"""Fit the error model of the prior of complex windows, and choose its gain on validation people.

python -m tests.benchmarks.fit_errors choose WEIGHTS DATA     # scores of tables of gains
python -m tests.benchmarks.fit_errors path WEIGHTS DATA       # spread over error, level by level
python -m tests.benchmarks.fit_errors write WEIGHTS DATA      # into the card beside the weights
"""

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.benchmarks.heads import (
    CoilScan,
    complex_images,
    draw_scores,
    lines,
    measure_coils,
    stored,
    validation_slices,
)
from uqrestore.cli.terminal import say
from uqrestore.diffusion.denoiser import NetworkDenoiser
from uqrestore.diffusion.error_model import ErrorModel, fit_error_model
from uqrestore.diffusion.windowed import WindowedDenoiser
from uqrestore.methods import fitted_gaussian
from uqrestore.noise import SampleNoise
from uqrestore.zoo import load_card, load_prior

SIGMAS = torch.logspace(math.log10(0.003), math.log10(5), 20).tolist()
LEVELS = (5.0, 1.0, 0.5, 0.3, 0.1, 0.03)
"""Noise levels at which a gain is stated; between them it is linear in their logarithm."""
CHOSEN = (0.8, 0.9, 1.25, 1.4, 1.9, 2.1)
GAINS = (
    (1.0, 1.0, 1.0, 1.0, 1.0, 1.0),
    (0.9, 0.9, 0.9, 0.9, 1.3, 1.6),
    (0.8, 0.9, 1.4, 1.6, 1.6, 1.6),
    (0.8, 0.9, 1.3, 1.4, 2.0, 2.2),
    CHOSEN,
)
STOPS = (5.0, 1.0, 0.3, 0.1, 0.03, 0.0069)
IMAGES, DRAWS = 8, 6


def fit(denoiser: NetworkDenoiser, data: Path) -> ErrorModel:
    """Fit the error model on whole slices of validation people."""
    generator = torch.Generator().manual_seed(1)
    images = complex_images(validation_slices(data, IMAGES), generator)
    pairs = torch.view_as_real(images).movedim(-1, 1).contiguous()
    windowed = WindowedDenoiser(denoiser, (pairs.shape[-2], pairs.shape[-1]))
    return fit_error_model(windowed, pairs, SIGMAS, generator)


def with_gain(model: ErrorModel, gains: Sequence[float]) -> ErrorModel:
    """Return a model with gains at ``LEVELS``."""
    levels, gain = np.log(LEVELS[::-1]), np.array(gains[::-1])
    at = np.interp(model.sigmas.log().numpy(), levels, gain)
    return replace(model, gain=torch.from_numpy(at))


def show_path(denoiser: NetworkDenoiser, data: Path) -> None:
    """Print spread over error of the draws of x_0 at some noise levels on the way down.

    A calibrated sampler has 1 at each: its draws are draws of the posterior at every level. Where
    the ratio falls, draws commit to one image too early, and the gain of those levels is too small.
    """
    ratio = (0.007) ** (1 / 30)
    levels = [SIGMAS[-1], *(ratio**i for i in range(31))]
    scans = validation_scans(data)
    for stop in STOPS:
        above = [sigma for sigma in levels if sigma >= stop]
        rows = [draw_scores(_drawn(scan, denoiser, i, [*above, 0.0]), scan) for i, scan in scans]
        say(f"noise {above[-1]:.3g}: " + _averages(rows))


def _drawn(
    scan: CoilScan, denoiser: NetworkDenoiser, index: int, sigmas: list[float] | None = None
) -> Tensor:
    windowed = WindowedDenoiser(denoiser, (scan.truth.shape[0], scan.truth.shape[1]))
    return fitted_gaussian(
        scan.problem, windowed, SampleNoise(0, range(DRAWS), slices=index), sigmas=sigmas
    )


def _averages(rows: list[dict[str, float]]) -> str:
    return ", ".join(f"{key} {sum(row[key] for row in rows) / len(rows):.4g}" for key in rows[0])


def validation_scans(data: Path) -> list[tuple[int, CoilScan]]:
    """Return numbered measurements by 8 coils, R = 4 and 6, noise .5, 1 and 2 %, with true maps.

    Two slices of each set of heads, and four stripped brains at 2 mm.
    """
    brains = torch.from_numpy(stored(data / "ixi_brain_96.h5", "val/brain"))
    order = torch.randperm(len(brains), generator=torch.Generator().manual_seed(2))
    padded = F.pad(brains[order[:4]].float().squeeze(1) / 255, (16,) * 4)
    slices = torch.cat([validation_slices(data, 2), padded])
    generator, scans = torch.Generator().manual_seed(7), []
    for index, image in enumerate(complex_images(slices, generator)):
        acceleration, centre = ((4, 16), (6, 12))[index % 2]
        mask = lines(image.shape[-1], acceleration, centre, 100 + index)
        noise_std = (0.005, 0.01, 0.02)[index % 3]
        scans.append((index, measure_coils(image, mask, noise_std, generator)))
    return scans


def scores(draws: Tensor, scan: CoilScan) -> dict[str, float]:
    """Return the scores of draws, and their energy score: per pixel, of the complex image."""
    pixels = torch.view_as_complex(draws.movedim(1, -1).contiguous())[:, scan.head]
    count = len(draws)
    values = torch.view_as_real(pixels).flatten(1)
    apart = torch.cdist(values, values).sum() / (2 * count * (count - 1))
    away = (pixels - scan.truth[scan.head]).abs().square().sum(1).sqrt().mean()
    energy = float(away - apart) / math.sqrt(int(scan.head.sum()))
    return {**draw_scores(draws, scan), "energy": energy}


def choose(denoiser: NetworkDenoiser, data: Path) -> None:
    """Print the scores of each table of gains, over the validation measurements."""
    model, scans = fit(denoiser, data), validation_scans(data)
    for gains in GAINS:
        denoiser.errors = with_gain(model, gains)
        rows = [scores(_drawn(scan, denoiser, index), scan) for index, scan in scans]
        say(f"gains {gains}: {_averages(rows)}")


def main() -> None:
    """Print a table, or write the card."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["choose", "path", "write"])
    parser.add_argument("weights")
    parser.add_argument("data", type=Path)
    given = parser.parse_args()
    denoiser = load_prior(given.weights)
    assert isinstance(denoiser, NetworkDenoiser)
    if given.what != "write":
        {"choose": choose, "path": show_path}[given.what](denoiser, given.data)
        return
    path = Path(given.weights).with_suffix(".json")
    card = json.loads(path.read_text())
    card["errors"] = with_gain(fit(denoiser, given.data), CHOSEN).to_data()
    path.write_text(json.dumps(card, indent=1) + "\n")
    say(f"{load_card(given.weights).name}: error model written to {path}")


if __name__ == "__main__":
    main()
