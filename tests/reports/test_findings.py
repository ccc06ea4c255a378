"""The numbers of a report against numbers worked out by other means."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from uqrestore.posterior import PosteriorError, read_operator
from uqrestore.posterior._hdf5 import reading
from uqrestore.posterior.regional_components import region_components
from uqrestore.reports import embed as embedding
from uqrestore.reports.contents import Contents
from uqrestore.reports.data_fit import DataFit, measure_data_fit
from uqrestore.reports.embed import choose, component_scores, embed, pack
from uqrestore.reports.example import write_example
from uqrestore.reports.findings import find
from uqrestore.reports.labels import labelled_regions
from uqrestore.reports.method_card import find_calibration
from uqrestore.reports.read import read_contents
from uqrestore.reports.regions import default_regions, measure_regions
from uqrestore.reports.varying import varying_regions


@pytest.fixture(scope="module")
def contents(tmp_path_factory: pytest.TempPathFactory) -> Contents:
    return read_contents(write_example(tmp_path_factory.mktemp("f") / "field.posterior.h5"))


def test_the_live_data_fit_is_that_of_the_moved_image(contents: Contents) -> None:
    fit = measure_data_fit(contents, contents.draws)
    assert isinstance(fit, DataFit)
    alpha, k = np.array([1.0, 0.7, -1.5, 0.3]), 2
    steps = contents.directions([k])[:, 0] * contents.component_std[:, k, None, None]
    moved = contents.maps["mean"][k] + np.tensordot(alpha[1:], steps, axes=1)
    y = torch.as_tensor(_measurement(contents)[k])
    misfit = read_operator(contents.path)(torch.as_tensor(moved[None]).float()) - y

    assert contents.noise_std is not None
    noise = float(np.ravel(contents.noise_std)[0])
    wanted = float(misfit.double().square().sum()) / noise**2 / _measured(contents, k)
    np.testing.assert_allclose(alpha @ fit.gram[k] @ alpha, wanted, rtol=1e-4)


def test_exact_draws_are_as_far_from_the_data_as_the_noise_is(contents: Contents) -> None:
    fit = measure_data_fit(contents, contents.draws)
    assert isinstance(fit, DataFit)
    assert fit.noisy
    assert abs(fit.draws.mean() - 1) < 4 * np.sqrt(2 / fit.measurements)
    assert fit.p_value is not None
    assert fit.p_value > 1e-3


def test_the_object_is_found_without_the_reference_and_its_mask(contents: Contents) -> None:
    found = default_regions(contents)
    mean = contents.maps["mean"].ravel()
    middle = (mean.min() + np.median(mean[contents.mask.ravel()])) / 2
    np.testing.assert_array_equal(found["object in the mean"], np.flatnonzero(mean > middle))
    halves = np.concatenate([found["left half"], found["right half"]])
    np.testing.assert_array_equal(np.sort(halves), found["object in the mean"])
    maps = {name: values for name, values in contents.maps.items() if name != "truth"}
    plain = default_regions(dataclasses.replace(contents, maps=maps))
    assert "object in the mean" not in plain, "a mask of raw data knows no reference"


def test_a_region_is_the_mean_of_each_draw(contents: Contents) -> None:
    region = np.zeros(contents.mask.shape, bool)
    region[1:3, 4:9, 5:7] = True
    voxels = np.flatnonzero(region)
    (found,) = measure_regions(contents, {"box": voxels}, contents.draws, threshold=500.0)
    wanted = [contents.draw(j)[1:3, 4:9, 5:7].mean() for j in contents.draws]
    np.testing.assert_allclose(found.values, wanted, rtol=1e-6)
    assert found.millilitres == pytest.approx(20 * 27 / 1000)
    assert found.above == np.mean(np.asarray(wanted) > 500)


def test_components_of_a_region_are_those_of_its_fullest_slice(contents: Contents) -> None:
    box = np.zeros(contents.mask.shape, bool)
    box[2, 4:8, 5:9], box[3, 4:6, 5:9] = True, True
    voxels = {"box": np.flatnonzero(box)} | default_regions(contents)
    regions = measure_regions(contents, voxels, contents.draws)
    found = varying_regions(contents, regions, voxels, contents.draws)
    draws = np.stack([contents.draw(j)[2] for j in contents.draws])
    wanted = region_components(draws, box[2], 2)
    np.testing.assert_allclose(found[0].found.steps, wanted.steps, rtol=1e-5, atol=1e-4)
    assert found[0].truth is not None
    np.testing.assert_allclose(
        found[0].truth, wanted.of(contents.maps["truth"][2], draws.mean(0)), rtol=1e-4
    )
    names = {one.name for one in found}
    assert "box" in names
    assert "object in the mean" not in names, "half of an image is no structure"
    assert not varying_regions(contents, regions, voxels, contents.draws[:7])


def test_labels_that_cannot_be_read_are_refused_in_one_line(
    contents: Contents, tmp_path: Path
) -> None:
    whole = tmp_path / "whole.nii.gz"
    noise = np.random.default_rng(0).integers(0, 9, (30, 30, 30)).astype(np.int16)
    _nifti(whole, noise, np.eye(4))
    for name, content in (
        ("empty", b""),
        ("cut", whole.read_bytes()[:3000]),
        ("text", b"no image"),
    ):
        path = tmp_path / f"{name}.nii.gz"
        path.write_bytes(content)
        with pytest.raises(PosteriorError, match=rf"{name}\.nii\.gz: is not a readable NIfTI"):
            labelled_regions(contents, path, None)


def test_labels_on_the_scans_grid_arrive_on_the_right_voxels(
    contents: Contents, tmp_path: Path
) -> None:
    labels = np.zeros((len(contents.x), len(contents.y), len(contents.z)), np.int16)
    labels[5:7, 4:9, 1:3] = 7  # x, y, z
    labels[0, 0, 4] = 9
    path = _nifti(tmp_path / "l.nii.gz", labels, contents.affine)
    regions = labelled_regions(contents, path, None)
    assert list(regions) == ["label 7", "label 9"]
    wanted = np.zeros(contents.mask.shape, bool)
    wanted[1:3, 4:9, 5:7] = True
    np.testing.assert_array_equal(regions["label 7"], np.flatnonzero(wanted))


def test_labels_of_another_grid_are_refused(contents: Contents, tmp_path: Path) -> None:
    labels = _nifti(tmp_path / "l.nii.gz", np.ones((3, 3, 3), np.int16), np.eye(4))
    with pytest.raises(PosteriorError, match="does not lie on the grid of the scan"):
        find(contents.path, labels=labels)


def test_intervals_end_on_draws_and_name_their_exact_level(contents: Contents) -> None:
    draws = np.stack([contents.draw(j) for j in contents.draws])
    np.testing.assert_array_equal(contents.maps["low"], draws.min(axis=0))
    np.testing.assert_array_equal(contents.maps["high"], draws.max(axis=0))
    assert contents.interval == "88.2 %"
    assert contents.interval_level == pytest.approx(15 / 17)
    (whole,) = measure_regions(contents, {"all": np.flatnonzero(contents.mask)}, contents.draws)
    assert whole.interval == (whole.values.min(), whole.values.max())


def test_interpolated_quantiles_of_older_files_are_not_used(tmp_path: Path) -> None:
    """The level of an interpolated quantile is not known, so the draws are asked again."""
    path = write_example(tmp_path / "a.h5", slices=2, draws=6)
    new = read_contents(path)
    older = _older(path, tmp_path / "older.h5.part")
    read = read_contents(older)
    assert read.interval == "71.4 %"
    np.testing.assert_array_equal(read.maps["low"], new.maps["low"])


def _older(path: Path, to: Path) -> Path:
    """Copy a file with quantiles as they were written before: interpolated, at 5 and 95 %."""
    import h5py

    to.write_bytes(path.read_bytes())
    levels = (0.05, 0.5, 0.95)
    with h5py.File(to, "r+") as opened:
        file: Any = opened
        del file["estimate/quantile"].attrs["q_source"]
        file["estimate/q"][...] = levels
        file["estimate/quantile"][...] = np.quantile(file["posterior/image"][0], levels, axis=0)
    return to


@pytest.mark.parametrize(("dtype", "steps"), [("u1", 255), ("u2", 65535)])
def test_packing_is_right_to_half_a_step(dtype: str, steps: int) -> None:
    import base64
    import gzip

    values = np.random.default_rng(0).normal(7, 30, (3, 5, 4)).astype(np.float32)
    packed = pack(values, dtype)
    raw = np.frombuffer(gzip.decompress(base64.b64decode(packed.text)), f"<{dtype}")
    read = packed.offset + packed.scale * raw.reshape(packed.shape)
    assert np.abs(read - values).max() <= 0.51 * np.ptp(values) / steps + 1e-6


def test_a_large_posterior_is_thinned_to_the_budget(
    contents: Contents, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding, "BUDGET", 30_000)
    slices, draws, components = choose(contents)
    pixels = len(contents.x) * len(contents.y)
    assert len(slices) * pixels * (2 * (len(contents.maps) + components) + len(draws)) <= 30_000
    assert 1 <= len(slices) < len(contents.z)
    assert len(draws) == 4
    assert embed(contents).arrays["mean"].shape[0] == len(slices)


def test_scores_put_a_draw_where_it_lies(contents: Contents) -> None:
    shown = embed(contents)
    scores = component_scores(contents, shown)
    change = contents.draw(shown.draws[1])[2] - contents.maps["mean"][2]
    along = (contents.directions([2])[0, 0] * change).sum() / contents.component_std[0, 2]
    assert scores[1, 0, 2] == pytest.approx(along, rel=1e-5)


def test_a_card_is_a_name_and_never_a_path(contents: Contents) -> None:
    for name in ("../cards/exact", "/etc/passwd", "exact.json", ""):
        fields = {"pipeline": {"method": {"name": name, "options": {}}}}
        found = find_calibration(dataclasses.replace(contents, provenance=fields))
        assert found.rows == ()
        assert found.grade == "unknown"


def test_settings_that_were_not_calibrated_are_no_clean_bill(contents: Contents) -> None:
    fields = {"pipeline": {"method": {"name": "ssd", "options": {"preset": "17"}}}}
    found = find_calibration(dataclasses.replace(contents, provenance=fields))
    assert not found.exact_settings
    assert "not calibrated" in found.note


def _measured(contents: Contents, k: int) -> int:
    mask = read_operator(contents.path).row_mask
    y = torch.as_tensor(_measurement(contents)[k])
    return y.numel() if mask is None else int(mask.expand_as(y).sum())


def _measurement(contents: Contents) -> np.ndarray:
    with reading(contents.path) as file:
        return np.asarray(file["observed_data/y"][...])


def _nifti(path: Path, values: np.ndarray, affine: np.ndarray) -> Path:
    import nibabel

    nibabel.save(nibabel.Nifti1Image(values, affine), path)  # pyright: ignore
    return path
