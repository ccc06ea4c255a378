"""Every statistic is symmetric in truth and draws: the one condition of exact ranks."""

import dataclasses

import numpy as np
import pytest
import torch

from tests.diagnostics.worlds import world
from uqrestore.diagnostics import statistics
from uqrestore.diagnostics.battery import default_statistics
from uqrestore.diagnostics.statistics import Pool
from uqrestore.operators import Inpainting
from uqrestore.problem import Problem


def pool(*, seed: int = 0) -> Pool:
    w = world(5)
    return Pool.of(w.scenes(w.exact(8)), seed=seed)


@pytest.mark.parametrize("name", default_statistics())
def test_a_candidate_keeps_its_value_wherever_it_stands(name: str) -> None:
    before = pool()
    order = np.random.default_rng(1).permutation(9)
    after = dataclasses.replace(before, images=before.images[order])
    statistic = default_statistics()[name]

    values = statistic(before)
    assert values.shape == (9, 5)
    np.testing.assert_allclose(statistic(after), values[order], rtol=1e-9, atol=1e-12)
    assert len(np.unique(values[:, 0])) == 9, "a constant would pass any test"


def test_distances_and_means_are_what_they_say() -> None:
    p = pool()
    flat = p.images.reshape(9, 5, 16)
    others = (flat.sum(0) - flat) / 8

    np.testing.assert_allclose(
        statistics.spread(p) * (9 / 8) ** 2, np.square(flat - others).sum(-1)
    )
    distance = np.linalg.norm(flat[:, None] - flat[None], axis=-1)
    np.testing.assert_allclose(statistics.energy(p), distance.sum(1) / 8)
    mask = np.zeros((1, 4, 4), bool)
    mask[0, 1, 2] = mask[0, 3, 0] = True
    np.testing.assert_allclose(
        statistics.region(mask)(p), (p.images[:, :, 0, 1, 2] + p.images[:, :, 0, 3, 0]) / 2
    )


def test_data_fit_is_the_squared_residual() -> None:
    p = pool()
    assert p.problem is not None
    residual = p.problem.operator(torch.from_numpy(p.images)) - p.problem.y
    np.testing.assert_allclose(statistics.data_fit(p), residual.square().sum(-1))


def test_rounding_of_a_noise_free_fit_is_no_ranking() -> None:
    mask = torch.rand(1, 5, 4, generator=torch.Generator().manual_seed(0)) < 0.5
    x = np.random.default_rng(0).standard_normal((4, 3, 1, 5, 4))
    x[:, :, mask.numpy()] = x[0][:, mask.numpy()] * (1 + 1e-7 * np.arange(4)[:, None, None])
    problem = Problem(Inpainting(mask), torch.from_numpy(x[0]) * mask)

    np.testing.assert_array_equal(statistics.data_fit(Pool(x, problem)), 0)
    x[1, 2, mask.numpy()] += 1e-2
    assert statistics.data_fit(Pool(x, problem))[1, 2] > 0


def test_the_component_is_the_leading_one_of_all_candidates_with_few_or_many_pixels() -> None:
    g = np.random.default_rng(0)
    for pixels in (4, 40):
        direction = np.zeros(pixels)
        direction[1] = -1.0
        images = 0.01 * g.standard_normal((9, 2, 1, pixels))
        images += g.standard_normal((9, 2, 1, 1)) * direction
        values = statistics.component(Pool(images))
        along = images[:, :, 0, 1] - images[:, :, 0, 1].mean(0)
        np.testing.assert_allclose(values, along, atol=0.05)


def test_roughness_knows_no_size_and_detail_no_slow_waves() -> None:
    p = pool()
    doubled = dataclasses.replace(p, images=2 * p.images)
    np.testing.assert_allclose(statistics.roughness(doubled), statistics.roughness(p))

    column = np.arange(16)
    slow = np.cos(2 * np.pi * column / 16) * np.ones((3, 2, 1, 16, 1))
    fast = np.cos(2 * np.pi * 6 * column / 16) * np.ones((3, 2, 1, 16, 1))
    assert statistics.detail(Pool(slow)).max() < 1e-20
    np.testing.assert_allclose(statistics.detail(Pool(fast)), 256 * np.square(fast[0, 0]).sum())


def test_density_is_handed_the_candidates() -> None:
    w = world(5)
    p = Pool.of(w.scenes(w.exact(8)))
    density = statistics.density(lambda x: w.posterior.log_prob(torch.from_numpy(x)).numpy())

    np.testing.assert_allclose(density(p)[0], w.posterior.log_prob(w.truth).numpy())


def test_what_a_statistic_lacks_is_named() -> None:
    images = np.zeros((3, 2, 1, 4, 4))
    with pytest.raises(ValueError, match="'data fit' needs the measurements"):
        statistics.data_fit(Pool(images))
    with pytest.raises(ValueError, match="region is empty"):
        statistics.region(np.zeros((1, 4, 4), bool))
    with pytest.raises(ValueError, match=r"region has shape \(4, 4\)"):
        statistics.region(np.ones((4, 4), bool))(Pool(images))
    with pytest.raises(ValueError, match="one image per scene"):
        statistics.along(np.zeros((3, 1, 4, 4)))(Pool(images))
    with pytest.raises(ValueError, match="texture needs images"):
        statistics.roughness(Pool(np.zeros((3, 2, 16))))
