"""From k-space to an acquisition: complex images, given maps, calibration lines, references."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from tests.front import read
from tests.scans.rawfiles import coils, noise, smooth_phase
from uqrestore.networks.weights import sha256
from uqrestore.pipeline import RestorePipeline, read_pipeline
from uqrestore.posterior import open_posterior, validate
from uqrestore.posterior.acquisition import Acquisition
from uqrestore.priors import LowRankGaussian
from uqrestore.restoration.measure import acquisition_from_kspace, fully_sampled_images
from uqrestore.restoration.restore import restore
from uqrestore.scans import (
    RawScan,
    ScanError,
    compress_coils,
    fit_to_model,
    scan_from_kspace,
    undersampled,
)
from uqrestore.scans.kspace import to_kspace
from uqrestore.zoo import load_card

SIZE, COILS, STD = 32, 5, 0.02
MAPS = coils((SIZE, SIZE), COILS)
LINES = np.isin(np.arange(SIZE), [*range(0, SIZE, 3), *range(10, 22)])
MASK = np.broadcast_to(LINES, (SIZE, SIZE))


def truth() -> np.ndarray:
    """Return a complex image whose phase is not smooth: it has an edge."""
    y, x = np.mgrid[-1 : 1 : SIZE * 1j, -1 : 1 : SIZE * 1j]
    inside = (x / 0.7) ** 2 + (y / 0.6) ** 2 < 1
    phase = smooth_phase((SIZE, SIZE)) + 1.2 * (x**2 + y**2 < 0.1)
    return inside * (4 + np.cos(4 * x) * np.sin(5 * y)) * np.exp(1j * phase)


def full_scan(*, maps: bool, seed: int = 0) -> RawScan:
    clean = to_kspace(truth() * MAPS)[None]
    samples = clean + noise(np.random.default_rng(seed), clean.shape, STD)
    return scan_from_kspace(
        samples, spacing=3.0, noise_std=STD, maps=MAPS if maps else None, name="made"
    )


def acquired(raw: RawScan, *, complex_image: bool = True) -> Acquisition:
    placement = fit_to_model(raw.scan, (SIZE, SIZE), voxel_size=3.0).placement
    return acquisition_from_kspace(raw, [0], placement, complex_image=complex_image)


def chi_square(acquisition: Acquisition, image: np.ndarray, raw: RawScan) -> float:
    """Return the misfit of an image a measured number, in units of the noise variance."""
    x = torch.view_as_real(torch.as_tensor(image.astype(np.complex64))).movedim(-1, 0)[None]
    misfit = acquisition.operator(x) - acquisition.y
    measured = 2 * raw.samples.shape[1] * int(raw.sampled.sum())
    return float(misfit.square().sum() / raw.noise_std**2 / measured)


def test_a_complex_image_explains_the_samples_to_the_noise() -> None:
    raw = undersampled(full_scan(maps=True), MASK)
    acquisition = acquired(raw)
    assert acquisition.operator.in_shape == (2, SIZE, SIZE)
    assert chi_square(acquisition, truth(), raw) == pytest.approx(1, abs=0.05)
    # A real image behind the phase of the centre cannot: the phase has an edge.
    real = acquired(raw, complex_image=False)
    assert real.operator.in_shape == (1, SIZE, SIZE)
    best, _ = real.operator.solve(real.y, max_iter=200)
    left = (real.operator(best) - real.y).square().sum() / raw.noise_std**2
    assert float(left) / (2 * COILS * raw.sampled.sum()) > 5


def test_network_units_of_complex_images_keep_zero_and_reach_one() -> None:
    raw = undersampled(full_scan(maps=True), MASK)
    acquisition = acquired(raw)
    assert acquisition.intensity.shift == 0
    assert acquisition.intensity.scale == pytest.approx(2 * raw.intensity.scale)
    problem = acquisition.problem([0])
    np.testing.assert_allclose(
        problem.y * acquisition.intensity.scale, acquisition.y, rtol=1e-5, atol=1e-5
    )


def test_estimated_maps_explain_the_samples_and_those_of_other_coils_do_not() -> None:
    raw = undersampled(full_scan(maps=False), MASK)
    swapped = replace(raw, maps=MAPS[None, ::-1].astype(np.complex64))
    freedom = 2 * (COILS * int(raw.sampled.sum()) - SIZE * SIZE)
    left = []
    for scan in (raw, swapped):
        acquisition = acquired(scan)
        best, _ = acquisition.operator.solve(acquisition.y, max_iter=200)
        misfit = (acquisition.operator(best) - acquisition.y).square().sum()
        left.append(float(misfit) / raw.noise_std**2 / freedom)
    assert left[0] < 5
    assert left[1] > 100


def test_maps_come_from_calibration_lines_where_the_centre_is_not_sampled() -> None:
    full = full_scan(maps=False)
    every_third = np.broadcast_to(np.arange(SIZE) % 3 == 0, (SIZE, SIZE))
    raw = undersampled(full, every_third)
    with pytest.raises(ScanError, match="only 0 x 0 samples around zero frequency"):
        acquired(raw)
    centre = np.zeros((SIZE, SIZE), bool)
    centre[:, 8:24] = True
    raw = replace(raw, calibration=np.where(centre, full.samples, 0))
    acquisition = acquired(raw)
    wanted = acquired(undersampled(full, centre | every_third))
    maps = [a.operator.maps for a in (acquisition, wanted)]  # type: ignore[attr-defined]
    np.testing.assert_allclose(maps[0], maps[1], atol=0.02)


@pytest.mark.parametrize("complex_image", [True, False])
def test_the_reference_is_the_image_of_complete_k_space(complex_image: bool) -> None:
    raw = undersampled(full_scan(maps=True), MASK)
    acquisition = acquired(raw, complex_image=complex_image)
    images = fully_sampled_images(raw, acquisition)
    assert images is not None
    if complex_image:
        found = torch.view_as_complex(images[0].movedim(0, -1).contiguous()).numpy()
        assert (found - truth()).std() == pytest.approx(2**0.5 * STD, rel=0.15)
    else:
        smooth = np.abs(np.angle(truth() * np.exp(-1j * acquisition.operator.phase[0].numpy())))  # type: ignore[attr-defined]
        near = (smooth < 0.1) & (np.abs(truth()) > 0)
        assert near.sum() > 100
        np.testing.assert_allclose(images[0, 0][near], np.abs(truth())[near], atol=0.1)
    assert fully_sampled_images(replace(raw, reference=None), acquisition) is None


def test_an_image_beside_a_larger_field_of_view_is_cut_from_the_reference() -> None:
    raw = undersampled(full_scan(maps=True), MASK)
    placement = fit_to_model(raw.scan, (24, 28), voxel_size=3.0).placement
    acquisition = acquisition_from_kspace(raw, [0], placement, complex_image=True)
    images = fully_sampled_images(raw, acquisition)
    whole = fully_sampled_images(raw, acquired(raw))
    assert images is not None
    assert whole is not None
    across, down = placement.offset
    torch.testing.assert_close(images, whole[..., down : down + 24, across : across + 28])


def test_compressed_coils_restore_the_same_image() -> None:
    raw = undersampled(full_scan(maps=True), MASK)
    few = compress_coils(raw, 4)
    acquisition = acquired(few)
    assert acquisition.operator.out_shape[1] == 4
    assert chi_square(acquisition, truth(), few) < 2
    assert acquisition.coil_mixing is not None
    assert acquisition.coil_mixing.shape == (COILS, 4)


@pytest.fixture(scope="module")
def complex_prior(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a Gaussian prior of complex images: smooth real and imaginary parts."""
    folder = tmp_path_factory.mktemp("prior")
    y, x = np.mgrid[0:SIZE, 0:SIZE] / SIZE
    waves = [np.cos(np.pi * i * y) * np.cos(np.pi * j * x) for i in range(9) for j in range(9)]
    basis = torch.tensor(np.stack(waves)).float().flatten(1)
    basis = 0.3 * basis / basis.std(dim=1, keepdim=True).clamp(min=0.1)
    zero = torch.zeros_like(basis)
    factors = torch.cat([torch.cat([basis, zero], 1), torch.cat([zero, basis], 1)])
    mean = torch.zeros(2, SIZE, SIZE)
    prior = LowRankGaussian(mean, factors.unflatten(1, (2, SIZE, SIZE)), 0.05)
    weights = folder / "complex.safetensors"
    prior.save(weights)
    card = load_card("brain64-gaussian").model_dump(mode="json", exclude_none=True)
    card |= {"sha256": sha256(weights), "name": "complex", "in_shape": [2, SIZE, SIZE]}
    weights.with_suffix(".json").write_text(json.dumps(card))
    return weights


