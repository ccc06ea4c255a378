"""Baselines of a restoration: computed, kept, named with their weight, and shown."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.front import read, tiny_pipeline, tiny_prior, tiny_scan, use_prior
from tests.restoration.test_from_kspace import MASK, acquired, full_scan, truth
from uqrestore.baselines import default_weight, total_variation
from uqrestore.cli.terminal import psnr_line
from uqrestore.explorer import open_file
from uqrestore.operators import Radon
from uqrestore.pipeline.parts import BaselinePart
from uqrestore.posterior import PosteriorFile, export_array, export_nifti, open_posterior, validate
from uqrestore.posterior.acquisition import acquire
from uqrestore.posterior.inspect import inspect
from uqrestore.problem import Problem
from uqrestore.reports.page import write_report
from uqrestore.restoration.options import RunOptions
from uqrestore.restoration.references import baseline_images
from uqrestore.restoration.restore import Progress, restore
from uqrestore.scans import Intensity, undersampled

PARTS = ["zero_filled", "cg_sense", {"name": "total_variation", "weight": 0.02, "iterations": 50}]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of the tiny scan with two baselines."""
    folder = tmp_path_factory.mktemp("baselines")
    with pytest.MonkeyPatch.context() as patch:
        use_prior(patch, tiny_prior())
        return restore(tiny_pipeline(folder, baselines=PARTS), tiny_scan(), folder / "made.h5")


def test_the_images_are_kept_beside_the_others_with_how_they_were_computed(made: Path) -> None:
    assert validate(made) == []
    with open_posterior(made) as tree:
        names = set(tree["reference"].data_vars)
        provenance = json.loads(tree.attrs["provenance"])
        figures = json.loads(tree.attrs["figures"])
    assert names == {"truth", "zero_filled", "linear_mmse", "cg_sense", "total_variation"}
    computed = provenance["baselines"]
    assert set(computed) == {"cg_sense", "total_variation"}
    assert computed["total_variation"] == {"weight": 0.02, "iterations": 50}
    assert computed["cg_sense"] == {"weight": 0.0, "iterations": 100}  # there is no noise
    for name in ("cg_sense", "total_variation", "mean"):
        assert np.isfinite(figures[f"psnr_{name}"])
        assert 0 < figures[f"ssim_{name}"] <= 1


def test_a_baseline_is_that_of_the_measurement_in_file_units(made: Path) -> None:
    with PosteriorFile(made) as file:
        operator = file.operator()
    intensity = tiny_scan().intensity
    black, unit = intensity.shift - intensity.scale, 2 * intensity.scale
    y = torch.as_tensor(read(made, "observed_data/y"))
    y = (y - operator(torch.full((1, 17, 14), black))) / unit
    wanted = total_variation(Problem(operator, y), weight=0.02, iterations=50)
    found = read(made, "reference/total_variation")
    np.testing.assert_allclose((found - black) / unit, wanted[:, 0], atol=1e-4)


def test_a_pipeline_without_baselines_computes_and_states_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: Path
) -> None:
    use_prior(monkeypatch, tiny_prior())
    plain = restore(tiny_pipeline(tmp_path), tiny_scan(), tmp_path / "plain.h5")
    with open_posterior(plain) as tree:
        assert "baselines" not in json.loads(tree.attrs["provenance"])
        assert not [name for name in json.loads(tree.attrs["figures"]) if name.startswith("ssim")]
    np.testing.assert_array_equal(read(plain, "posterior/image"), read(made, "posterior/image"))


class Interrupted(Exception):
    """A stop after the first batch."""


def test_a_stopped_run_is_resumed_to_the_same_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: Path
) -> None:
    use_prior(monkeypatch, tiny_prior())
    pipeline = tiny_pipeline(tmp_path, baselines=PARTS)

    def stop(now: Progress) -> None:
        if now.samples_done:
            raise Interrupted

    options = RunOptions(batch_size=6)
    with pytest.raises(Interrupted):
        restore(pipeline, tiny_scan(), tmp_path / "a.h5", options, progress=stop)
    lines: list[str] = []
    resumed = restore(pipeline, tiny_scan(), tmp_path / "a.h5", options, notify=lines.append)
    assert any(line.startswith("resuming") for line in lines)
    assert any("baseline: total_variation with weight 0.02," in line for line in lines)
    for name in ("reference/total_variation", "reference/cg_sense"):
        np.testing.assert_array_equal(read(resumed, name), read(made, name))


def test_an_opened_file_has_them_as_attributes(made: Path) -> None:
    with open_file(made) as opened:
        assert opened.cg_sense is not None
        assert opened.total_variation is not None
        assert opened.cg_sense.dims == ("z", "y", "x")
        assert opened.total_variation.attrs["long_name"] == "total variation"
        assert opened.l1_wavelet is None
        assert opened.filtered_back_projection is None
        assert {"cg_sense", "total_variation"} <= set(opened.maps)


