"""Reports of measurements that are not linear, not Gaussian or not known."""

import csv
import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

import uqrestore as uq
from uqrestore.noise import Gaussian, Poisson, UncertainGaussian
from uqrestore.operators.nonlinear import Affine, BeerLambert, UncertainGain
from uqrestore.posterior import PosteriorFile
from uqrestore.posterior.data_fit import chain_warning
from uqrestore.priors.gaussian import gaussian_field
from uqrestore.reports import write_report
from uqrestore.reports.data_fit import DataFit, measure_data_fit
from uqrestore.reports.findings import find
from uqrestore.reports.read import read_contents
from uqrestore.reports.tables import write_tables
from uqrestore.reports.verdict import lights

SHAPE = (1, 6, 5)
OPTIONS = {"method": "local_laplace", "samples": 7, "levels": 5, "data_products": 60, "leaps": 2}


@pytest.fixture(scope="module")
def gain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with an unknown gain and an unknown noise level."""
    out = tmp_path_factory.mktemp("gain") / "gain.posterior.h5"
    rays, prior = uq.operators.Radon.sparse_view(SHAPE, views=5), gaussian_field(SHAPE)
    x = prior.draw(uq.SampleNoise(0, [0], slices=[0, 1]))[0].float()
    operator, noise = UncertainGain(rays, 2.0, 0.2), UncertainGaussian(0.3, 8.0)
    problem = uq.GeneralProblem.simulate(operator, x, Gaussian(0.3))
    problem = dataclasses.replace(problem, noise_model=noise)
    uq.sample(operator, problem, prior, out=out, unit="mGy", **OPTIONS)
    return out


@pytest.fixture(scope="module")
def counts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("counts") / "counts.posterior.h5"
    rays, prior = uq.operators.Radon.sparse_view(SHAPE, views=4), gaussian_field(SHAPE)
    scan = BeerLambert(rays.out_shape, photons=300) @ rays @ Affine(SHAPE, 0.0, 0.4)
    x = prior.draw(uq.SampleNoise(0, [0], slices=[0]))[0].float()
    problem = uq.GeneralProblem.simulate(scan, x, Poisson(), seed=1)
    uq.sample(scan, problem, prior, out=out, **OPTIONS)
    return out


def test_the_page_shows_every_parameter_beside_its_prior(gain: Path, tmp_path: Path) -> None:
    written = write_report(gain, tmp_path)
    text = written.page.read_text()
    assert '<section id="parameters"' in text
    for words in ("gain, slice 0", "noise std, slice 1", "2.0", "mGy", "<polyline points="):
        assert words in text
    assert "uncertain gaussian: std 0.3, degrees 8" in text
    assert "Drawn with the image: gain, noise std." in text
    rows = {row["name"]: row for row in written.data["parameters"]}
    with PosteriorFile(gain) as file:
        drawn = file.parameters["gain"].values[0, :, 1]
    assert rows["gain, slice 1"]["mean"] == pytest.approx(drawn.mean(), rel=1e-5)
    assert rows["gain, slice 1"]["interval"] == pytest.approx([drawn.min(), drawn.max()])
    assert rows["noise std, slice 0"]["prior_mean"] == pytest.approx(0.33, rel=0.1)
    numbers, _ = write_tables(written.data, tmp_path / "numbers.csv", tmp_path / "regions.csv")
    table = dict(csv.reader(numbers.read_text().splitlines()))
    assert float(table["gain, slice 1 mean"]) == pytest.approx(drawn.mean(), rel=1e-4)


def test_a_page_of_known_parameters_has_no_such_section(counts: Path, tmp_path: Path) -> None:
    text = write_report(counts, tmp_path).page.read_text()
    assert '<section id="parameters"' not in text
    assert "poisson: gain 1, background 0" in text
    assert "with poisson noise" in text


@pytest.mark.parametrize("name", ["gain", "counts"])
def test_the_data_fit_is_that_of_the_draws(name: str, request: pytest.FixtureRequest) -> None:
    path = request.getfixturevalue(name)
    contents = read_contents(path)
    with contents.file as file:
        fit = measure_data_fit(contents, contents.draws)
        assert isinstance(fit, DataFit)
        assert fit.noisy
        stated = file["sample_stats/chi_square"].values[0]
        assert fit.draws == pytest.approx(stated.mean(axis=1), rel=1e-3)
        assert 0.3 < fit.typical < 3
        # The quadratic form of the sliders: at the mean, and a small step along a component.
        assert fit.gram.shape[1:] == (4, 4)
        assert (np.linalg.eigvalsh(fit.gram) > -1e-6).all()


def test_the_slider_follows_the_misfit_near_the_mean(counts: Path) -> None:
    contents = read_contents(counts)
    with contents.file as file:
        fit = measure_data_fit(contents, contents.draws)
        assert isinstance(fit, DataFit)
        noise, a = file.noise_model(), np.array([1.0, 0.1, 0.0, 0.0])
        assert noise is not None
        image = (
            contents.mean_images()
            + 0.1 * contents.component_std[0] * contents.direction_images()[0]
        )
        signal = uq.posterior.read_operator(counts)(torch.as_tensor(image).float())
        y = torch.as_tensor(file["observed_data/y"].values)
        moved = float(noise.chi_square(y, signal).mean())
        assert a @ fit.gram[0] @ a == pytest.approx(moved, rel=0.1)


def test_chains_that_do_not_mix_are_a_warning_that_people_see(
    gain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with PosteriorFile(gain) as file:
        assert chain_warning(file) == ""
    monkeypatch.setattr("uqrestore.posterior.data_fit.STUCK", 1.1)
    findings = find(gain)
    with findings.contents.file:
        draws = next(light for light in lights(findings) if light.name == "Draws")
    assert (draws.grade, draws.word) == ("poor", "chains do not mix")
    assert "of the trajectories at low noise were accepted" in draws.text
