"""Voxels keep their place whatever is done to their order."""

import numpy as np
import pytest
from hypothesis import given, settings

from tests.scans.scenes import affines, rotation
from uqrestore.scans.grid import Grid, Orientation, affine_fault, nearest_ras, resample

SHAPE = (5, 7, 4)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(affine=affines())
def test_every_voxel_keeps_its_place_when_turned_to_patient_order(affine: np.ndarray) -> None:
    native = Grid(SHAPE, affine)
    orientation = nearest_ras(affine)
    turned = orientation.apply_to_grid(native)
    index = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), axis=-1)
    place = native.position(index)
    moved = np.stack([orientation.apply(place[..., a]) for a in range(3)], axis=-1)
    wanted = np.stack(np.meshgrid(*map(np.arange, turned.shape), indexing="ij"), axis=-1)
    np.testing.assert_allclose(moved, turned.position(wanted), atol=1e-9)
    np.testing.assert_array_equal(orientation.undo(moved[..., 0]), place[..., 0])


@settings(max_examples=60, deadline=None, derandomize=True)
@given(affine=affines())
def test_the_turned_axes_point_right_anterior_superior(affine: np.ndarray) -> None:
    turned = nearest_ras(affine).apply_to_grid(Grid(SHAPE, affine))
    directions = turned.affine[:3, :3] / np.asarray(turned.spacing)
    assert (np.diag(directions) > 0).all()
    assert nearest_ras(turned.affine) == Orientation((0, 1, 2), (False, False, False))


@pytest.mark.parametrize(
    ("affine", "words"),
    [
        (np.zeros((4, 4)), "no size along array axis i"),
        (np.diag([2.0, 2.0, 0.0, 1.0]), "no size along array axis k"),
        (np.array([[1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]), "one plane"),
        (np.full((4, 4), np.nan), "NaN"),
    ],
)
def test_a_useless_affine_is_named(affine: np.ndarray, words: str) -> None:
    assert words in (affine_fault(affine) or "")
    with pytest.raises(ValueError, match=words):
        Grid(SHAPE, affine)


def test_coordinates_are_patient_coordinates_where_nothing_is_tilted() -> None:
    affine = np.diag([2.0, 3.0, 4.0, 1.0])
    affine[:3, 3] = (-10, 20, 5)
    grid = Grid(SHAPE, affine)
    np.testing.assert_allclose(grid.coordinates(1), 20 + 3 * np.arange(7))
    assert grid.tilt == pytest.approx(0)


def test_the_tilt_is_the_largest_angle_to_a_patient_axis() -> None:
    affine = np.eye(4)
    affine[:3, :3] = rotation((np.deg2rad(25), 0, 0))
    assert Grid(SHAPE, affine).tilt == pytest.approx(25)


def test_coarser_pixels_are_block_means() -> None:
    values = np.random.default_rng(0).normal(size=(6, 9, 5))
    fine = Grid((6, 9, 5), np.diag([1.0, 1.0, 1.0, 1.0]))
    affine = np.diag([2.0, 3.0, 1.0, 1.0])
    affine[:3, 3] = (0.5, 1.0, 0)
    coarse = resample(values, fine, Grid((3, 3, 5), affine))
    np.testing.assert_allclose(coarse, values.reshape(3, 2, 3, 3, 5).mean(axis=(1, 3)))


def test_finer_pixels_are_linear_between_the_old_ones() -> None:
    grid = Grid((4, 3, 5), np.diag([3.0, 3.0, 2.0, 1.0]))
    index = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1)
    slope = np.array([1.0, -2.0, 0.5])
    fine = Grid((10, 7, 5), np.diag([1.0, 1.0, 2.0, 1.0]))
    place = np.stack(np.meshgrid(*map(np.arange, fine.shape), indexing="ij"), axis=-1)
    result = resample(grid.position(index) @ slope, grid, fine)
    np.testing.assert_allclose(result, fine.position(place) @ slope, atol=1e-12)


def test_resampling_a_constant_changes_nothing_even_outside() -> None:
    grid = Grid((4, 5, 3), np.eye(4))
    affine = np.diag([1.7, 1.7, 1.0, 1.0])
    affine[:3, 3] = (-4, -4, 0)
    result = resample(np.full(grid.shape, 2.5), grid, Grid((9, 9, 3), affine))
    np.testing.assert_allclose(result, 2.5)


def test_grids_that_are_not_parallel_are_refused() -> None:
    turned = np.eye(4)
    turned[:3, :3] = rotation((0.2, 0, 0))
    with pytest.raises(ValueError, match="same way"):
        resample(np.ones((3, 3, 3)), Grid((3, 3, 3), np.eye(4)), Grid((3, 3, 3), turned))


def test_a_grid_survives_json() -> None:
    grid = Grid(SHAPE, np.diag([1.0, 2.0, 3.0, 1.0]))
    again = Grid.from_data(grid.to_data())
    assert again.shape == grid.shape
    np.testing.assert_array_equal(again.affine, grid.affine)


def test_other_voxels_over_the_same_field_keep_the_middle_of_a_transform() -> None:
    affine = np.array([[0, -3.0, 0, 5], [2, 0, 0, -7], [0, 0, 4, 1], [0, 0, 0, 1]])
    grid = Grid((12, 9, 3), affine)
    finer = grid.sampled((24, 15, 3))
    np.testing.assert_allclose(
        np.asarray(finer.spacing) * finer.shape, np.asarray(grid.spacing) * grid.shape
    )
    np.testing.assert_allclose(
        finer.position(np.array([12, 7, 1])), grid.position(np.array([6, 4, 1]))
    )
