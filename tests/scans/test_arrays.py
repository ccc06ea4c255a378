"""K-space from arrays and BART files; coil compression; retrospective undersampling."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import uqrestore
from tests.scans.rawfiles import coils, noise, smooth_phase, write_fastmri
from uqrestore.scans import (
    RawScan,
    ScanError,
    compress_coils,
    read_bart,
    read_cfl,
    read_input,
    scan_from_kspace,
    undersampled,
)
from uqrestore.scans.kspace import to_image, to_kspace

ROWS, COLUMNS, COILS, STD = 30, 24, 6, 0.05
MIXING = np.eye(COILS) + 0.4j * np.eye(COILS, k=1) - 0.3 * np.eye(COILS, k=-2)
MAPS = coils((ROWS, COLUMNS), COILS)


def image() -> np.ndarray:
    y, x = np.mgrid[-1 : 1 : ROWS * 1j, -1 : 1 : COLUMNS * 1j]
    inside = (x / 0.7) ** 2 + (y / 0.6) ** 2 < 1
    return inside * (8 + 3 * np.cos(5 * x) * y) * np.exp(1j * smooth_phase((ROWS, COLUMNS)))


def kspace(slices: int = 1) -> np.ndarray:
    rng = np.random.default_rng(0)
    clean = to_kspace(np.stack([(k + 1) * image() * MAPS for k in range(slices)]))
    return clean + np.einsum("cd,sd...->sc...", MIXING, noise(rng, clean.shape, STD))


COVARIANCE = 2 * STD**2 * MIXING @ MIXING.conj().T


def test_arrays_make_a_scan_in_patient_order() -> None:
    samples = kspace(2)
    raw = uqrestore.scan_from_kspace(samples, spacing=(5.0, 2.0, 3.0), noise_std=STD, name="mine")
    assert isinstance(raw, RawScan)
    np.testing.assert_allclose(raw.samples, samples, rtol=1e-5, atol=1e-4)
    assert raw.scan.spacing == pytest.approx((3, 2, 5))
    assert raw.noise_std == STD
    assert raw.source.name == "mine"
    assert raw.scan.affine[:3, 3].tolist() == [-3 * 12, -2 * 15, 0]
    turned = np.diag([-3.0, 2, 5, 1])
    turned[0, 3] = 3 * 12
    raw = scan_from_kspace(torch.as_tensor(samples), spacing=1.0, affine=turned, noise_std=STD)
    flipped = to_image(raw.samples)[..., ::-1]
    np.testing.assert_allclose(flipped, to_image(samples), atol=1e-3)


def test_a_given_covariance_whitens_samples_and_maps() -> None:
    raw = scan_from_kspace(kspace(), spacing=2.0, maps=MAPS, noise_cov=COVARIANCE)
    assert raw.maps is not None
    assert raw.noise.mixing is not None
    np.testing.assert_allclose(np.linalg.norm(raw.maps, axis=1), 1, atol=1e-5)
    assert 2 * raw.noise_std**2 == pytest.approx(np.trace(COVARIANCE).real / COILS)
    drawn = np.einsum("cd,dn->cn", MIXING, noise(np.random.default_rng(1), (COILS, 50_000), STD))
    white = np.linalg.inv(raw.noise.mixing) @ drawn
    found = white @ white.conj().T / white.shape[1]
    np.testing.assert_allclose(found, 2 * raw.noise_std**2 * np.eye(COILS), atol=2e-4)
    # Whitened maps explain whitened samples: what is left over is noise.
    coil_images = to_image(raw.samples)
    combined = (raw.maps.conj() * coil_images).sum(1, keepdims=True)
    left = coil_images - raw.maps * combined
    assert (np.abs(left) ** 2).mean() == pytest.approx(
        2 * raw.noise_std**2 * (COILS - 1) / COILS, rel=0.1
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"kspace": np.ones((ROWS, COLUMNS), complex)}, r"must be .\[slice,\] coil, row, column."),
        ({"kspace": np.ones((2, 3, 4, 5))}, "finite complex numbers, got float64"),
        ({"kspace": np.full((2, 8, 8), np.nan + 0j)}, "finite complex numbers"),
        ({"mask": np.ones(ROWS)}, r"the mask has shape .30,., but k-space has 30 rows and 24"),
        ({"mask": np.zeros(COLUMNS)}, "contradicts"),
        ({"maps": MAPS[:-1]}, "maps must have the shape"),
        ({"maps": MAPS[..., :-1]}, "maps must have the shape"),
        ({"maps": 0 * MAPS}, "and not be zero"),
        ({"maps": np.abs(MAPS)}, "maps must be finite complex numbers"),
        ({"noise_cov": np.eye(3)}, r"noise_cov must be a finite matrix of 6 x 6"),
        ({"noise_cov": np.triu(np.ones((6, 6)))}, "not Hermitian"),
        ({"noise_cov": np.ones((6, 6))}, "not positive definite"),
        ({"noise_cov": np.eye(6), "noise_std": 1.0}, "noise_cov or noise_std, not both"),
        ({"noise_std": 0.0}, "which no measurement reaches"),
        ({"spacing": (1.0, 2.0, 3.0, 4.0)}, "spacing is a pixel size"),
        ({"spacing": 0.0}, "above 0"),
    ],
)
def test_arrays_that_disagree_are_refused_in_one_line(options: dict[str, Any], words: str) -> None:
    arguments = {"kspace": kspace(), "spacing": 2.0, "noise_std": None} | options
    if "noise_cov" not in options and arguments["noise_std"] is None:
        arguments["noise_std"] = STD
    with pytest.raises(ScanError, match=words) as caught:
        scan_from_kspace(arguments.pop("kspace"), **arguments)
    assert "\n" not in str(caught.value)


def write_cfl(base: Path, array: np.ndarray) -> Path:
    """Write an array as BART does: column-major, 16 dimensions."""
    sizes = " ".join(map(str, [*array.shape, *[1] * (16 - array.ndim)]))
    base.with_suffix(".hdr").write_text(f"# Dimensions\n{sizes}\n# Command\nphantom\n")
    array.astype(np.complex64).ravel(order="F").tofile(base.with_suffix(".cfl"))
    return base


def as_bart(stack: np.ndarray) -> np.ndarray:
    """Return (read, phase, 1, coil, ..., slice) of (slice, coil, row, column)."""
    return stack.transpose(3, 2, 1, 0)[:, :, None, :, None, None, None, None, None, None, None,
                                       None, None, :]  # fmt: skip


def test_bart_files_are_read(tmp_path: Path) -> None:
    samples = kspace(2)
    samples[..., ::3] = 0
    base = write_cfl(tmp_path / "ks", as_bart(samples))
    maps = write_cfl(tmp_path / "maps", as_bart(np.stack([MAPS, MAPS])))
    np.testing.assert_array_equal(
        read_cfl(base.with_suffix(".cfl")).squeeze(), as_bart(samples).squeeze().astype("c8")
    )
    raw = read_bart(base, spacing=2.0, maps=maps, noise_std=STD)
    np.testing.assert_allclose(raw.samples, samples, rtol=1e-5, atol=1e-4)
    np.testing.assert_array_equal(raw.sampled[0], np.arange(COLUMNS) % 3 != 0)
    assert raw.maps is not None
    np.testing.assert_allclose(raw.maps[1], MAPS, atol=1e-5)


def test_bart_files_that_are_no_stack_of_slices_are_refused(tmp_path: Path) -> None:
    base = write_cfl(tmp_path / "ks", as_bart(kspace(2)))
    with pytest.raises(ScanError, match=r"read_bart\(path, spacing=\.\.\.\)"):
        read_input(base.with_suffix(".cfl"))
    with pytest.raises(ScanError, match="is missing; BART stores"):
        read_cfl(tmp_path / "none")
    twice = write_cfl(tmp_path / "echoes", np.ones((4, 4, 2, 3, 1, 5)))
    with pytest.raises(ScanError, match="holds 2 of phase 2, 5 of echo; only read, phase 1"):
        read_bart(twice, spacing=1.0)
    base.with_suffix(".cfl").write_bytes(base.with_suffix(".cfl").read_bytes()[:-8])
    with pytest.raises(ScanError, match="bytes, but its header states"):
        read_cfl(base)
    base.with_suffix(".hdr").write_text("# Dimensions\nfour\n")
    with pytest.raises(ScanError, match="states no dimensions"):
        read_cfl(base)


def test_compressed_coils_keep_signal_and_white_noise() -> None:
    raw = scan_from_kspace(kspace(2), spacing=2.0, maps=MAPS, noise_cov=COVARIANCE)
    few = compress_coils(raw, 4)
    assert few.samples.shape[1] == 4
    assert few.noise_std == raw.noise_std
    power = [float((np.abs(scan.samples) ** 2).sum()) for scan in (few, raw)]
    assert power[0] / power[1] > 0.95
    assert f"6 coils compressed to 4 with {power[0] / power[1]:.2%} of" in few.source.note
    assert few.maps is not None
    np.testing.assert_allclose(np.linalg.norm(few.maps, axis=1), 1, atol=1e-5)
    # No other four combinations keep more.
    rng = np.random.default_rng(0)
    other, _ = np.linalg.qr(rng.standard_normal((6, 4)) + 1j * rng.standard_normal((6, 4)))
    mixed = np.einsum("dc,sd...->sc...", other.conj(), raw.samples)
    assert float((np.abs(mixed) ** 2).sum()) < power[0]
    # All coils: another basis of the same samples.
    same = compress_coils(raw, COILS)
    assert "100.00% of their energy" in same.source.note
    assert same.noise.mixing is not None
    assert raw.noise.mixing is not None
    again = np.einsum("cd,sd...->sc...", same.noise.mixing, same.samples)
    acquired = np.einsum("cd,sd...->sc...", raw.noise.mixing, raw.samples)
    np.testing.assert_allclose(again, acquired, atol=2e-3)
    with pytest.raises(ScanError, match="has 6 coils, which cannot be compressed to 7"):
        compress_coils(raw, 7)


def test_full_k_space_is_undersampled_and_becomes_the_reference() -> None:
    raw = scan_from_kspace(kspace(2), spacing=2.0, noise_cov=COVARIANCE)
    mask = np.broadcast_to(np.arange(COLUMNS) % 2 == 0, (ROWS, COLUMNS))
    kept = undersampled(raw, mask)
    np.testing.assert_array_equal(kept.sampled, mask)
    np.testing.assert_allclose(kept.samples, raw.samples * mask, rtol=1e-5, atol=1e-4)
    assert kept.reference is not None
    np.testing.assert_array_equal(kept.reference, raw.samples)
    assert "50.0% of fully sampled k-space kept" in kept.source.note
    with pytest.raises(
        ScanError, match=r"must be fully sampled to be undersampled, but only 50.0%"
    ):
        undersampled(kept, mask)


def test_a_reference_file_is_whitened_as_the_scan_is(tmp_path: Path) -> None:
    images = np.abs(np.stack([image()] * 2))
    lines = np.arange(COLUMNS) % 2 == 0
    full = write_fastmri(tmp_path / "full.h5", images, np.ones(COLUMNS, bool), STD)
    path = write_fastmri(tmp_path / "a.h5", images, lines, STD)
    raw = read_input(path, reference=full)
    assert isinstance(raw, RawScan)
    assert raw.reference is not None
    np.testing.assert_allclose(
        raw.reference[..., raw.sampled], raw.samples[..., raw.sampled], atol=2e-3
    )
    with pytest.raises(ScanError, match="must be fully sampled as a reference"):
        read_input(full, reference=path)
    other = write_fastmri(tmp_path / "b.h5", images, np.ones(COLUMNS, bool), STD, count=3)
    with pytest.raises(ScanError, match=r"is no reference of a\.h5: .slice, coil, row, column. is"):
        read_input(path, reference=other)
    with pytest.raises(ScanError, match="is an image; coils is for raw k-space alone"):
        read_input(uqrestore.scans.demo_scan_path(), coils=2)
    few = read_input(path, reference=full, coils=3)
    assert isinstance(few, RawScan)
    assert few.reference is not None
    assert few.samples.shape[1] == few.reference.shape[1] == 3
    assert few.scan.identity != raw.scan.identity
