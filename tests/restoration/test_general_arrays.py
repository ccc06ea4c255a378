"""Posterior files of general problems that are given as arrays."""

from pathlib import Path

import numpy as np
import pytest
import torch

import uqrestore as uq
from tests.front import read
from uqrestore.noise import Gaussian, Poisson, UncertainGaussian
from uqrestore.operators.nonlinear import Affine, BeerLambert, UncertainGain
from uqrestore.posterior import PosteriorFile, inspect, validate
from uqrestore.priors.gaussian import gaussian_field

SHAPE = (1, 6, 5)
OPTIONS = {"method": "local_laplace", "samples": 5, "levels": 4, "data_products": 40}


def counts() -> tuple[uq.GeneralProblem, torch.Tensor]:
    rays = uq.operators.Radon.sparse_view(SHAPE, views=4)
    scan = BeerLambert(rays.out_shape, photons=300) @ rays @ Affine(SHAPE, 0.0, 0.4)
    x = gaussian_field(SHAPE).draw(uq.SampleNoise(0, [0], slices=[0, 1]))[0].float()
    return uq.GeneralProblem.simulate(scan, x, Poisson(), seed=1), x


def test_counts_are_written_with_their_noise(tmp_path: Path) -> None:
    problem, _ = counts()
    prior, out = gaussian_field(SHAPE), tmp_path / "out.h5"
    draws = uq.sample(problem.operator, problem, prior, out=out, **OPTIONS)
    assert validate(out) == []
    assert read(out, "posterior/image")[0] == pytest.approx(draws[:, :, 0].numpy(), abs=1e-5)
    assert np.array_equal(read(out, "observed_data/y"), problem.y.numpy())
    assert dict(inspect(out).header)["noise"] == "poisson, gain 1, background 0"
    with PosteriorFile(out) as file:
        assert file["observed_data/y"].attrs["units"] == "1"
        assert file.provenance["call"].startswith("uqrestore.sample(operator, GeneralProblem(")
        assert file["reference/zero_filled"].shape == (2, 6, 5)


def test_gain_and_noise_level_are_written_in_their_units(tmp_path: Path) -> None:
    rays = uq.operators.Radon.sparse_view(SHAPE, views=4)
    prior, out = gaussian_field(SHAPE), tmp_path / "out.h5"
    x = prior.draw(uq.SampleNoise(0, [0], slices=[0]))[0].float()
    problem = uq.GeneralProblem(
        UncertainGain(rays, 1.0, 0.2), 1.1 * rays(x), UncertainGaussian(0.2, 5.0)
    )
    uq.sample(problem.operator, problem, prior, out=out, unit="mGy", **OPTIONS)
    assert validate(out) == []
    with PosteriorFile(out) as file:
        assert set(file.parameters) == {"gain", "noise_std"}
        assert file.parameters["noise_std"].attrs["units"] == "mGy"
        assert (file.parameters["noise_std"] > 0).all()
        assert file.noise_model() is not None
    header = dict(inspect(out).header)
    assert "mGy (prior 0.2" in header["unknown noise std"]


def test_one_file_has_one_noise(tmp_path: Path) -> None:
    problem, _ = counts()
    each = uq.GeneralProblem(
        problem.operator, problem.y, Gaussian(torch.tensor([1.0, 2.0]).reshape(2, 1, 1, 1))
    )
    with pytest.raises(ValueError, match="std has 2 values, and a posterior file holds one"):
        uq.sample(problem.operator, each, gaussian_field(SHAPE), out=tmp_path / "o.h5", **OPTIONS)
