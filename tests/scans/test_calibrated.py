"""CT keeps its Hounsfield units: the scale is the prior's, whatever a scan holds."""

from pathlib import Path

import numpy as np
import pytest

from tests.front import exact_inpainting, read, tiny_prior, use_prior
from uqrestore.posterior import open_posterior, validate
from uqrestore.restoration.options import RunOptions
from uqrestore.restoration.restore import restore
from uqrestore.scans import (
    FixedScale,
    Scan,
    ScanError,
    Source,
    on_fixed_scale,
    scan_from_array,
)

HU = FixedScale(-1000.0, 1000.0, "HU")
AFFINE = np.diag([4.0, 4.0, 5.0, 1.0])


def ct(metal: float = 3000.0, outside: float = -2000.0) -> Scan:
    """Return a body with lungs of air and a rod of metal, on a table, in a round field of view."""
    y, x = np.mgrid[-1:1:18j, -1:1:14j]
    body = (x / 0.7) ** 2 + (y / 0.6) ** 2 < 1
    lung = ((x - 0.3) / 0.2) ** 2 + (y / 0.3) ** 2 < 1
    plane = np.where(body, 40.0, -1000.0)
    plane[lung & body] = -850.0
    plane[8, 5] = metal
    plane[2, 3:11] = 0.0  # the table
    plane[0, :2] = outside
    voxels = np.repeat(plane.T[:, :, None], 4, axis=2)
    return scan_from_array(voxels, AFFINE, source=Source("ct.nii.gz", "NIfTI", space_code=1))


def test_the_scale_is_the_priors_and_what_lies_outside_is_cut_and_noted() -> None:
    plain = ct()
    scan = on_fixed_scale(plain, HU)
    assert scan.intensity.to_file(1.0) == 1000
    assert scan.intensity.to_file(-1.0) == -1000
    assert scan.intensity.unit == "HU"
    assert scan.voxels.min() == -1000
    assert scan.voxels.max() == 1000
    inside = np.abs(plain.voxels) <= 1000
    np.testing.assert_array_equal(scan.voxels[inside], plain.voxels[inside])
    assert scan.source.note == "1.2 % of the voxels cut to -1000 ... 1000 HU"
    assert on_fixed_scale(ct(500, -1000), HU).source.note == ""
    assert on_fixed_scale(plain, None) is plain
    card_range = {"low": -1000, "high": 1000, "unit": "HU"}
    np.testing.assert_array_equal(on_fixed_scale(plain, card_range).voxels, scan.voxels)


def test_the_mask_is_the_body_with_its_lungs_and_without_the_table() -> None:
    scan = on_fixed_scale(ct(), HU)
    assert scan.mask[9, 8].all(), "a lung"
    assert not scan.mask[5, 2].any(), "the table"
    assert not scan.mask[0, 0].any(), "air"
    assert 0.2 < scan.mask.mean() < 0.4


def test_values_that_are_no_hounsfield_units_are_refused() -> None:
    raw = scan_from_array(ct().voxels + 2000, AFFINE, source=Source("raw.nii.gz"))
    with pytest.raises(ScanError, match=r"from 0 to 5000 are not in HU, where air is -1000"):
        on_fixed_scale(raw, HU)


def test_a_restored_ct_is_in_hounsfield_units(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_prior(monkeypatch, tiny_prior(), range=HU)
    pipeline = exact_inpainting(tmp_path, 0.6)
    lines: list[str] = []

    out = restore(pipeline, ct(), tmp_path / "o.h5", RunOptions(slices=[1]), notify=lines.append)

    assert validate(out) == []
    truth, draws = read(out, "reference/truth"), read(out, "posterior/image")[0]
    assert truth.min() == -1000
    assert truth.max() == 1000
    with open_posterior(out) as tree:
        assert tree["posterior"]["image"].attrs["units"] == "HU"
    y = read(out, "observed_data/y")[0, 0]
    seen = y != 0
    np.testing.assert_allclose(draws[:, 0, seen] - y[seen], 0, atol=1)
    assert any("cut to -1000 ... 1000 HU" in line for line in lines)
