"""Units, masks, keys, and volumes that must be refused."""

import numpy as np
import pytest
import torch

from tests.scans.scenes import blob, scan
from uqrestore.scans import Intensity, ScanError, Source, scan_from_array

EYE = np.eye(4)


def test_the_darkest_voxel_is_minus_one_and_the_bright_end_one() -> None:
    one = scan()
    network = one.intensity.to_network(one.voxels)
    assert network.min() == pytest.approx(-1)
    assert np.percentile(network[one.mask], 99.9) == pytest.approx(1, abs=1e-6)


def test_intensity_goes_there_and_back_for_numpy_and_torch() -> None:
    intensity = Intensity(shift=40.0, scale=8.0)
    x = torch.linspace(0, 100, 7, dtype=torch.float64)
    torch.testing.assert_close(intensity.to_file(intensity.to_network(x)), x)
    assert intensity.to_file(intensity.to_network(12.5)) == pytest.approx(12.5)


def test_a_std_is_scaled_and_never_shifted() -> None:
    intensity = Intensity(shift=40.0, scale=8.0)
    x = np.random.default_rng(0).normal(size=1000)
    assert intensity.std_to_file(x.std()) == pytest.approx(intensity.to_file(x).std())
    assert intensity.std_to_network(intensity.std_to_file(0.3)) == pytest.approx(0.3)


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf")])
def test_an_intensity_that_cannot_be_undone_is_refused(scale: float) -> None:
    with pytest.raises(ValueError, match="scale above 0"):
        Intensity(0.0, scale)


def test_the_mask_is_the_brain_with_its_holes_filled() -> None:
    voxels = blob()
    voxels[6, 7, 4] = 0
    assert scan(voxels).mask[6, 7, 4]
    assert not scan(voxels).mask[0, 0, 0]


def test_a_scan_below_zero_still_has_a_mask() -> None:
    voxels = blob() - 200
    assert scan(voxels).mask.sum() == scan().mask.sum()


def test_the_key_depends_on_voxels_and_affine_alone() -> None:
    one, again = scan(), scan()
    assert one.key == again.key
    assert 0 <= one.key < 2**64
    assert scan(blob(seed=1)).key != one.key
    assert scan(affine=np.diag([3.0, 3.0, 3.1, 1.0])).key != one.key
    assert scan(affine=np.diag([3.0, 3.0, 3.0, 1.0]) * -0.0 + np.diag([3, 3, 3, 1])).key == one.key


def test_stripping_leaves_only_what_the_mask_holds() -> None:
    voxels = blob() + 5
    inside = blob() > 0
    one = scan_from_array(voxels, EYE, source=Source("a"), mask=inside)
    assert one.source.given_mask
    stripped = one.strip()
    np.testing.assert_array_equal(stripped.voxels[inside], voxels[inside])
    assert (stripped.voxels[~inside] == voxels.min()).all()


BAD = {
    "NaN": (np.where(blob() > 99, np.nan, blob()), EYE, "NaN or infinite, the first at"),
    "infinite": (np.where(blob() > 99, np.inf, blob()), EYE, "NaN or infinite"),
    "beyond float32": (blob().astype(np.float64) * 1e300, EYE, "NaN or infinite"),
    "constant": (np.full((4, 5, 6), 7.0), EYE, "every voxel is 7"),
    "empty": (np.zeros((0, 4, 4)), EYE, "no voxels"),
    "complex": (blob() * 1j, EYE, "not real numbers"),
    "zero affine": (blob(), np.zeros((4, 4)), "no size along"),
    "singular affine": (blob(), np.ones((4, 4)), "one plane"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_scan_that_cannot_be_restored_is_refused_in_one_line(name: str) -> None:
    voxels, affine, words = BAD[name]
    with pytest.raises(ScanError, match=words) as caught:
        scan_from_array(voxels, affine, source=Source("bad.nii.gz"))
    assert str(caught.value).startswith("bad.nii.gz: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (np.ones((2, 2, 2)), "its own grid|own grid"),
        (np.zeros((13, 15, 9)), "mask is empty"),
        (blob() == 0, "does the mask belong"),
    ],
)
def test_a_mask_that_does_not_fit_is_refused(mask: np.ndarray, words: str) -> None:
    with pytest.raises(ScanError, match=words):
        scan_from_array(blob(), EYE, source=Source("a"), mask=mask)
