"""Right components have z-scores of variance 1 and capture the energy they claim."""

import dataclasses

import numpy as np
import pytest
import torch

from tests.conformal.test_component_box import components
from uqrestore.conformal.component_scores import measured_energy, orthonormal, score_components
from uqrestore.operators import Matrix
from uqrestore.priors import GaussianPrior
from uqrestore.problem import Problem


def test_right_components_are_found_right_and_short_ones_short() -> None:
    half = components(1000)
    right = score_components(dataclasses.replace(half, std=2 * half.std))

    for estimate in right.variance:
        assert estimate.value == pytest.approx(1, abs=0.15)
        assert estimate.low < 1 < estimate.high
    for estimate in right.mean:
        assert abs(estimate.value) < 0.12
    assert right.largest_correlation < 2.5 * right.correlation_limit
    assert all(estimate.low > 3 for estimate in score_components(half).variance)


def test_captured_energy_is_that_of_the_spectrum() -> None:
    power = 1 / np.arange(1, 21) ** 2.0
    found = score_components(components(1000))
    wanted = np.cumsum(power[:3]) / power.sum()
    np.testing.assert_allclose([part.value for part in found.captured], wanted, atol=0.04)
    assert found.residual.value == pytest.approx(np.sqrt(1 - wanted[2]), abs=0.15)


def test_shared_errors_are_seen_as_correlation() -> None:
    c = components(800)
    mixed = (c.directions[:, 0] + c.directions[:, 1]) / np.sqrt(2)
    other = (c.directions[:, 0] - c.directions[:, 1]) / np.sqrt(2)
    turned = np.stack([mixed, other, c.directions[:, 2]], axis=1)
    found = score_components(dataclasses.replace(c, directions=turned))
    assert found.largest_correlation > 5 * found.correlation_limit


def test_orthonormal_directions_span_the_same_in_the_same_order() -> None:
    g = np.random.default_rng(0)
    rows = g.standard_normal((4, 3, 1, 5, 4))
    found = orthonormal(rows).reshape(4, 3, 20)

    np.testing.assert_allclose(
        found @ found.swapaxes(-1, -2), np.broadcast_to(np.eye(3), (4, 3, 3)), atol=1e-12
    )
    first = rows[:, 0].reshape(4, 20)
    np.testing.assert_allclose(found[:, 0], first / np.linalg.norm(first, axis=1, keepdims=True))
    flat = rows.reshape(4, 3, 20)
    np.testing.assert_allclose(np.einsum("skp,sjp,sjq->skq", flat, found, found), flat)


def test_the_truth_as_its_own_centre_is_refused() -> None:
    c = components(5)
    with pytest.raises(ValueError, match="no error at all"):
        score_components(dataclasses.replace(c, centre=c.truth))


def test_the_log_score_is_that_of_scoringrules_and_best_for_the_right_std() -> None:
    import scoringrules

    c = components(400)
    right, long = (dataclasses.replace(c, std=factor * c.std) for factor in (2, 5))
    along = right.z * right.std
    wanted = np.asarray(scoringrules.logs_normal(along, 0 * along, right.std)).sum(1).mean()
    assert score_components(right).log_score.value == pytest.approx(wanted)
    assert wanted < score_components(c).log_score.value
    assert wanted < score_components(long).log_score.value


def test_right_components_lie_where_the_data_are_weak() -> None:
    g = torch.Generator().manual_seed(0)
    spread = torch.randn(20, 20, generator=g, dtype=torch.float64)
    gaussian = GaussianPrior.from_covariance(
        torch.zeros(1, 5, 4, dtype=torch.float64), spread @ spread.mT
    )
    operator = Matrix(torch.randn(9, 20, generator=g, dtype=torch.float64), (1, 5, 4))
    problem = Problem(operator, torch.zeros(3, 9, dtype=torch.float64), 0.2)
    directions, std = gaussian.posterior(problem).components(4)
    energy = measured_energy(directions.numpy(), std.numpy(), problem)

    assert energy.shape == (3, 4)
    assert (energy <= 1 + 1e-9).all()
    prior, prior_std = gaussian.components(4)
    wrong = np.broadcast_to(prior.numpy(), (3, 4, 1, 5, 4))
    assert measured_energy(wrong, np.tile(prior_std.numpy(), (3, 1)), problem).min() > 10
    with pytest.raises(ValueError, match="noise_std is 0"):
        measured_energy(directions.numpy(), std.numpy(), Problem(operator, problem.y))
