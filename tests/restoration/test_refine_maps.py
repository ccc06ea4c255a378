"""Coil maps of few calibration lines, refined with draws of an exact prior."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.restoration.test_data_fit import pipeline
from tests.restoration.test_from_kspace import MAPS, SIZE, acquired, complex_prior, full_scan
from tests.restoration.test_from_kspace import truth as true_image
from uqrestore.operators import CoilFourier
from uqrestore.operators.nonlinear import UncertainMaps
from uqrestore.pipeline import change
from uqrestore.pipeline.parts import MethodPart, UnknownPart
from uqrestore.posterior import PosteriorFile, read_operator
from uqrestore.posterior.data_fit import chi_squares
from uqrestore.restoration.measure import acquire_slices
from uqrestore.restoration.options import RunOptions
from uqrestore.restoration.prepare import PreparedScan, prepare_scan
from uqrestore.restoration.prior_cache import PriorCache
from uqrestore.restoration.refine_maps import refine_coil_maps
from uqrestore.restoration.restore import restore
from uqrestore.scans import RawScan, undersampled

__all__ = ["complex_prior"]  # a fixture

FEW = np.broadcast_to(
    np.isin(np.arange(SIZE), [*range(0, SIZE, 2), *range(SIZE // 2 - 3, SIZE // 2 + 3)]),
    (SIZE, SIZE),
)


def prepared(prior: Path, raw: RawScan) -> PreparedScan:
    return prepare_scan(pipeline(prior), raw, RunOptions(), PriorCache())


def misfit(raw: RawScan, maps: np.ndarray) -> float:
    """Return the chi-square per measurement of the truth, combined with given maps."""
    acquisition = acquired(replace(raw, maps=maps[None].astype(np.complex64)))
    image = (maps.conj() * MAPS * true_image()).sum(0).astype(np.complex64)
    x = torch.view_as_real(torch.as_tensor(image)).movedim(-1, 0)[None]
    gap = (acquisition.operator(x) - acquisition.y).square().sum() / raw.noise_std**2
    return float(gap) / (2 * raw.samples.shape[1] * int(raw.sampled.sum()))


def test_refined_maps_explain_all_samples(complex_prior: Path) -> None:
    raw = undersampled(full_scan(maps=False), FEW)
    ready, lines = prepared(complex_prior, raw), []
    rounds = change(pipeline(complex_prior), refine_maps=3)
    before = acquire_slices(rounds, ready)
    after = refine_coil_maps(rounds, ready, before, "cpu", lines.append)
    again = refine_coil_maps(rounds, ready, before, "cpu", lines.append)
    found = []
    for acquisition in (before, after, again):
        assert isinstance(acquisition.operator, CoilFourier)
        found.append(acquisition.operator.maps[0].numpy())
    first, last = (misfit(raw, maps) for maps in found[:2])
    assert first > 2
    assert last < 0.5 * (1 + first)
    np.testing.assert_array_equal(found[1], found[2])
    assert lines[0].startswith("coil maps: refined with draws of the image, chi-square")


@pytest.mark.parametrize("rounds", [0, 3])
def test_maps_of_the_scan_and_pipelines_without_rounds_are_left_alone(
    complex_prior: Path, rounds: int
) -> None:
    raw = undersampled(full_scan(maps=rounds > 0), FEW)
    ready, given = prepared(complex_prior, raw), pipeline(complex_prior)
    acquisition = acquire_slices(given, ready)
    asked = change(given, refine_maps=rounds)
    lines: list[str] = []
    assert refine_coil_maps(asked, ready, acquisition, "cpu", lines.append) is acquisition
    assert lines == ["coil maps: not refined, for the scan brings its own"][: min(rounds, 1)]


def test_maps_are_drawn_about_the_refined_ones(complex_prior: Path, tmp_path: Path) -> None:
    raw, lines = undersampled(full_scan(maps=False), FEW), []
    joint = change(
        pipeline(complex_prior),
        method=MethodPart.model_validate({"name": "fitted_gaussian", "levels": 8}),
        draws=4,
        unknown=UnknownPart.model_validate({"name": "maps", "std": 0.1}),
        refine_maps=1,
    )
    out = restore(joint, raw, tmp_path / "a.h5", notify=lines.append)
    assert [line for line in lines if line.startswith("coil maps: refined with draws")]
    with PosteriorFile(out) as file:
        fit, theta = chi_squares(file), file["parameters/theta"].values[0, :, 0]
    assert fit is not None
    operator = read_operator(out)
    assert isinstance(operator, UncertainMaps)
    maps = operator.select(0).values(torch.from_numpy(theta))["maps"]
    drawn = torch.complex(*maps.unbind(1)).numpy()
    first = acquire_slices(pipeline(complex_prior), prepared(complex_prior, raw)).operator
    assert isinstance(first, CoilFourier)
    lines_alone = first.maps[0].numpy()
    assert fit.mean() < 0.5 * (1 + misfit(raw, lines_alone))
    assert misfit(raw, drawn.mean(0)) < 0.5 * (1 + misfit(raw, lines_alone))
    assert np.abs(drawn.std(0)).mean() > 0.002
    sizes = np.linalg.norm(drawn, axis=1), np.linalg.norm(lines_alone, axis=0)
    np.testing.assert_allclose(sizes[0], np.broadcast_to(sizes[1], sizes[0].shape), atol=1e-4)


def test_a_linear_measurement_is_not_made_of_one_with_unknown_maps(complex_prior: Path) -> None:
    raw = undersampled(full_scan(maps=False), FEW)
    unknown = UnknownPart.model_validate({"name": "maps"})
    method = MethodPart(name="fitted_gaussian")
    joint = change(pipeline(complex_prior), method=method, unknown=unknown)
    with pytest.raises(ValueError, match="a linear measurement with Gaussian noise is needed here"):
        acquire_slices(joint, prepared(complex_prior, raw))