def test_a_report_shows_them_with_weight_and_quality(made: Path, tmp_path: Path) -> None:
    page = write_report(made, tmp_path).page.read_text()
    with PosteriorFile(made) as file:
        figures = file.figures
    quality = (
        f"{figures['psnr_total_variation']:.1f} dB, SSIM {figures['ssim_total_variation']:.3f}"
    )
    assert f"total variation, weight 0.02, {quality}" in page
    assert "CG-SENSE, weight 0, " in page
    assert 'id="map-total_variation"' in page
    assert "l1-wavelet" not in page


def test_inspect_states_how_they_were_computed(made: Path) -> None:
    stated = dict(inspect(made).header)
    assert stated["total_variation"] == "iterations 50, weight 0.02"
    assert float(stated["psnr_total_variation"]) > 0


def test_projections_in_hounsfield_units_have_air_at_zero_while_they_are_reconstructed() -> None:
    y, x = np.mgrid[-1:1:40j, -1:1:40j]
    tissue = (np.hypot(x, y) < 0.7) + 0.3 * (np.hypot(x - 0.3, y) < 0.2)
    images = (-1000 + 1000 * tissue)[None, None].astype(np.float32)
    acquisition = acquire(
        Radon.sparse_view((1, 40, 40), views=24),
        images,
        noise_std=0.02,
        intensity=Intensity.from_range(-1000.0, 1000.0, "HU"),
        slices=(3,),
        seed=0,
        scan=0,
    )
    parts = [BaselinePart(name=name) for name in ("filtered_back_projection", "total_variation")]
    found = baseline_images(parts, acquisition, lambda _: None)
    error = {name: np.abs(baseline.images - images).mean() for name, baseline in found.items()}
    assert error["filtered_back_projection"] < 60
    assert error["total_variation"] < 0.3 * error["filtered_back_projection"]
    assert found["filtered_back_projection"].options == {}


def test_exports_hold_them(made: Path, tmp_path: Path) -> None:
    (nifti,) = export_nifti(made, tmp_path, maps=["total_variation"])
    assert nifti.name == "made_total_variation.nii.gz"
    with np.load(export_array(made, tmp_path / "made.npz")) as arrays:
        assert {"cg_sense", "total_variation"} <= set(arrays)


def test_the_terminal_names_them() -> None:
    line = psnr_line({"total_variation": 24.0, "mean": 25.0}, 2.0)
    assert "total variation 24.00, mean 25.00 dB" in line


def test_complex_images_of_raw_k_space_are_kept_complex() -> None:
    raw = undersampled(full_scan(maps=True), MASK)
    parts = [BaselinePart(name=name) for name in ("cg_sense", "l1_wavelet", "total_variation")]
    for complex_image in (True, False):
        acquisition = acquired(raw, complex_image=complex_image)
        found = baseline_images(parts, acquisition, lambda _: None)
        zero = acquisition.operator.adjoint(acquisition.y).numpy()
        for name, baseline in found.items():
            assert baseline.images.shape == zero.shape
            assert baseline.images.dtype == np.float32
            assert baseline.options["weight"] > 0
            if complex_image:
                error = baseline.images[0, 0] + 1j * baseline.images[0, 1] - truth()
                other = zero[0, 0] + 1j * zero[0, 1] - truth()
                assert np.linalg.norm(error) < 0.7 * np.linalg.norm(other), name


def test_a_default_weight_is_that_of_the_noise_beside_the_brightest() -> None:
    acquisition = acquired(undersampled(full_scan(maps=True), MASK))
    scale = acquisition.intensity.scale
    problem = Problem(acquisition.operator, acquisition.y / scale, acquisition.noise_std / scale)
    part = BaselinePart(name="l1_wavelet", options={"iterations": 3})
    options = baseline_images([part], acquisition, lambda _: None)["l1_wavelet"].options
    wanted = default_weight("l1_wavelet", problem.select(0))
    assert options["weight"] == pytest.approx(wanted, rel=1e-6)
    assert options["iterations"] == 3
    assert options["shifts"] is True


def test_nothing_is_written_where_sigpy_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_prior(monkeypatch, tiny_prior())
    monkeypatch.setitem(sys.modules, "sigpy", None)
    pipeline = tiny_pipeline(tmp_path, baselines=["total_variation"])
    with pytest.raises(ImportError, match=r"total_variation needs sigpy: pip install"):
        restore(pipeline, tiny_scan(), tmp_path / "a.h5")
    assert not list(tmp_path.glob("a.h5*"))
