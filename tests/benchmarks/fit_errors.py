"""Fit the error model of the prior of complex windows, and choose its gain on validation people.

python -m tests.benchmarks.fit_errors choose WEIGHTS DATA     # table of gains by energy score
python -m tests.benchmarks.fit_errors write WEIGHTS DATA      # into the card beside the weights
"""

import argparse
import json
import math
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from tests.benchmarks.heads import (
    CoilScan,
    complex_images,
    draw_scores,
    lines,
    measure_coils,
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
GAINS = ((1.0, 1.0), (0.9, 1.3), (0.9, 1.6), (1.0, 1.5))
CHOSEN = (0.9, 1.6)
COARSE, FINE = 0.3, 0.02
"""Noise levels above and below which the first and the second gain hold."""
IMAGES, DRAWS = 8, 6


def fit(denoiser: NetworkDenoiser, data: Path) -> ErrorModel:
    """Fit the error model on whole slices of validation people."""
    generator = torch.Generator().manual_seed(1)
    images = complex_images(validation_slices(data, IMAGES), generator)
    pairs = torch.view_as_real(images).movedim(-1, 1).contiguous()
    windowed = WindowedDenoiser(denoiser, (pairs.shape[-2], pairs.shape[-1]))
    return fit_error_model(windowed, pairs, SIGMAS, generator)


def with_gain(model: ErrorModel, coarse: float, fine: float) -> ErrorModel:
    """Return a model whose gain changes from ``coarse`` to ``fine`` with the noise level."""
    place = (math.log(COARSE) - model.sigmas.log()) / (math.log(COARSE) - math.log(FINE))
    place = place.clamp(0, 1)
    return replace(model, gain=coarse * (1 - place) + fine * place)


def validation_scans(data: Path) -> list[CoilScan]:
    """Return measurements of two slices of each set: 8 coils, R = 4 and 8, noise .5, 1 and 2 %."""
    generator, scans = torch.Generator().manual_seed(7), []
    for index, image in enumerate(complex_images(validation_slices(data, 2), generator)):
        acceleration, centre = ((4, 12), (8, 8))[index % 2]
        mask = lines(image.shape[-1], acceleration, centre, 100 + index)
        scans.append(measure_coils(image, mask, (0.005, 0.01, 0.02)[index % 3], generator))
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
    """Print the scores of each pair of gains, over the validation measurements."""
    model, scans = fit(denoiser, data), validation_scans(data)
    for gains in GAINS:
        denoiser.errors = with_gain(model, *gains)
        rows = []
        for index, scan in enumerate(scans):
            windowed = WindowedDenoiser(denoiser, (scan.truth.shape[0], scan.truth.shape[1]))
            noise = SampleNoise(0, range(DRAWS), slices=index)
            rows.append(scores(fitted_gaussian(scan.problem, windowed, noise), scan))
        mean = {key: sum(row[key] for row in rows) / len(rows) for key in rows[0]}
        text = ", ".join(f"{key} {value:.4g}" for key, value in mean.items())
        say(f"gain {gains[0]:g} to {gains[1]:g}: {text}")


def main() -> None:
    """Print a table, or write the card."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["choose", "write"])
    parser.add_argument("weights")
    parser.add_argument("data", type=Path)
    given = parser.parse_args()
    denoiser = load_prior(given.weights)
    assert isinstance(denoiser, NetworkDenoiser)
    if given.what == "choose":
        choose(denoiser, given.data)
        return
    path = Path(given.weights).with_suffix(".json")
    card = json.loads(path.read_text())
    card["errors"] = with_gain(fit(denoiser, given.data), *CHOSEN).to_data()
    path.write_text(json.dumps(card, indent=1) + "\n")
    say(f"{load_card(given.weights).name}: error model written to {path}")


if __name__ == "__main__":
    main()
