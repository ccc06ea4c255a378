"""The denoising table: the ideal denoiser wins, and its error is the one in closed form."""

import pytest
import torch

from tests.benchmarks.denoising_table import denoising_table
from uqrestore.noise import SampleNoise
from uqrestore.priors.gaussian import gaussian_field


def test_no_denoiser_beats_the_ideal_one() -> None:
    prior = gaussian_field((1, 6, 7))
    images = prior.draw(SampleNoise(0, range(400))).float()
    rows = denoising_table({"ideal": prior, "lazy": lambda x, _: x}, images, [0.2, 1.0], 0.5)
    for row in rows:
        assert row["ideal"] < min(row["c_skip"], row["lazy"])
        share = prior.variances / (prior.variances + row["sigma"] ** 2)
        exact = float((share * row["sigma"] ** 2).sum()) / 42
        assert row["ideal"] == pytest.approx(exact, rel=0.03)
        assert row["lazy"] == pytest.approx(row["sigma"] ** 2, rel=0.03)
    assert torch.isfinite(images).all()
