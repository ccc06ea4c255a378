"""What a verdict says of scans a model was not made for."""

import numpy as np
import pytest

from tests.scans.scenes import blob, rotation, scan
from uqrestore.scans import (
    Scan,
    Source,
    TrainingDomain,
    check_scope,
    demo_scan_path,
    read_scan,
    scan_from_array,
)

BRAINS = TrainingDomain(3.0, "T1w", skull_stripped=True)
UNKNOWN = TrainingDomain()


@pytest.fixture(scope="module")
def demo() -> Scan:
    return read_scan(demo_scan_path())


def like(demo: Scan, voxels: np.ndarray, affine: np.ndarray | None = None, name: str = "a") -> Scan:
    affine = demo.affine if affine is None else affine
    return scan_from_array(voxels, affine, source=Source(name))


def test_the_demo_scan_is_in_scope(demo: Scan) -> None:
    verdict = check_scope(demo, BRAINS)
    assert verdict.in_scope
    assert str(verdict) == "in scope of the model's training data"
    assert verdict.to_data() == {"in_scope": True, "findings": []}


def test_an_inverted_contrast_is_told(demo: Scan) -> None:
    inverted = np.where(demo.mask, 1100 - demo.voxels, 0)
    verdict = check_scope(like(demo, inverted), BRAINS)
    assert not verdict.in_scope
    assert "white matter is darker" in str(verdict)


def test_a_name_that_says_another_contrast_is_believed(demo: Scan) -> None:
    verdict = check_scope(like(demo, demo.voxels, name="sub-01_T2w.nii.gz"), BRAINS)
    assert "the file's name says T2w" in verdict.findings[0]


def test_a_head_with_its_skull_is_told(demo: Scan) -> None:
    noisy = demo.voxels + np.random.default_rng(0).uniform(1, 5, demo.shape)
    assert "plain background" in str(check_scope(like(demo, noisy), BRAINS))
    large = np.zeros((90, 90, 5))
    large[5:85, 5:85] = 100 + np.random.default_rng(0).uniform(0, 5, (80, 80, 5))
    assert "too large for a brain" in str(check_scope(scan(large), BRAINS))


def test_a_stripped_scan_is_told_to_a_model_of_whole_heads(demo: Scan) -> None:
    verdict = check_scope(demo, TrainingDomain(skull_stripped=False))
    assert "the scan is skull-stripped" in str(verdict)


def test_another_voxel_size_is_told_unless_it_is_resampled_down() -> None:
    fine = scan(blob(), np.diag([1.0, 1.0, 3.0, 1.0]))
    coarse = scan(blob(), np.diag([6.0, 6.0, 3.0, 1.0]))
    size = TrainingDomain(3.0)
    assert "pixels are 1 x 1 mm" in str(check_scope(fine, size))
    assert check_scope(fine, size, resampled=True).in_scope
    assert not check_scope(coarse, size, resampled=True).in_scope
    assert check_scope(fine, TrainingDomain((1.0, 1.0, 3.0))).in_scope


def test_tilted_slices_and_an_unknown_orientation_are_told(demo: Scan) -> None:
    tilted = np.eye(4)
    tilted[:3, :3] = 3 * rotation((np.deg2rad(30), 0, 0))
    assert "tilted by 30 degrees" in str(check_scope(like(demo, demo.voxels, tilted), UNKNOWN))
    unknown = scan_from_array(blob(), np.eye(4), source=Source("a", "NIfTI", space_code=0))
    assert "no orientation" in str(check_scope(unknown, UNKNOWN))


def test_what_the_card_does_not_say_is_not_judged() -> None:
    assert check_scope(scan(blob() + 10), UNKNOWN).in_scope
