"""One table holds every number, and survives JSON and xarray."""

import functools
import json

import numpy as np
import pytest
import torch

from uqrestore.diagnostics.evaluate import Evaluation, evaluate
from uqrestore.diagnostics.scenes import Scenes
from uqrestore.noise import SampleNoise
from uqrestore.operators import Inpainting
from uqrestore.priors import GaussianPrior
from uqrestore.problem import simulate

SHAPE = (1, 12, 13)


@functools.cache
def study(draws: int = 8) -> Scenes:
    """Exact draws of a smooth Gaussian field, half of whose pixels are seen."""
    g = torch.Generator().manual_seed(0)
    row, column = torch.meshgrid(torch.arange(12.0), torch.arange(13.0), indexing="ij")
    at = torch.stack([row.flatten(), column.flatten()], dim=1).double()
    covariance = 0.25 * torch.exp(-torch.cdist(at, at) / 2)
    prior = GaussianPrior.from_covariance(torch.zeros(SHAPE, dtype=torch.float64), covariance)
    truth = prior.draw(SampleNoise(1, range(60)))
    operator = Inpainting(torch.rand(SHAPE, generator=g) < 0.5)
    noise = SampleNoise(2, [0], slices=range(60))
    problem = simulate(operator, truth, noise_std=0.1, noise=noise)
    images = prior.posterior(problem).draw(SampleNoise(3, range(draws), slices=range(60)))
    return Scenes(truth.numpy(), images.numpy(), problem)


@functools.cache
def examination() -> Evaluation:
    return evaluate(study(), data_range=2.0)


def test_an_ideal_sampler_is_near_its_expectation_in_every_row() -> None:
    found = examination()
    rows = {row.name: row for row in found.rows}

    assert found.battery.passed
    assert {row.group for row in found.rows} == {"coverage", "score", "spread", "image"}
    assert rows["coverage of 55.6 % intervals"].value == pytest.approx(5 / 9, abs=0.03)
    assert rows["spread over error"].value == pytest.approx(1, abs=0.05)
    assert rows["mean better than a draw, dB"].perfect == pytest.approx(10 * np.log10(2 / 1.125))
    assert rows["residual, noise variances"].value == pytest.approx(1, abs=0.05)
    assert rows["psnr of the mean"].value > rows["psnr of a draw"].value + 2
    for row in found.rows:
        if np.isfinite(row.low) and np.isfinite(row.perfect):
            assert abs(row.value - row.perfect) < 2 * (row.high - row.low)


def test_it_survives_json() -> None:
    data = json.loads(json.dumps(examination().to_data(), allow_nan=False))
    assert data["battery"]["verdict"] == examination().battery.verdict
    assert len(data["rows"]) == len(examination().rows)


def test_it_becomes_a_dataset() -> None:
    data = examination().to_xarray()
    assert data.sizes["statistic"] == 8
    assert data.sizes["rank"] == 9
    chosen = data["value"][data["name"] == "spread over error"]
    assert float(chosen.squeeze()) == pytest.approx(1, abs=0.05)
    assert data.attrs["verdict"] == examination().battery.verdict


def test_two_draws_are_too_few_for_the_ideal_column() -> None:
    scenes = study()
    few = Scenes(scenes.truth, scenes.draws[:2], scenes.problem)
    with pytest.raises(ValueError, match="at least 3 draws"):
        evaluate(few, data_range=2.0)
