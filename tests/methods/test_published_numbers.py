"""What the published samplers do to one voxel, to the digits on record.

Prior N(0, 1), ``y = x + noise_std n = 1``, levels of the linear DDPM schedule; ratios are variances
of the draws over that of the exact posterior.
"""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from tests.methods.tapes import moments, pair_prior, pair_problem, scalar_prior, scalar_problem
from uqrestore.diffusion.schedules import karras_sigmas
from uqrestore.methods import METHODS

PIGDM = {"weight": "one", "sampler": "euler", "eta": 0.2, "eta_mode": "fixed", "data_std": 1.0}
PIGDM_RIGHT = {"sampler": "euler", "data_std": 1.0}
DIFFPIR = {"grid": "ddpm", "eta_mode": "fixed"}


def published(steps: int) -> dict[str, Any]:
    return {"preset": "published", "steps": steps}


TWENTY = [(0.7924, 0.324), (0.9714, 1.796), (0.9730, 8.63)]
ROWS: list[tuple[str, dict[str, Any], list[tuple[float, float]]]] = [
    ("ddrm", published(20), TWENTY),
    ("ddrm", published(100), [(0.8467, 0.229), (0.9883, 0.421), (0.9951, 0.844)]),
    ("ddrm", published(1000), [(0.9394, 0.084), (0.9937, 0.188), (0.9977, 0.295)]),
    ("ddnm_plus", published(20), TWENTY),
    ("pigdm", PIGDM, [(1.0374, 0.026), (1.0040, 0.016), (1.0016, 0.013)]),
    ("pigdm", PIGDM_RIGHT, [(0.7976, 0.940), (0.9895, 0.779), (0.9972, 0.627)]),
    ("pigdm", PIGDM_RIGHT | {"steps": 1000}, [(0.7977, 0.993), (0.9895, 0.966), (0.9972, 0.920)]),
    ("diffpir", DIFFPIR, [(0.8315, 0.776), (0.9905, 0.696), (0.9976, 0.570)]),
    ("diffpir", DIFFPIR | {"strength": 1.75}, [(0.7490, 1.177), (0.9837, 1.270), (0.9958, 1.094)]),
]


def _row(row: tuple[str, dict[str, Any], list[tuple[float, float]]]) -> object:
    return pytest.param(*row, marks=[pytest.mark.slow] * (row[1].get("steps") == 1000))


@pytest.mark.parametrize(("name", "options", "expected"), [_row(row) for row in ROWS])
def test_a_seen_voxel(
    name: str, options: dict[str, Any], expected: list[tuple[float, float]]
) -> None:
    for noise_std, (mean, ratio) in zip((0.5, 0.1, 0.05), expected, strict=True):
        problem = scalar_problem(1.0, noise_std)
        got_mean, variance = moments(
            lambda n, p=problem: METHODS[name](p, scalar_prior(), n, **options)
        )
        exact = noise_std**2 / (1 + noise_std**2)
        assert got_mean.item() == pytest.approx(mean, abs=1e-3)
        assert variance.item() / exact == pytest.approx(ratio, abs=1e-3, rel=1e-3)


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("ddnm", {"preset": "published"}, 0.72467846),
        ("ddnm", {"eta": 0.8, "eta_mode": "fixed"}, 0.76068974),
        ("ddnm", {"eta": 0.0}, 0.96403106),
        ("ddnm", {"eta": 1.0, "eta_mode": "fixed"}, 0.47043477),
        ("ddnm", {"eta": 1.0, "eta_mode": "consistent"}, 0.9216),
        ("ddnm", {"preset": "published", "steps": 20}, 0.6342),
        ("ddnm", {"preset": "published", "steps": 250}, 0.7432),
        ("ddnm_plus", {"preset": "published"}, 0.7247),
        ("ssd", {"eta_mode": "fixed"}, 0.771),
    ],
)
def test_an_unseen_voxel(name: str, options: dict[str, Any], expected: float) -> None:
    """Unit prior variance beside a voxel that is seen without noise."""
    _, covariance = moments(lambda n: METHODS[name](pair_problem(), pair_prior(), n, **options))
    assert covariance[1, 1].item() == pytest.approx(
        expected, abs=1e-4 if expected != 0.771 else 1e-3
    )
    assert covariance[0].abs().max() < 1e-20


