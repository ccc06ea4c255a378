"""Bounds equal independent computations and fail no more often than stated."""

import math

import numpy as np
import pytest

from uqrestore.conformal.bounds import (
    BOUNDS,
    BoundName,
    betting_bound,
    hoeffding_bentkus_bound,
    hoeffding_bentkus_p_value,
    smallest_count,
)


def test_hoeffding_bentkus_p_values_are_those_of_mapie() -> None:
    from mapie.risk_control.methods import compute_hoeffding_bentkus_p_value

    means = np.array([0.0, 0.013, 0.05, 0.0999, 0.2, 0.7])
    for n in (7, 40, 333):
        for alpha in (0.05, 0.1, 0.3):
            wanted = compute_hoeffding_bentkus_p_value(means, n, alpha)[:, 0]
            got = [hoeffding_bentkus_p_value(float(mean), n, alpha) for mean in means]
            np.testing.assert_allclose(got, np.minimum(wanted, 1), rtol=1e-10)


def test_the_hoeffding_bentkus_bound_inverts_its_p_value() -> None:
    losses = np.random.default_rng(0).beta(1, 9, 80)
    bound = hoeffding_bentkus_bound(losses, 0.1)
    mean = float(losses.mean())

    # The p-value jumps nowhere in the risk, so it equals delta there.
    assert hoeffding_bentkus_p_value(mean, 80, bound) == pytest.approx(0.1, rel=1e-6)
    assert hoeffding_bentkus_p_value(mean, 80, bound + 1e-3) < 0.1


def test_the_hoeffding_bentkus_bound_is_below_hoeffdings_of_mapie() -> None:
    from mapie.risk_control.methods import get_r_hat_plus

    losses = np.random.default_rng(0).beta(2, 9, (80, 1))
    grid = np.linspace(0, 1, 101)
    _, hoeffding = get_r_hat_plus(losses, grid, "rcps", "hoeffding", 0.1, 0.25)
    assert hoeffding[0] == pytest.approx(losses.mean() + math.sqrt(math.log(10) / 160))
    assert losses.mean() < hoeffding_bentkus_bound(losses[:, 0], 0.1) <= hoeffding[0]


def wealth(losses: np.ndarray, risk: float, delta: float) -> float:
    """Bet scene by scene, as the paper tells it."""
    n, mean_sum, square_sum, variance, now, best = len(losses), 0.5, 0.25, 0.25, 1.0, 0.0
    for i, loss in enumerate(losses, start=1):
        stake = min(1.0, math.sqrt(2 * math.log(1 / delta) / (n * variance)))
        now *= 1 - stake * (loss - risk)
        best = max(best, now)
        mean_sum += loss
        square_sum += (loss - mean_sum / (1 + i)) ** 2
        variance = square_sum / (1 + i)
    return best


@pytest.mark.parametrize("delta", [0.01, 0.1, 0.3])
def test_the_betting_bound_is_where_the_wealth_reaches_its_mark(delta: float) -> None:
    g = np.random.default_rng(1)
    for losses in (g.beta(1, 20, 51), g.random(30), (g.random(64) < 0.1).astype(float)):
        bound = betting_bound(losses, delta)
        assert wealth(losses, bound + 1e-6, delta) > 1 / delta
        assert bound < 1e-6 or wealth(losses, bound - 1e-6, delta) < 1 / delta


def test_the_betting_bound_is_that_of_mapie_where_losses_are_constant() -> None:
    # Elsewhere MAPIE 1.6 adds the maxima of two halves of the wealth, which is not a maximum
    # of the whole and lies above it: its bound is then too low.
    from mapie.risk_control.methods import get_r_hat_plus

    grid = np.linspace(0, 1, 1001)
    losses = np.full((60, 1001), 0.1)
    _, wanted = get_r_hat_plus(losses, grid, "rcps", "wsr", 0.1, 0.25)
    assert betting_bound(losses[:, 0], 0.1) == pytest.approx(wanted[0], abs=1e-3)

    varied = np.repeat(np.random.default_rng(0).beta(1, 9, (60, 1)), 1001, axis=1)
    _, lower = get_r_hat_plus(varied, grid, "rcps", "wsr", 0.1, 0.25)
    assert lower[0] <= betting_bound(varied[:, 0], 0.1) + 1e-3


@pytest.mark.parametrize("bound", BOUNDS)
@pytest.mark.parametrize("kind", ["coin", "beta", "two values"])
def test_bounds_fail_no_more_often_than_stated(bound: BoundName, kind: str) -> None:
    g = np.random.default_rng(2)
    draw = {
        "coin": lambda: (g.random(60) < 0.1).astype(float),
        "beta": lambda: g.beta(0.5, 4.5, 60),
        "two values": lambda: np.where(g.random(60) < 0.02, 1.0, 0.08 / 0.98),
    }[kind]
    delta, runs = 0.2, 400
    failures = np.mean([BOUNDS[bound](draw(), delta) < 0.1 - 1e-9 for _ in range(runs)])
    assert failures <= delta + 2 * math.sqrt(delta * (1 - delta) / runs)


def test_the_betting_bound_is_tighter_where_scenes_resemble_each_other() -> None:
    losses = np.random.default_rng(0).normal(0.075, 0.03, 200).clip(0, 1)
    assert betting_bound(losses, 0.1) < 0.09 < 0.1 < hoeffding_bentkus_bound(losses, 0.1)


@pytest.mark.parametrize(("alpha", "count"), [(0.2, 11), (0.1, 22), (0.05, 45), (0.01, 230)])
def test_the_smallest_count_certifies_and_one_less_does_not(alpha: float, count: int) -> None:
    assert smallest_count(alpha, 0.1, "hb") == count
    for bound in BOUNDS:
        least = smallest_count(alpha, 0.1, bound)
        assert (
            BOUNDS[bound](np.zeros(least), 0.1) < alpha <= BOUNDS[bound](np.zeros(least - 1), 0.1)
        )


def test_a_total_loss_is_bounded_by_one() -> None:
    for bound in BOUNDS.values():
        assert bound(np.ones(30), 0.1) == 1.0


def test_losses_outside_of_zero_and_one_are_refused() -> None:
    for bound in BOUNDS.values():
        with pytest.raises(ValueError, match=r"lie in \[0, 1\] but go from 0 to 1.5"):
            bound(np.array([0.0, 1.5]), 0.1)
        with pytest.raises(ValueError, match="at least 2 people or scenes, got 1"):
            bound(np.array([0.5]), 0.1)
        with pytest.raises(ValueError, match="delta is a probability"):
            bound(np.array([0.5, 0.1]), 0.0)
