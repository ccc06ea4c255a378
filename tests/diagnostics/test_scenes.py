"""Bad input is refused before any test runs on it, in words that say what is wanted."""

import numpy as np
import pytest
import torch

from uqrestore.diagnostics.scenes import Scenes, scene_keys, scenes_of
from uqrestore.metrics._checks import check_level
from uqrestore.operators import Identity, Inpainting
from uqrestore.problem import Problem


def randn(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def test_one_draw_has_no_spread() -> None:
    with pytest.raises(ValueError, match="at least 2 draws per scene, got 1"):
        Scenes(randn(3, 1, 5, 4), randn(1, 3, 1, 5, 4))


def test_one_scene_is_no_calibration_however_many_pixels_it_has() -> None:
    with pytest.raises(ValueError, match=r"at least 2 of them, got 1.*pixels"):
        Scenes(randn(1, 1, 50, 40), randn(9, 1, 1, 50, 40))


def test_a_truth_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"draws must be \(draw, 3, 1, 5, 4\)"):
        Scenes(randn(3, 1, 5, 4), randn(9, 3, 1, 4, 5))


def test_a_truth_in_another_unit_is_refused() -> None:
    with pytest.raises(ValueError, match="'HU' but the truth is in 'mm2/s'"):
        Scenes(randn(3, 1, 5, 4), randn(9, 3, 1, 5, 4), unit="HU", truth_unit="mm2/s")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_draws_that_are_not_finite_are_refused(bad: float) -> None:
    draws = randn(9, 3, 1, 5, 4)
    draws[2, 1, 0, 3, 3] = bad
    with pytest.raises(ValueError, match="draws hold 1 values that are NaN or infinite"):
        Scenes(randn(3, 1, 5, 4), draws)


def test_measurements_of_other_scenes_are_refused() -> None:
    problem = Problem(Identity((1, 5, 4)), torch.zeros(4, 1, 5, 4))
    with pytest.raises(ValueError, match=r"batch \(4,\).* 3 scenes"):
        Scenes(randn(3, 1, 5, 4), randn(9, 3, 1, 5, 4), problem)


def test_people_must_be_named_for_every_scene() -> None:
    with pytest.raises(ValueError, match="2 for 3 scenes"):
        Scenes(randn(3, 1, 5, 4), randn(9, 3, 1, 5, 4), groups=np.array([0, 1]))


@pytest.mark.parametrize("level", [0.0, 1.0, 90.0, -0.1])
def test_a_level_is_a_probability(level: float) -> None:
    with pytest.raises(ValueError, match=r"between 0 and 1.*90 % is written 0.9"):
        check_level("level", level)


def test_a_scene_is_known_again_in_another_type() -> None:
    images = randn(3, 1, 5, 4).astype(np.float32)
    keys = scene_keys(images)

    assert len(set(keys)) == 3
    assert scene_keys(images.astype(np.float64)) == keys
    images[0, 0, 0, 0] += 1e-3
    assert scene_keys(images)[0] != keys[0]
    assert scene_keys(images)[1:] == keys[1:]


def test_a_promoted_draw_is_no_longer_among_the_draws() -> None:
    scenes = scenes_of(torch.from_numpy(randn(3, 1, 5, 4)), torch.from_numpy(randn(9, 3, 1, 5, 4)))
    promoted = scenes.promote(4)

    np.testing.assert_array_equal(promoted.truth, scenes.draws[4])
    np.testing.assert_array_equal(promoted.draws[:4], scenes.draws[:4])
    np.testing.assert_array_equal(promoted.draws[4:], scenes.draws[5:])


def test_picked_scenes_keep_their_measurements_and_people() -> None:
    g = torch.Generator().manual_seed(0)
    mask = torch.rand(4, 1, 5, 4, generator=g) < 0.7
    x = torch.from_numpy(randn(4, 1, 5, 4))
    operator = Inpainting(mask)
    noise_std = torch.tensor([0.1, 0.2, 0.3, 0.4])
    problem = Problem(operator, operator(x), noise_std)
    scenes = Scenes(x.numpy(), randn(3, 4, 1, 5, 4), problem, groups=np.array([7, 7, 8, 9]))
    picked = scenes.pick(np.flatnonzero(scenes.groups != 8))

    assert scenes.people == 3
    assert picked.people == 2
    np.testing.assert_array_equal(picked.truth, scenes.truth[[0, 1, 3]])
    np.testing.assert_array_equal(picked.draws, scenes.draws[:, [0, 1, 3]])
    assert picked.problem is not None
    torch.testing.assert_close(picked.problem.y, problem.y[[0, 1, 3]])
    torch.testing.assert_close(picked.problem.noise_std, noise_std[[0, 1, 3]])
    torch.testing.assert_close(picked.problem.operator(x[[0, 1, 3]]), problem.y[[0, 1, 3]])
    with pytest.raises(ValueError, match="at least 2 of them, got 1"):
        scenes.pick(np.array([2]))
