"""Measurements that are not linear, not Gaussian or not known: from a pipeline to the file."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

from tests.front import ROWS, SHAPE, read, tiny_pipeline, tiny_prior, tiny_scan, use_prior
from uqrestore.noise import Poisson
from uqrestore.operators.nonlinear import UncertainGain
from uqrestore.pipeline import RestorePipeline
from uqrestore.posterior import PosteriorFile, inspect, read_operator, validate
from uqrestore.posterior.data_fit import chain_warning, chi_squares
from uqrestore.restoration.options import RunOptions
from uqrestore.restoration.restore import Progress, restore

FEW = {"name": "local_laplace", "levels": 4, "data_products": 60, "leaps": 2}
GAIN = {
    "noise_std": 0.2,
    "unknown": {"name": "gain", "relative_std": 0.3},
    "method": FEW,
    "baseline": None,
}
RICIAN = {
    "operator": {"name": "identity"},
    "noise": {"model": "rician", "std": 0.3},
    "method": FEW,
    "baseline": None,
}


@pytest.fixture(autouse=True, scope="module")
def _tiny_zoo() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        use_prior(monkeypatch, tiny_prior())
        yield


def gain_pipeline(folder: Path) -> RestorePipeline:
    return tiny_pipeline(folder, **GAIN)


@pytest.fixture(scope="module")
def gain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gain")
    return restore(gain_pipeline(folder), tiny_scan(), folder / "gain.h5", RunOptions(slices=2))


def stop_after(batches: int) -> Callable[[Progress], None]:
    calls = iter(range(batches))

    def progress(_: Progress) -> None:
        if next(calls, None) is None:
            raise KeyboardInterrupt

    return progress


def test_draws_of_an_unknown_gain_are_in_the_file_beside_their_prior(gain: Path) -> None:
    assert validate(gain) == []
    with PosteriorFile(gain) as file:
        drawn = file.parameters["gain"]
        assert drawn.dims == ("chain", "draw", "z")
        assert drawn.attrs["units"] == "1"
        assert drawn.attrs["prior_centre"] == pytest.approx(1, rel=0.02)
        assert drawn.attrs["prior_std"] == pytest.approx(np.exp(0.045) * 0.3, rel=0.1)
        # Standard normal coordinates give the values, by the operator that the file holds.
        theta = file["parameters/theta"].values[0, :, :, 0]
        assert drawn.values[0] == pytest.approx(np.exp(0.3 * theta), rel=1e-5)
        operator = read_operator(gain)
        assert isinstance(operator, UncertainGain)
        noise = file.noise_model()
        assert noise is not None
        assert noise.name == "gaussian"
        fit = chi_squares(file)
        assert fit is not None
        assert fit.shape == (6, 2)


def test_a_simulated_measurement_has_parameters_of_their_prior_which_the_file_states(
    gain: Path,
) -> None:
    operator = read_operator(gain)
    assert isinstance(operator, UncertainGain)
    with PosteriorFile(gain) as file:
        theta = torch.as_tensor(file["parameters/theta"].attrs["truth"]).float().reshape(2, 1)
        stated = np.ravel(file.parameters["gain"].attrs["truth"])
    assert stated == pytest.approx(np.exp(0.3 * theta[:, 0].numpy()), rel=1e-5)
    assert stated[0] != stated[1]
    truth = torch.as_tensor(read(gain, "reference/truth"))[:, None]
    y, std = torch.as_tensor(read(gain, "observed_data/y")), read(gain, "observed_data/noise_std")
    rows = operator.row_mask
    assert rows is not None
    away = (y - operator.forward_at(truth, theta))[rows.expand_as(y)]
    assert float(away.std()) == pytest.approx(float(std), rel=0.15)


def test_xarray_and_arviz_open_the_parameters(gain: Path) -> None:
    with xr.open_datatree(gain, engine="h5netcdf") as tree:
        assert tree["parameters/gain"].sizes == {"chain": 1, "draw": 6, "z": 2}
    arviz = pytest.importorskip("arviz")
    summary = arviz.summary(arviz.convert_to_dataset(xr.open_dataset(gain, group="parameters")))
    assert "gain[0]" in " ".join(map(str, summary.index))


def test_the_chi_square_in_the_file_is_that_of_image_and_gain_together(gain: Path) -> None:
    operator = read_operator(gain)
    assert isinstance(operator, UncertainGain)
    images = torch.as_tensor(read(gain, "posterior/image"))[0, :, :, None]
    theta = torch.as_tensor(read(gain, "parameters/theta"))[0]
    y = torch.as_tensor(read(gain, "observed_data/y"))
    std = float(read(gain, "observed_data/noise_std"))
    misfit = (operator.forward_at(images, theta) - y) / std
    rows = operator.row_mask
    assert rows is not None
    wanted = (rows * misfit.square()).flatten(2).sum(2) / rows.expand_as(misfit[0, 0]).sum()
    found = read(gain, "sample_stats/chi_square")[0]
    assert found == pytest.approx(wanted.numpy(), rel=1e-3)


def test_a_run_that_was_killed_resumes_to_the_same_images_and_parameters(
    tmp_path: Path, gain: Path
) -> None:
    out, pipeline = tmp_path / "gain.h5", gain_pipeline(tmp_path)
    options = RunOptions(slices=2, batch_size=2)
    with pytest.raises(KeyboardInterrupt):
        restore(pipeline, tiny_scan(), out, options, progress=stop_after(2))
    part = Path(f"{out}.part")
    assert validate(part) == []
    written = read(part, "posterior/valid")[0].astype(bool)
    assert 0 < written.sum() < written.size
    assert np.all(read(part, "parameters/gain")[0][written] > 0)
    restore(pipeline, tiny_scan(), out, options)
    for place in ("posterior/image", "parameters/gain", "parameters/theta"):
        assert read(out, place) == pytest.approx(read(gain, place), rel=1e-3, abs=1e-3)


def test_inspect_names_noise_and_parameters(gain: Path) -> None:
    header = dict(inspect(gain).header)
    assert header["noise"].startswith("gaussian, std ")
    assert "numbers" in header["unknown gain"]
    assert "(prior " in header["unknown gain"]


def test_a_notebook_shows_noise_and_parameters(gain: Path) -> None:
    import uqrestore as uq

    opened = uq.open(gain)
    for text in (repr(opened), opened._repr_html_()):
        assert "unknown gain" in text
        assert "gaussian, std" in text


@pytest.mark.parametrize("more", [{}, {"model": "noncentral_chi", "coils": 3}])
def test_magnitudes_are_drawn_by_their_own_noise(tmp_path: Path, more: dict[str, object]) -> None:
    stated = RICIAN | {"noise": RICIAN["noise"] | more}
    pipeline = tiny_pipeline(tmp_path, **stated)
    out = restore(pipeline, tiny_scan(), tmp_path / "out.h5", RunOptions(slices=1))
    assert validate(out) == []
    with PosteriorFile(out) as file:
        noise, intensity = file.noise_model(), file.intensity
        assert noise is not None
        # Stated in network intensity, kept in the unit of the scan.
        coils = {"coils": 3} if more else {}
        assert noise.parameters() == {"std": pytest.approx(0.3 * intensity.scale), **coils}
        assert file.parameters == {}
        assert chain_warning(file) == ""
        fit = chi_squares(file)
        assert fit is not None
        y, images = (torch.as_tensor(read(out, n)) for n in ("observed_data/y", "posterior/image"))
        wanted = noise.chi_square(y, images[0, :, :, None]).flatten(2).mean(2)
        assert fit == pytest.approx(wanted.numpy(), rel=1e-3)


def test_a_linear_method_draws_for_other_noise_in_rounds(tmp_path: Path) -> None:
    pipeline = tiny_pipeline(
        tmp_path,
        **RICIAN | {"linearise": 2, "method": {"name": "local_gaussian", "levels": 4}},
    )
    out = restore(pipeline, tiny_scan(), tmp_path / "out.h5", RunOptions(slices=2))
    again = restore(
        pipeline, tiny_scan(), tmp_path / "again.h5", RunOptions(slices=2, batch_size=1)
    )
    assert read(out, "posterior/image") == pytest.approx(read(again, "posterior/image"), abs=0.05)
    with PosteriorFile(out) as file:
        truth = file["reference/truth"]
        error, bare = (
            float((image - truth).std()) for image in (file.mean, file["reference/zero_filled"])
        )
        assert error < bare


def test_motion_of_shots_is_drawn_by_fitted_gaussian_and_kept_by_shot(tmp_path: Path) -> None:
    pipeline = tiny_pipeline(
        tmp_path,
        noise_std=0.1,
        unknown={"name": "motion", "shots": 2, "shift_std": 0.5, "turn_std": 1.0},
        method={"name": "fitted_gaussian", "levels": 4},
        baseline=None,
    )
    out = restore(pipeline, tiny_scan(), tmp_path / "out.h5", RunOptions(slices=1))
    assert validate(out) == []
    with PosteriorFile(out) as file:
        shift, turn = file.parameters["shift"], file.parameters["turn"]
        assert shift.sizes == {"chain": 1, "draw": 6, "z": 1, "shift_0": 1, "shift_1": 2}
        assert (shift.attrs["units"], turn.attrs["units"]) == ("pixel", "degree")
        assert turn.attrs["prior_std"] == pytest.approx(1.0, rel=0.1)
        assert np.size(shift.attrs["truth"]) == 2
        assert file.find("sample_stats/acceptance") is None


def test_a_wrong_parameter_in_the_file_is_found(tmp_path: Path, gain: Path) -> None:
    import h5py

    from uqrestore.posterior.validation import named_faults

    copy = tmp_path / "copy.h5"
    copy.write_bytes(gain.read_bytes())
    with h5py.File(copy, "r+") as file:
        drawn: Any = file["parameters/gain"]
        drawn[0, 0, 0] = np.nan
        file["observed_data"].attrs["noise_model"] = json.dumps({"std": 1.0})
        file["parameters/theta"].attrs["prior_std"] = np.ones(2)
    faults = "\n".join(named_faults(copy))
    assert "/parameters/gain: holds NaN" in faults
    assert "noise_model names no model" in faults
    assert "/parameters/theta: has 1 numbers a draw but states a prior of [1, 2]" in faults


def test_counts_need_a_scan_in_hounsfield_units(tmp_path: Path) -> None:
    pipeline = tiny_pipeline(
        tmp_path,
        operator={"name": "beer_lambert", "views": 8, "photons": 1000.0, "pixel_mm": 4.0},
        noise={"model": "poisson"},
        method=FEW,
        baseline=None,
    )
    with pytest.raises(ValueError, match=r"measures images in HU, but tiny makes images in a\.u\."):
        restore(pipeline, tiny_scan(), tmp_path / "out.h5")


def test_a_poisson_measurement_of_a_file_is_counts() -> None:
    with pytest.raises(ValueError, match="not whole numbers of counts"):
        Poisson().check(torch.full((ROWS,), 1.5))
    assert SHAPE[0] == 1
