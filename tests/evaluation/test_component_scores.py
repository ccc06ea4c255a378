"""Right components have z-scores of variance 1 and capture the energy they claim."""

import dataclasses

import numpy as np
import pytest

from tests.evaluation.test_component_box import components
from uqrestore.evaluation.component_scores import orthonormal, score_components


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
