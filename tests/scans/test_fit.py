"""A scan cut to a model's slices, and the way back."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.scans.scenes import affines, blob, scan
from uqrestore.scans import Placement, ScanError, Source, fit_to_model, scan_from_array


def test_rows_run_to_anterior_and_columns_to_the_right() -> None:
    voxels = blob()
    voxels[9, 4, 3] = 500
    slices = fit_to_model(scan(voxels), (15, 13))
    assert slices.images.shape == (9, 1, 15, 13)
    assert slices.images[3, 0, 4, 9] == 500
    assert slices.note == "the scan's own grid, unchanged"


@settings(max_examples=25, deadline=None, derandomize=True)
@given(affine=affines(), rows=st.integers(14, 24), columns=st.integers(14, 24))
def test_slices_come_back_to_the_files_grid_unchanged(
    affine: np.ndarray, rows: int, columns: int
) -> None:
    one = scan(affine=affine)
    slices = fit_to_model(one, (rows, columns))
    placement = Placement.from_data(json.loads(json.dumps(slices.placement.to_data())))
    volume = slices.images[:, 0].transpose(2, 1, 0)
    back = placement.to_native(volume, fill=0.0)
    np.testing.assert_array_equal(back, blob())
    index = np.argwhere(volume > 0)[::17]
    place = placement.model.position(index)
    inverse = np.linalg.inv(affine)
    native = np.round(place @ inverse[:3, :3].T + inverse[:3, 3]).astype(int)
    np.testing.assert_allclose(one.native.position(native), place, atol=1e-6)
    np.testing.assert_array_equal(blob()[tuple(native.T)], volume[tuple(index.T)])


def test_a_crop_never_cuts_the_brain_and_is_noted() -> None:
    voxels = np.zeros((30, 33, 4), np.float32)
    voxels[20:29, 3:14, 1:3] = blob((9, 11, 2)) + 50
    slices = fit_to_model(scan(voxels), (13, 12))
    assert (slices.images > 0).sum() == (voxels > 0).sum()
    assert "cropped" in slices.note
    back = slices.placement.to_native(slices.images[:, 0].transpose(2, 1, 0), fill=0.0)
    np.testing.assert_array_equal(back, voxels)


def test_padding_takes_the_darkest_value() -> None:
    voxels = blob() - 3
    slices = fit_to_model(scan(voxels), (20, 20))
    assert slices.images[0, 0, 0, 0] == -3
    assert "padded" in slices.note
    assert not slices.mask[:, 0].any()


def test_a_brain_larger_than_the_field_of_view_is_refused() -> None:
    with pytest.raises(
        ScanError, match="its brain region is 27 x 33 mm but the model sees 24 x 24"
    ):
        fit_to_model(scan(), (8, 8))


def test_nothing_is_resampled_unless_asked() -> None:
    one = scan(blob((26, 30, 5)), np.diag([1.5, 1.5, 4.0, 1.0]))
    with pytest.raises(ScanError, match=r"1.5 x 1.5 mm but the model's are 3 mm; pass --resample"):
        fit_to_model(one, (15, 13), voxel_size=3.0)
    slices = fit_to_model(one, (15, 13), voxel_size=3.0, resample=True)
    assert slices.placement.resampled
    assert slices.placement.model.spacing == pytest.approx((3.0, 3.0, 4.0))
    blocks = one.voxels.reshape(13, 2, 15, 2, 5).mean(axis=(1, 3)).transpose(2, 1, 0)
    np.testing.assert_allclose(slices.images[:, 0], blocks, rtol=1e-5)
    assert "resampled in plane from 1.5 x 1.5 mm to 3 x 3 mm" in slices.note


def test_a_resampled_map_keeps_its_place_on_the_native_grid() -> None:
    affine = np.diag([-1.5, 1.5, 2.0, 1.0])
    one = scan(blob((26, 30, 5)), affine)
    slices = fit_to_model(one, (15, 13), voxel_size=3.0, resample=True)
    model = slices.placement.model
    index = np.stack(np.meshgrid(*map(np.arange, model.shape), indexing="ij"), axis=-1)
    slope = np.array([0.3, -1.0, 2.0])
    back = slices.placement.to_native((model.position(index) @ slope).astype(np.float32))
    native = np.stack(np.meshgrid(*map(np.arange, one.native.shape), indexing="ij"), axis=-1)
    known = np.isfinite(back)
    assert known.mean() > 0.7
    wanted = one.native.position(native) @ slope
    inner = known.copy()
    inner[[0, -1]] = inner[:, [0, -1]] = False
    np.testing.assert_allclose(back[inner], wanted[inner], atol=1e-4)


def test_slices_are_picked_through_the_whole_brain() -> None:
    slices = fit_to_model(scan(blob((13, 15, 40))), (15, 13))
    picked = slices.pick(6)
    assert len(picked) == 6
    assert np.diff(picked).min() >= 4
    assert slices.mask[list(picked)].any(axis=(1, 2)).all()
    every = slices.pick(None)
    assert every == tuple(np.flatnonzero(slices.mask.any(axis=(1, 2))))
    assert slices.pick(1000) == tuple(k for k in every if k in slices.pick(1000))


def test_a_given_mask_is_what_is_centred() -> None:
    head = np.full((40, 40, 3), 5.0)
    head[0, 0, 0] = 1
    mask = np.zeros((40, 40, 3), bool)
    mask[2:10, 30:38] = True
    head[mask] = np.random.default_rng(0).uniform(50, 90, mask.sum())
    one = scan_from_array(head, np.eye(4), source=Source("head.nii"), mask=mask)
    slices = fit_to_model(one, (12, 12))
    assert slices.mask.sum() == mask.sum()
