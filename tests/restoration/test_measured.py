"""A multi-coil acquisition of the shipped brain, raw file in, posterior file out."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.front import read
from tests.scans.rawfiles import write_fastmri, write_ismrmrd, write_radial
from uqrestore.metrics.image import psnr
from uqrestore.networks.weights import sha256
from uqrestore.pipeline import RestorePipeline, change, read_pipeline
from uqrestore.posterior import read_operator, validate
from uqrestore.priors import LowRankGaussian
from uqrestore.restoration.measure import acquire_slices
from uqrestore.restoration.options import RunOptions
from uqrestore.restoration.prepare import prepare_scan
from uqrestore.restoration.prior_cache import PriorCache
from uqrestore.restoration.references import reference_images
from uqrestore.restoration.restore import restore
from uqrestore.scans import (
    RadialScan,
    ScanError,
    demo_scan_path,
    fit_to_model,
    read_input,
    read_scan,
)
from uqrestore.zoo import load_card, load_prior

SLICES = (10, 16)
FACTORS = 30  # of the 250 of the prior that ships: enough here, and eight times as fast


@pytest.fixture(scope="module")
def brain() -> np.ndarray:
    """Some slices, (slice, row, column), row 0 posterior and column 0 left."""
    return fit_to_model(read_scan(demo_scan_path())).images[list(SLICES), 0]


@pytest.fixture(scope="module")
def lines() -> np.ndarray:
    """One line in four: 10 in the middle, 6 spread over the rest."""
    chosen = np.zeros(64, bool)
    chosen[27:37] = True
    chosen[[3, 12, 21, 42, 51, 60]] = True
    return chosen


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> RestorePipeline:
    folder = tmp_path_factory.mktemp("pipeline")
    path, weights = folder / "raw.yaml", folder / "small.safetensors"
    gaussian = load_prior("brain64-gaussian")
    assert isinstance(gaussian, LowRankGaussian)
    left_out = float(gaussian.factors[FACTORS:].square().sum() / gaussian.mean.numel())
    LowRankGaussian(gaussian.mean, gaussian.factors[:FACTORS], gaussian.tau + left_out).save(
        weights
    )
    card = load_card("brain64-gaussian").model_dump(by_alias=True) | {"sha256": sha256(weights)}
    weights.with_suffix(".json").write_text(json.dumps(card))
    fields = {
        "kind": "restore", "title": "raw", "prior": str(weights),
        "method": {"name": "exact"}, "draws": 8, "components": 2,
    }  # fmt: skip
    path.write_text(yaml.safe_dump(fields))
    made = read_pipeline(path)
    assert isinstance(made, RestorePipeline)
    return made


def test_four_times_fewer_lines_beat_zero_filling_by_three_decibels(
    brain: np.ndarray, lines: np.ndarray, pipeline: RestorePipeline, tmp_path: Path
) -> None:
    noise = 0.005 * float(brain.max())
    upright = np.diag([3.0, 3.0, 3.0, 1.0])
    raw = write_ismrmrd(tmp_path / "a.mrd", brain.transpose(2, 1, 0), upright, lines, noise, 8)

    out = restore(pipeline, read_input(raw), tmp_path / "out.h5")

    mean, zero = read(out, "estimate/mmse"), read(out, "reference/zero_filled")
    assert validate(out) == []
    assert mean.shape == brain.shape
    tissue = brain > 0.1 * brain.max()
    scores = [
        psnr(image[:, None], brain[:, None], tissue, data_range=float(brain.max()))
        for image in (mean, zero)
    ]
    assert scores[0] > scores[1] + 3, scores

    operator = read_operator(out)
    assert operator.name == "coil_fourier"
    assert operator.in_shape == (1, 64, 64)
    assert read(out, "observed_data/y").shape == (2, 2, 8, 64, 64)
    assert read(out, "observed_data/noise_std") == pytest.approx(noise, rel=0.05)
    real, imaginary = read(out, "observed_data/coil_mixing")
    np.testing.assert_allclose(real, np.eye(8), atol=0.1)  # its coils are white already
    np.testing.assert_allclose(imaginary, 0, atol=0.1)


def test_a_raw_scan_and_an_operator_or_an_image_and_none_do_not_go_together(
    brain: np.ndarray, lines: np.ndarray, pipeline: RestorePipeline, tmp_path: Path
) -> None:
    raw = read_input(write_fastmri(tmp_path / "a.h5", brain, lines, std=1.0))
    simulated = change(pipeline, operator={"name": "identity"}, noise_std=0.1)

    with pytest.raises(ValueError, match="was measured already"):
        restore(simulated, raw, tmp_path / "a.out.h5")
    with pytest.raises(ValueError, match="must state its measurement"):
        restore(pipeline, read_scan(demo_scan_path()), tmp_path / "b.out.h5")


def test_a_field_of_view_that_is_not_the_priors_is_part_of_the_operator(
    brain: np.ndarray, lines: np.ndarray, pipeline: RestorePipeline, tmp_path: Path
) -> None:
    noise = 0.005 * float(brain.max())
    # Wider from left to right, a little narrower from front to back.
    field = np.pad(brain[:1, 2:], ((0, 0), (0, 0), (9, 11)))
    upright = np.diag([3.0, 3.0, 3.0, 1.0])
    centred = lines[2:].copy()
    centred[25:37] = True
    path = write_ismrmrd(tmp_path / "a.mrd", field.transpose(2, 1, 0), upright, centred, noise, 8)
    raw = read_input(path)

    cache = PriorCache()
    prepared = prepare_scan(pipeline, raw, RunOptions(), cache)
    acquisition = acquire_slices(pipeline, prepared)
    reference = reference_images(pipeline, prepared, acquisition, cache)

    operator = acquisition.operator
    assert operator.name == "composed"
    assert operator.in_shape == (1, 64, 64)
    assert operator.out_shape == (2, 8, 62, 84)
    assert acquisition.axes == ("z", "ri", "coil", "ky", "kx")
    problem = acquisition.problem([0])
    gaussian = prepared.denoiser
    assert isinstance(gaussian, LowRankGaussian)
    short = LowRankGaussian(
        gaussian.mean, gaussian.factors[:6], gaussian.tau + 0.03
    )  # quick, and enough
    mean = short.posterior(problem).mean.float()
    truth = prepared.model.placement.to_model(field.transpose(2, 1, 0), fill=0.0).transpose(2, 1, 0)
    tissue = truth > 0.1 * brain.max()
    scores = [
        psnr(np.asarray(image), truth[:, None], tissue, data_range=float(brain.max()))
        for image in (acquisition.intensity.to_file(mean), reference["zero_filled"])
    ]
    assert scores[0] > scores[1] + 2, scores


def test_radial_spokes_of_several_coils_are_restored(
    brain: np.ndarray, pipeline: RestorePipeline, tmp_path: Path
) -> None:
    noise = 0.005 * float(brain.max())
    upright = np.diag([3.0, 3.0, 3.0, 1.0])
    path = write_radial(tmp_path / "a.mrd", brain[:1].transpose(2, 1, 0), upright, 20, noise, 4)
    raw = read_input(path)
    assert isinstance(raw, RadialScan)

    cache = PriorCache()
    prepared = prepare_scan(pipeline, raw, RunOptions(), cache)
    acquisition = acquire_slices(pipeline, prepared)
    reference = reference_images(pipeline, prepared, acquisition, cache)

    assert acquisition.operator.name == "coil_radial"
    assert acquisition.axes == ("z", "ri", "coil", "point")
    problem = acquisition.problem([0])
    solved, _ = problem.operator.solve(problem.y, noise_std=problem.noise_std, max_iter=40)
    image, zero = acquisition.intensity.to_file(solved), reference["zero_filled"]
    tissue = brain[:1] > 0.1 * brain.max()
    scores = [
        psnr(np.asarray(one), brain[:1, None], tissue, data_range=float(brain.max()))
        for one in (image, zero)
    ]
    assert scores[0] > scores[1] + 3, scores


def test_a_field_or_pixels_that_do_not_fit_are_refused(
    brain: np.ndarray, lines: np.ndarray, pipeline: RestorePipeline, tmp_path: Path
) -> None:
    larger = np.repeat(brain, 2, axis=2)
    both = np.repeat(lines, 2)
    finer = np.diag([1.5, 1.5, 3.0, 1.0])
    fine = np.repeat(np.repeat(brain, 2, axis=1), 2, axis=2)
    path = write_ismrmrd(
        tmp_path / "1.mrd", fine.transpose(2, 1, 0), finer, both, 0.01 * brain.max()
    )
    options = RunOptions(resample=True)
    prepared = prepare_scan(pipeline, read_input(path), options, PriorCache())
    assert prepared.note == (
        "k-space of 1.5 x 1.5 mm pixels brought to 3 mm, outer frequencies left out"
    )
    for name, image, pixel, message in (
        ("big", larger, 3.0, r"its brain region is .* but the model sees 192 x 192 mm"),
        ("fine", brain, 2.0, r"its pixels are 2 x 2 mm but the model's are 3 mm; pass --resample"),
    ):
        grid = np.diag([pixel, pixel, 3.0, 1.0])
        along = both if name == "big" else lines
        values = image.swapaxes(1, 2) if name == "big" else image
        path = write_ismrmrd(tmp_path / f"{name}.mrd", values.transpose(2, 1, 0), grid, along, 1.0)
        with pytest.raises(ScanError, match=message):
            restore(pipeline, read_input(path), tmp_path / f"{name}.h5")
