"""Masks of skull-stripped scans: the background is found, whatever its value."""

from collections.abc import Callable

import numpy as np
import pytest

from tests.scans.scenes import blob, scan
from uqrestore.scans import Scan, ScanError, Source, demo_scan_path, read_scan, scan_from_array
from uqrestore.scans.background import background

EYE = np.eye(4)

CHANGES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "as it is": lambda v, _: v,
    "z-scored": lambda v, b: np.where(b, (v - v[b].mean()) / v[b].std(), 0),
    "z-scored, background too": lambda v, b: (v - v[b].mean()) / v[b].std(),
    "MP2RAGE": lambda v, b: np.where(b, v / v.max() - 0.5, 0),
    "shifted down": lambda v, _: v - 5000,
    "shifted up": lambda v, _: v + 5000,
    "negative": lambda v, _: -v,
    "on white": lambda v, b: np.where(b, v, 2 * v.max()),
    "on NaN": lambda v, b: np.where(b, v, np.nan),
    "tiny": lambda v, _: v * 1e-30,
    "huge": lambda v, _: v * 1e30,
}


@pytest.fixture(scope="module")
def demo() -> Scan:
    return read_scan(demo_scan_path())


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_intensities_does_not_change_the_mask(change: str, demo: Scan) -> None:
    brain = demo.voxels > 0
    values = CHANGES[change](demo.voxels, brain).astype(np.float32)
    found = scan_from_array(values, demo.affine, source=Source("a"))
    assert (found.mask & demo.mask).sum() > 0.999 * demo.mask.sum()
    assert (found.mask & ~demo.mask).sum() < 0.001 * demo.mask.sum()


@pytest.mark.parametrize("change", ["z-scored", "MP2RAGE", "negative", "on white"])
def test_a_background_brighter_than_tissue_becomes_dark_and_is_noted(
    change: str, demo: Scan
) -> None:
    values = CHANGES[change](demo.voxels, demo.voxels > 0).astype(np.float32)
    found = scan_from_array(values, demo.affine, source=Source("a"))
    assert (found.voxels[~found.mask] == values.min()).all()
    np.testing.assert_array_equal(found.voxels[found.mask], values[found.mask])
    assert "set to the darkest value" in found.source.note
    assert demo.source.note == ""


def test_slabs_and_single_slices_have_a_background_too() -> None:
    voxels = blob((21, 23, 9)) - 90  # half of the tissue below zero
    voxels[blob((21, 23, 9)) == 0] = 0
    for part in (np.s_[:, :, 4:6], np.s_[:, :, 4:5], np.s_[9:11], np.s_[:, 11:12]):
        wanted = blob((21, 23, 9))[part] > 0
        assert (scan(voxels[part]).mask == wanted).all()


def test_noise_in_the_air_is_no_background() -> None:
    noisy = blob() + np.random.default_rng(0).uniform(1, 5, blob().shape).astype(np.float32)
    assert background(noisy) is None
    assert scan(noisy).mask.mean() > 0.99
    assert scan(noisy - 80).mask.mean() > 0.99, "half of it below zero"


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_may_stand_outside_a_given_mask(bad: float) -> None:
    inside = blob() > 0
    values = np.where(inside, blob(), np.float32(bad))
    found = scan_from_array(values, EYE, source=Source("a"), mask=inside)
    np.testing.assert_array_equal(found.voxels[inside], blob()[inside])
    assert (found.voxels[~inside] == blob()[inside].min()).all()
    count = int((~inside).sum())
    assert found.source.note == (
        f"{count} voxels outside the mask are NaN or infinite, set to the darkest value"
    )
    values[6, 7, 4] = bad
    with pytest.raises(ScanError, match=r"1 of 1755 voxels are NaN or infinite.*\(6, 7, 4\)"):
        scan_from_array(values, EYE, source=Source("a"), mask=inside)


def test_a_hole_of_nan_in_the_brain_is_refused_on_every_background() -> None:
    for outside in (0, np.nan):
        values = np.where(blob() > 0, blob(), np.float32(outside))
        values[6, 7, 4] = np.nan
        with pytest.raises(ScanError, match=r"1 of 1755 voxels are NaN.*\(6, 7, 4\)"):
            scan_from_array(values, EYE, source=Source("a"))
    with pytest.raises(ScanError, match="1755 of 1755 voxels are NaN"):
        scan_from_array(np.full(blob().shape, np.nan), EYE, source=Source("a"))
