"""Baselines minimise the objectives of sigpy's applications, in the conventions of sigpy."""

import sys
from typing import Any

import numpy as np
import pytest
import sigpy.mri.app as apps
import torch

from tests.baselines.scene import MAPS, MASK, as_complex, coil_problem, relative_error, samples
from uqrestore.baselines import BASELINES, cg_sense, l1_wavelet, total_variation
from uqrestore.operators import CoilFourier, Radon
from uqrestore.problem import Problem, simulate

WEIGHTS = MASK.astype(np.float32)


def run(app: Any) -> np.ndarray:  # noqa: ANN401
    """Return the image of an application of sigpy, which has no types."""
    return app.run()


def test_cg_sense_is_the_image_of_sigpy() -> None:
    problem = coil_problem()
    options: Any = {"lamda": 0.02, "weights": WEIGHTS, "max_iter": 300, "show_pbar": False}
    wanted = run(apps.SenseRecon(samples(problem), MAPS, **options))
    found = cg_sense(problem, weight=0.02, iterations=300)
    assert relative_error(as_complex(found), wanted) < 1e-4


def test_without_noise_cg_sense_is_the_least_squares_image_of_both() -> None:
    # Every line is sampled, so that the least-squares image is unique.
    full = CoilFourier(mask=torch.ones(MASK.shape, dtype=torch.bool), maps=torch.as_tensor(MAPS))
    y = torch.view_as_real(torch.as_tensor(samples(coil_problem()))).movedim(-1, 0).contiguous()
    wanted = run(apps.SenseRecon(samples(coil_problem()), MAPS, weights=1.0, show_pbar=False))
    found = cg_sense(Problem(full, y))
    assert relative_error(as_complex(found), wanted) < 1e-4
    assert relative_error(as_complex(full.pinv(y)), wanted) < 1e-4


def test_l1_wavelet_without_shifts_is_that_of_sigpy() -> None:
    problem = coil_problem()
    wanted = run(
        apps.L1WaveletRecon(
            samples(problem), MAPS, 0.005, weights=WEIGHTS, max_iter=600, show_pbar=False
        )
    )
    found = l1_wavelet(problem, weight=0.005, iterations=600, wavelet="db4", shifts=False)
    assert relative_error(as_complex(found), wanted) < 2e-3


def test_total_variation_minimises_the_objective_of_sigpy() -> None:
    problem, weight = coil_problem(), 0.005
    app = apps.TotalVariationRecon(
        samples(problem), MAPS, weight, weights=WEIGHTS, max_iter=1500, show_pbar=False
    )

    def objective(x: np.ndarray) -> float:
        app.x = x
        return app.objective()

    least = objective(run(app))
    found = as_complex(total_variation(problem, weight=weight, iterations=200))
    assert objective(found) == pytest.approx(least, rel=2e-3)
    # Equal primal and dual steps, its default, are much slower.
    short = run(
        apps.TotalVariationRecon(
            samples(problem), MAPS, weight, weights=WEIGHTS, max_iter=100, show_pbar=False
        )
    )
    assert objective(found) - least < 0.2 * (objective(short) - least)


@pytest.mark.parametrize("name", ["l1_wavelet", "total_variation"])
def test_without_sigpy_one_line_names_the_extra(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sigpy", None)
    with pytest.raises(ImportError, match=rf"^{name} needs sigpy: pip install 'uqrestore\[mri\]'"):
        BASELINES[name](coil_problem())


def test_cg_sense_and_back_projection_need_no_sigpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sigpy", None)
    assert torch.isfinite(cg_sense(coil_problem())).all()
    radon = Radon.sparse_view((1, 16, 16), views=8)
    projections = simulate(radon, torch.ones(1, 16, 16))
    assert torch.isfinite(BASELINES["filtered_back_projection"](projections)).all()