def test_a_complex_prior_restores_k_space_undersampled_by_a_pipeline(
    complex_prior: Path, tmp_path: Path
) -> None:
    fields = {
        "kind": "restore", "title": "complex", "prior": str(complex_prior), "draws": 8,
        "operator": {
            "name": "masked_fourier", "channels": 2,
            "mask": {"law": "cartesian", "acceleration": 1.25, "center_lines": 12, "seed": 0,
                     "per_slice": False},
        },
        "method": {"name": "exact"}, "components": 2,
    }  # fmt: skip
    path = tmp_path / "p.yaml"
    path.write_text(yaml.safe_dump(fields))
    pipeline = read_pipeline(path)
    assert isinstance(pipeline, RestorePipeline)

    out = restore(pipeline, full_scan(maps=True), tmp_path / "out.h5")

    assert validate(out) == []
    mean, wanted = read(out, "estimate/mmse"), read(out, "reference/truth")
    zero = read(out, "reference/zero_filled")
    assert mean.shape == (2, 1, SIZE, SIZE)
    assert ((mean - wanted) ** 2).mean() < 0.3 * ((zero - wanted) ** 2).mean()
    attributes = open_posterior(out).attrs
    figures, sizes = json.loads(attributes["figures"]), np.linalg.norm([mean, wanted], axis=1)
    mask = read(out, "constant_data/brain_mask") > 0
    peak = np.percentile(sizes[1][mask], 99.9)  # of the reference: the same for every sampling
    error = np.square(sizes[0] - sizes[1])[mask].mean()
    assert figures["psnr_data_range"] == pytest.approx(peak, rel=1e-5)
    assert figures["psnr_mean"] == pytest.approx(10 * np.log10(peak**2 / error), abs=1e-3)
    provenance = json.loads(attributes["provenance"])
    assert provenance["acquisition"] == "as measured, then undersampled"
    noise_std = float(read(out, "observed_data/noise_std"))
    assert provenance["pipeline"]["noise_std"] == pytest.approx(
        noise_std / provenance["intensity"]["scale"], rel=1e-6
    )
    assert noise_std > 0


@pytest.mark.parametrize(
    ("lines", "maps", "warned"), [(6, False, True), (12, False, False), (6, True, False)]
)
def test_maps_of_too_few_calibration_lines_put_a_scan_out_of_scope(
    complex_prior: Path, tmp_path: Path, lines: int, maps: bool, warned: bool
) -> None:
    fields = {
        "kind": "restore", "title": "complex", "prior": str(complex_prior), "draws": 4,
        "method": {"name": "exact"}, "components": 0,
    }  # fmt: skip
    path = tmp_path / "p.yaml"
    path.write_text(yaml.safe_dump(fields))
    pipeline = read_pipeline(path)
    assert isinstance(pipeline, RestorePipeline)
    half = lines // 2
    kept = np.isin(np.arange(SIZE), [*range(1, SIZE, 4), *range(16 - half, 16 + half)])
    raw = undersampled(full_scan(maps=maps), np.broadcast_to(kept, (SIZE, SIZE)))

    out = restore(pipeline, raw, tmp_path / "out.h5")

    findings = json.loads(open_posterior(out).attrs["scope"]).get("findings", [])
    found = [text for text in findings if "coil maps are estimated from 6 x 6 samples" in text]
    assert bool(found) == warned