def daps_recursion(
    levels: list[float],
    s: float,
    noise_std: float,
    *,
    misfit: float,
    steps: int,
    decay: bool = True,
) -> tuple[float, float]:
    """Mean and variance of the last Langevin state, in closed form."""
    mean, variance, last = 0.0, levels[0] ** 2, 0.0
    for k, (sigma, below) in enumerate(pairwise(levels)):
        path = karras_sigmas(6, min(0.01, sigma / 2), sigma)[:-1].tolist()
        p = np.prod([1 / (1 + a * a) + b / a * (1 - 1 / (1 + a * a)) for a, b in pairwise(path)])
        curvature = 1 / sigma**2 + misfit * s**2 / noise_std**2
        step = 1e-4 * (1 - 0.99 * k / len(levels) if decay else 1)
        a = 1 - step * curvature
        rest = (p * mean / sigma**2 + misfit * s / noise_std**2) / curvature
        mean = float(rest + a**steps * (p * mean - rest))
        fresh = 2 * step * sum(a ** (2 * i) for i in range(steps))
        share = (1 - a**steps) / (sigma**2 * curvature) + a**steps
        last = float((share * p) ** 2 * variance + fresh)
        variance = last + below**2
    return mean, last


@pytest.mark.parametrize(
    ("misfit", "tau", "expected"),
    [
        (2.0, 0.01, [(0.9999, 0.0003), (0.9999, 0.006), (0.9999, 0.022)]),
        (1.0, 0.01, [(0.9990, 0.002), (0.9990, 0.032), (0.9990, 0.128)]),
        (1.0, None, [(0.0741, 3.68), (0.7403, 19.2), (0.9366, 20.6)]),
    ],
)
def test_daps_with_its_published_constants(
    misfit: float, tau: float | None, expected: list[tuple[float, float]]
) -> None:
    levels = [*karras_sigmas(201, 0.1, 100.0)[:200].tolist(), 0.0]
    assert levels[199] == pytest.approx(0.10604, abs=1e-5)
    for noise_std, (mean, ratio) in zip((0.5, 0.1, 0.05), expected, strict=True):
        got, variance = daps_recursion(levels, 1.0, tau or noise_std, misfit=misfit, steps=100)
        assert got == pytest.approx(mean, abs=1e-4)
        exact = noise_std**2 / (1 + noise_std**2)
        assert variance / exact == pytest.approx(ratio, abs=6e-4, rel=5e-3)


def test_daps_leaves_an_unseen_voxel_short() -> None:
    levels = [*karras_sigmas(201, 0.1, 100.0)[:200].tolist(), 0.0]
    assert daps_recursion(levels, 0.0, 1.0, misfit=2.0, steps=100)[1] == pytest.approx(
        0.808, abs=1e-3
    )


@pytest.mark.parametrize("preset", ["published", "legacy"])
def test_the_sampler_is_the_recursion(preset: str) -> None:
    levels = [*karras_sigmas(7, 0.1, 100.0)[:6].tolist(), 0.0]
    misfit = {"published": 2.0, "legacy": 1.0}[preset]
    problem = scalar_problem(1.0, 0.05)
    mean, variance = moments(
        lambda n: METHODS["daps"](
            problem, scalar_prior(), n, preset=preset, sigmas=levels, langevin_steps=23
        )
    )
    want = daps_recursion(levels, 1.0, 0.01, misfit=misfit, steps=23)
    assert mean.item() == pytest.approx(want[0], rel=1e-10)
    assert variance.item() == pytest.approx(want[1], rel=1e-10)
    torch.testing.assert_close(variance, variance.T)


def test_daps_at_its_published_length_is_too_sure_of_itself() -> None:
    problem = scalar_problem(1.0, 0.1)
    mean, variance = moments(
        lambda n: METHODS["daps"](problem, scalar_prior(), n, preset="published")
    )
    assert mean.item() == pytest.approx(0.9999, abs=1e-4)
    assert variance.item() / (0.01 / 1.01) == pytest.approx(0.006, abs=6e-4)
