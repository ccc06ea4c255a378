"""Damaged NIfTI and DICOM files: a scan of finite voxels or one readable line, never a crash.

Slow; run it by ``pytest -m slow tests/scans/test_fuzz.py``. Every mutation follows from its seed.
"""

import gzip
import shutil
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import nibabel as nib  # noqa: TID253
import numpy as np
import pytest

from tests.scans.scenes import blob
from tests.scans.series import write_enhanced, write_series
from uqrestore.scans import ScanError, read_scan

SEEDS = 300
LONGEST_S = 20.0

pytestmark = pytest.mark.slow

Mutation = Callable[[bytearray, np.random.Generator, int], None]


def flip_bits(data: bytearray, rng: np.random.Generator, head: int) -> None:
    for at in rng.integers(0, min(head, len(data)), rng.integers(1, 9)):
        data[at] ^= 1 << int(rng.integers(8))


def extreme_numbers(data: bytearray, rng: np.random.Generator, head: int) -> None:
    """Write the numbers that programs forget: largest, negative, zero, infinite, NaN."""
    words = [
        np.asarray(value, kind).tobytes()
        for kind, values in (
            ("<i2", (-1, 0, 32767, -32768)),
            ("<i4", (-1, 0, 2**31 - 1)),
            ("<f4", (np.nan, np.inf, -1e38, 1e-45)),
        )
        for value in values
    ]
    for _ in range(rng.integers(1, 4)):
        word = words[rng.integers(len(words))]
        at = int(rng.integers(0, max(min(head, len(data)) - len(word), 1)))
        data[at : at + len(word)] = word


def cut(data: bytearray, rng: np.random.Generator, _: int) -> None:
    del data[int(rng.integers(0, len(data))) :]


def move(data: bytearray, rng: np.random.Generator, head: int) -> None:
    """Take a piece out and put it in elsewhere, so that everything behind is displaced."""
    start, end = sorted(rng.integers(0, min(head, len(data)), 2).tolist())
    piece = data[start:end]
    del data[start:end]
    at = int(rng.integers(0, len(data)))
    data[at:at] = piece


def repeat(data: bytearray, rng: np.random.Generator, head: int) -> None:
    start, end = sorted(rng.integers(0, min(head, len(data)), 2).tolist())
    data[end:end] = data[start:end]


MUTATIONS: dict[str, Mutation] = {
    m.__name__: m for m in (flip_bits, extreme_numbers, cut, move, repeat)
}


def judged(path: Path, **options: object) -> str:
    """Read a damaged file; whatever comes must be a sound scan or one printable line."""
    start, line, scan = time.monotonic(), "", None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            scan = read_scan(path, **options)  # type: ignore[arg-type]
    except ScanError as error:
        line = str(error)
    assert time.monotonic() - start < LONGEST_S
    assert line.isprintable()
    if scan is None:
        assert line
        return "refused"
    assert np.isfinite(scan.voxels).all()
    assert np.isfinite(scan.affine).all()
    assert scan.mask.any()
    assert scan.mask.shape == scan.voxels.shape
    assert scan.intensity.scale > 0
    return "read"


def mutated(original: bytes, name: str, seed: int, head: int) -> bytes:
    data = bytearray(original)
    key = (sorted(MUTATIONS).index(name), seed)
    MUTATIONS[name](data, np.random.default_rng(key), head)
    return bytes(data)


@pytest.mark.parametrize("name", MUTATIONS)
@pytest.mark.parametrize("kind", ["nii", "nii.gz", "inside nii.gz"])
def test_damaged_nifti(name: str, kind: str, tmp_path: Path) -> None:
    affine = np.diag([3.0, 3.0, 3.0, 1.0])
    image = nib.Nifti1Image(np.stack([blob(), blob(seed=1)], -1), affine)
    image.set_qform(affine, 1)
    whole = tmp_path / "whole.nii"
    nib.save(image, whole)
    inner = whole.read_bytes()
    original = gzip.compress(inner, mtime=0) if kind == "nii.gz" else inner
    path = tmp_path / f"a.{kind.split()[-1]}"
    outcomes = []
    for seed in range(SEEDS):
        data = mutated(original, name, seed, 400)
        path.write_bytes(gzip.compress(data) if kind.startswith("inside") else data)
        outcomes.append(judged(path, volume=1))
    assert "refused" in outcomes


@pytest.mark.parametrize("name", MUTATIONS)
@pytest.mark.parametrize("kind", ["classic", "enhanced", "without preamble"])
def test_damaged_dicom(name: str, kind: str, tmp_path: Path) -> None:
    voxels, affine = np.rint(10 * blob((9, 8, 5))), np.diag([3.0, 3.0, 3.0, 1.0])
    if kind == "enhanced":
        path = write_enhanced(tmp_path / "e.dcm", voxels, affine)
        scan = path
    else:
        scan = write_series(tmp_path / "s", voxels, affine, RescaleSlope=2, RescaleIntercept=-9)
        path = scan / "002.dcm"
    original = path.read_bytes()[132 if kind == "without preamble" else 0 :]
    head = len(original) - (voxels.size if kind == "enhanced" else voxels[:, :, 0].size)
    outcomes = []
    for seed in range(SEEDS):
        path.write_bytes(mutated(original, name, seed, head))
        outcomes.append(judged(scan))
    assert "refused" in outcomes


def test_damaged_folders(tmp_path: Path) -> None:
    """Files missing, doubled, of another series, renamed, emptied, linked to nowhere."""
    voxels, affine = np.rint(10 * blob((9, 8, 6))), np.diag([3.0, 3.0, 3.0, 1.0])
    whole = write_series(tmp_path / "whole", voxels, affine)
    other = write_series(tmp_path / "other", voxels, affine)
    for seed in range(SEEDS // 3):
        rng = np.random.default_rng(seed)
        folder = tmp_path / f"s{seed}"
        shutil.copytree(whole, folder)
        for _ in range(rng.integers(1, 4)):
            files = sorted(folder.iterdir())
            file = files[rng.integers(len(files))]
            match rng.integers(6):
                case 0:
                    file.unlink()
                case 1 if not file.is_symlink():
                    shutil.copy(file, folder / f"copy{seed}-{file.name}")
                case 2:
                    shutil.copy(other / "001.dcm", folder / "other.dcm")
                case 3:
                    file.rename(file.with_suffix(".txt"))
                case 4 if not file.is_symlink():
                    file.write_bytes(b"")
                case _:
                    file.unlink()
                    file.symlink_to("nowhere")
        if any(folder.iterdir()) and judged(folder, volume=0) == "read":
            scan = read_scan(folder, volume=0)
            found = scan.orientation.undo(scan.voxels)
            first = next(k for k in range(6) if (found[..., 0] == voxels[..., k]).all())
            np.testing.assert_array_equal(found, voxels[..., first : first + found.shape[2]])
        shutil.rmtree(folder)
