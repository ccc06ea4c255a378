"""Verdicts on scans that are not of the kind a prior was trained on."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.scans.scenes import blob, rotation, scan
from uqrestore.scans import (
    Scan,
    Source,
    TrainingDomain,
    Verdict,
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


def test_an_inverted_contrast_is_found(demo: Scan) -> None:
    inverted = np.where(demo.mask, 1100 - demo.voxels, 0)
    verdict = check_scope(like(demo, inverted), BRAINS)
    assert not verdict.in_scope
    assert "white matter is darker" in str(verdict)


def test_a_name_that_says_another_contrast_counts(demo: Scan) -> None:
    verdict = check_scope(like(demo, demo.voxels, name="sub-01_T2w.nii.gz"), BRAINS)
    assert "the file's name says T2w" in verdict.findings[0]


def test_a_head_with_its_skull_is_found(demo: Scan) -> None:
    noisy = demo.voxels + np.random.default_rng(0).uniform(1, 5, demo.shape)
    assert "plain background" in str(check_scope(like(demo, noisy), BRAINS))
    large = np.zeros((90, 90, 5))
    large[5:85, 5:85] = 100 + np.random.default_rng(0).uniform(0, 5, (80, 80, 5))
    assert "too large for a brain" in str(check_scope(scan(large), BRAINS))


def test_a_stripped_scan_is_out_of_scope_of_a_model_of_whole_heads(demo: Scan) -> None:
    verdict = check_scope(demo, TrainingDomain(skull_stripped=False))
    assert "the scan is skull-stripped" in str(verdict)


def test_another_voxel_size_is_found_unless_it_is_resampled_down() -> None:
    fine = scan(blob(), np.diag([1.0, 1.0, 3.0, 1.0]))
    coarse = scan(blob(), np.diag([6.0, 6.0, 3.0, 1.0]))
    size = TrainingDomain(3.0, "PDw")
    assert "pixels are 1 x 1 mm" in str(check_scope(fine, size))
    assert check_scope(fine, size, resampled=True).in_scope
    assert not check_scope(coarse, size, resampled=True).in_scope
    assert check_scope(fine, TrainingDomain((1.0, 1.0, 3.0), "PDw")).in_scope


def test_tilted_slices_and_an_unknown_orientation_are_found(demo: Scan) -> None:
    tilted = np.eye(4)
    tilted[:3, :3] = 3 * rotation((np.deg2rad(30), 0, 0))
    assert "tilted by 30 degrees" in str(check_scope(like(demo, demo.voxels, tilted), UNKNOWN))
    unknown = scan_from_array(blob(), np.eye(4), source=Source("a", "NIfTI", space_code=0))
    assert "no orientation" in str(check_scope(unknown, UNKNOWN))


def test_the_plane_of_the_slices_is_judged_where_they_stay_whole(demo: Scan) -> None:
    three = TrainingDomain(planes=("axial", "sagittal", "coronal"))
    for slices, plane in ((0, "sagittal"), (1, "coronal"), (2, "axial")):
        turned = scan_from_array(demo.voxels, demo.affine, source=Source("a"), slices=slices)
        against = f"slices are {plane}, the model's axial"
        assert (against in str(check_scope(turned, UNKNOWN))) == (plane != "axial")
        assert "slices are" not in str(check_scope(turned, three))


def test_a_prior_of_many_pixel_sizes_and_any_contrast_judges_by_its_range(demo: Scan) -> None:
    inverted = like(demo, demo.voxels.max() - demo.voxels, demo.affine)  # of 3 mm
    for span, state in (((0.9, 3.0), True), ((0.9, 2.0), False), ((3.5, 4.0), False)):
        verdict = check_scope(inverted, TrainingDomain(contrast="any", voxel_range=span))
        assert verdict.in_scope is state
        assert state or f"pixels are 3 x 3 mm, the model's {span[0]:g} to" in str(verdict)


@pytest.mark.parametrize(
    ("domain", "missing"),
    [
        (UNKNOWN, "pixel size and contrast"),
        (TrainingDomain(3.0), "contrast"),
        (TrainingDomain(contrast="T1w"), "pixel size"),
        ({}, "pixel size and contrast"),
    ],
)
def test_a_card_that_states_too_little_makes_the_scope_unknown(
    demo: Scan, domain: TrainingDomain, missing: str
) -> None:
    verdict = check_scope(demo, domain)
    assert verdict.in_scope is None
    assert str(verdict) == (
        "scope unknown of the model's training data: the prior's card does not state its " + missing
    )
    assert Verdict.from_data(verdict.to_data()) == verdict
    assert check_scope(scan(blob() + 10), domain).in_scope is None, "nothing else is judged"


def test_a_given_mask_counts_as_skull_stripping(demo: Scan) -> None:
    rng = np.random.default_rng(0)
    head = demo.voxels + rng.uniform(1, 60, demo.shape).astype(np.float32)
    given = scan_from_array(head, demo.affine, source=Source("head"), mask=demo.mask)

    assert not check_scope(like(demo, head), BRAINS).in_scope
    assert check_scope(given.strip(), BRAINS).in_scope
    assert "skull-stripped" in str(check_scope(given.strip(), TrainingDomain(skull_stripped=False)))


@pytest.mark.parametrize("stripped", [True, False])
def test_noise_in_the_air_of_raw_kspace_is_no_skull(demo: Scan, stripped: bool) -> None:
    noise = np.random.default_rng(0).uniform(1, 5, demo.shape)
    image = like(demo, demo.voxels + noise)
    raw = replace(image, mask=demo.mask, source=Source("raw.h5", "k-space"))
    domain = TrainingDomain(3.0, "T1w", skull_stripped=stripped)

    assert check_scope(raw, domain).in_scope, "coils see the whole head, also of a small section"
    wide = np.ones(demo.shape, bool)
    verdict = check_scope(replace(raw, mask=wide), domain)
    assert ("too large for a brain" in str(verdict)) == stripped
    assert "plain background" not in str(verdict)


def tiny_bright(shape: tuple[int, int, int], part: Any) -> np.ndarray:  # noqa: ANN401
    voxels = np.zeros(shape, np.float32)
    voxels[part] = 100 + np.random.default_rng(0).uniform(0, 5, voxels[part].shape)
    return voxels


@pytest.mark.parametrize(
    ("voxels", "words"),
    [
        (tiny_bright((40, 40, 5), np.s_[20, 20, 2]), "1 x 1 pixels, too little"),
        (tiny_bright((1, 400, 5), np.s_[:, 50:350, 1:4]), "1 x 300 pixels, too little"),
        (tiny_bright((400, 1, 1), np.s_[50:350]), "300 x 1 pixels, too little"),
        (tiny_bright((40, 40, 5), np.s_[12:24, 12:24, 1:3]), "13 cm2, too small for a head"),
    ],
)
def test_what_is_too_small_to_be_an_image_is_out_of_scope(voxels: np.ndarray, words: str) -> None:
    verdict = check_scope(scan(voxels), BRAINS)
    assert verdict.in_scope is False
    assert words in str(verdict)


def test_slices_thicker_than_those_of_the_training_are_out_of_scope(demo: Scan) -> None:
    def slices_of(mm: float) -> Scan:
        return like(demo, demo.voxels, demo.affine @ np.diag([1, 1, mm / 3, 1]))

    for mm in (3.0, 5.0):
        assert check_scope(slices_of(mm), BRAINS).in_scope
    assert "slices lie 10 mm apart, more than the 6 mm" in str(check_scope(slices_of(10), BRAINS))
    thin = TrainingDomain((3.0, 3.0, 1.0), "T1w", skull_stripped=True)
    assert "slices lie 3 mm apart, more than the 1.05 mm" in str(check_scope(demo, thin))


@pytest.mark.parametrize("factor", [1e-30, 1e30])
def test_a_verdict_does_not_depend_on_the_scale_of_the_values(demo: Scan, factor: float) -> None:
    assert check_scope(like(demo, demo.voxels * np.float32(factor)), BRAINS).in_scope


def test_a_verdict_grows_by_findings_and_survives_a_file() -> None:
    assert Verdict(True).with_findings() == Verdict(True)
    assert Verdict(None, ("x",)).with_findings("a") == Verdict(False, ("a",))
    assert Verdict(False, ("a",)).with_findings("b") == Verdict(False, ("a", "b"))
    for bad in (None, [], {}, {"in_scope": "yes"}, {"in_scope": True, "findings": "a"}):
        with pytest.raises(ValueError, match="no verdict"):
            Verdict.from_data(bad)
