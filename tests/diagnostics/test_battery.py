"""The battery finds every fault of the specification and leaves right samplers alone."""

import dataclasses
import functools

import numpy as np
import pytest
import torch

from tests.diagnostics.worlds import FAULTS, LOG, World, world
from uqrestore.diagnostics import statistics
from uqrestore.diagnostics.battery import Battery, default_statistics, run_battery
from uqrestore.diagnostics.ranks import rank_test
from uqrestore.diagnostics.statistics import Pool

SCENES, DRAWS = 400, 99

# What the verdict must say of each fault.
VERDICTS = {
    "prior draws": "explain the measurement worse than the truth does",
    "std x 0.8": "too narrow",
    "std x 1.25": "too wide",
    "bias 0.3 std": "too high in the region",
    "chequered bias": "Neighbouring pixels",
    "marginals only": "lack the correlations between pixels",
    "one mode": "missing mode",
}


@functools.cache
def study() -> tuple[World, torch.Tensor]:
    w = world(SCENES)
    return w, w.exact(DRAWS)


def verdict_of(fault: str) -> Battery:
    w, draws = study()
    return run_battery(w.scenes(FAULTS[fault](w, draws)))


def test_eight_statistics_stand_in_the_battery() -> None:
    assert len(default_statistics()) == 8


@pytest.mark.parametrize("fault", FAULTS)
def test_the_fault_is_found_and_named(fault: str) -> None:
    battery = verdict_of(fault)
    LOG.info("%s: %s", fault, battery.verdict)

    assert battery.p_value < 1e-3
    assert not battery.passed
    assert VERDICTS[fault] in battery.verdict
    assert battery.findings[0].statistic in battery.verdict


def test_each_statistic_alone_would_miss_a_fault() -> None:
    found = {
        name: {f.statistic for f in verdict_of(name).findings if f.test.p_value < 1e-3}
        for name in FAULTS
    }
    for statistic in default_statistics():
        assert any(statistic not in caught for caught in found.values())


def test_exact_draws_pass() -> None:
    w, draws = study()
    battery = run_battery(w.scenes(draws))

    assert battery.passed
    assert battery.p_value > 0.01
    assert battery.verdict.startswith("No fault found by 8 tests at level 0.01 (400 scenes")


@pytest.mark.slow
def test_at_most_one_false_alarm_in_twenty_seeds() -> None:
    p_values = []
    for seed in range(1, 21):
        w = world(SCENES, seed=seed)
        p_values.append(run_battery(w.scenes(w.exact(DRAWS, seed=seed)), seed=seed).p_value)
    LOG.info("smallest p-values of 20 right samplers: %s", np.sort(p_values)[:3])
    assert sum(p <= 0.01 for p in p_values) <= 1


@pytest.mark.slow
@pytest.mark.parametrize("draws", [9, 19, 99])
def test_every_statistic_of_the_battery_has_the_right_size(draws: int) -> None:
    """One thousand null studies of 50 scenes: 50 000 scenes, cut into thousands."""
    runs, scenes, block = 1000, 50, 500
    rejected = dict.fromkeys(default_statistics(), 0)
    for start in range(0, runs * scenes, block):
        w = world(block, seed=start)
        pool = Pool.of(w.scenes(w.exact(draws, seed=start)), seed=start)
        for name, statistic in default_statistics().items():
            values = statistic(pool).reshape(draws + 1, -1, scenes)
            for run in range(block // scenes):
                test = rank_test(values[:, run], np.random.default_rng([start, run]))
                rejected[name] += test.p_value < 0.05
    sizes = {name: count / runs for name, count in rejected.items()}
    LOG.info("size with %d draws: %s", draws, sizes)
    assert all(0.03 <= size <= 0.07 for size in sizes.values()), sizes


def test_a_statistic_of_the_user_joins_with_its_description() -> None:
    w, draws = study()
    chosen = default_statistics() | {
        "the organ": statistics.region(np.eye(4, dtype=bool)[None]),
    }
    battery = run_battery(w.scenes(draws + 2 * torch.eye(4)), chosen)

    assert len(battery.findings) == 9
    words = {f.statistic: f.words for f in battery.findings}
    assert words["the organ"] == "the draws are too high in the organ"


def test_the_verdict_goes_into_json() -> None:
    data = verdict_of("std x 0.8").to_data()

    assert data["verdict"] == verdict_of("std x 0.8").verdict
    assert [sum(row["histogram"]) for row in data["statistics"]] == [SCENES] * 8


def test_the_verdict_says_of_how_many_people_the_scenes_are() -> None:
    w, draws = study()
    scenes = dataclasses.replace(w.scenes(draws), groups=np.arange(SCENES) % 3)
    assert "(400 scenes of 3 people, 99 draws each" in run_battery(scenes).verdict


def test_the_same_seed_gives_the_same_verdict() -> None:
    w, draws = study()
    scenes = w.scenes(draws)
    first, second = run_battery(scenes, seed=3), run_battery(scenes, seed=3)
    assert first.to_data() == second.to_data()


def test_levels_and_empty_batteries_are_refused() -> None:
    w, draws = study()
    with pytest.raises(ValueError, match="between 0 and 1"):
        run_battery(w.scenes(draws), level=1.5)
    with pytest.raises(ValueError, match="at least one statistic"):
        run_battery(w.scenes(draws), {})
