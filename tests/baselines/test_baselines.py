"""Baselines of every operator: quality, units, batches, arrays, refusals."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.baselines.scene import (
    MAPS,
    MASK,
    SHAPE,
    as_complex,
    coil_operator,
    coil_problem,
    image,
    relative_error,
    samples,
)
from uqrestore.baselines import (
    BASELINES,
    cg_sense,
    default_weight,
    filtered_back_projection,
    l1_wavelet,
    reconstruct,
    total_variation,
)
from uqrestore.operators import CoilFourier, Embedding, Inpainting, Radon, stack_operators
from uqrestore.posterior import PosteriorFile
from uqrestore.problem import Problem, simulate
from uqrestore.reports.contents import TITLES
from uqrestore.reports.sections.images import LABELS

OF_KSPACE = tuple(name for name in BASELINES if name != "filtered_back_projection")


@pytest.mark.parametrize("name", OF_KSPACE)
def test_a_baseline_is_nearer_to_the_truth_than_zero_filling(name: str) -> None:
    problem = coil_problem()
    zero = relative_error(as_complex(problem.operator.adjoint(problem.y)), image())
    assert relative_error(as_complex(BASELINES[name](problem)), image()) < 0.7 * zero


@pytest.mark.parametrize("name", OF_KSPACE)
def test_other_units_are_the_same_image_in_other_units(name: str) -> None:
    problem, factor = coil_problem(), 2.0**14
    scaled = Problem(problem.operator, factor * problem.y, factor * problem.noise_std)
    assert relative_error(BASELINES[name](scaled) / factor, BASELINES[name](problem)) < 1e-4
    plain = default_weight(name, problem) * (1 if name == "cg_sense" else factor)
    assert default_weight(name, scaled) == pytest.approx(plain, rel=1e-4)


@pytest.mark.parametrize("name", ["l1_wavelet", "total_variation"])
def test_a_scaled_operator_needs_a_scaled_weight_and_no_other_step(name: str) -> None:
    problem, factor = coil_problem(), 40.0
    operator = coil_operator()
    louder = replace(operator, maps=factor * operator.maps)
    scaled = Problem(louder, factor * problem.y, factor * problem.noise_std)
    found = BASELINES[name](scaled)
    assert relative_error(found, BASELINES[name](problem)) < 1e-3


@pytest.mark.parametrize("name", OF_KSPACE)
def test_the_weight_rises_with_the_noise_and_is_kept_where_it_is_given(name: str) -> None:
    problem = coil_problem()
    more = Problem(problem.operator, problem.y, 4 * problem.noise_std)
    power = 16 if name == "cg_sense" else 4
    assert default_weight(name, more) == pytest.approx(power * default_weight(name, problem))
    weight = default_weight(name, problem)
    given, chosen = BASELINES[name](problem, weight=weight), BASELINES[name](problem)
    torch.testing.assert_close(given, chosen)
    assert relative_error(BASELINES[name](problem, weight=20 * weight), chosen) > 0.05


def test_the_weight_of_magnitudes_is_the_noise_in_the_image() -> None:
    problem = coil_problem()
    generator = torch.Generator().manual_seed(1)
    n = 0.01 * torch.randn(400, *problem.y.shape, generator=generator) * torch.as_tensor(MASK)
    std = problem.operator.adjoint(n).std()
    assert default_weight("l1_wavelet", problem) == pytest.approx(0.4 * float(std), rel=0.1)


@pytest.mark.parametrize("name", OF_KSPACE)
def test_noise_free_data_are_explained(name: str) -> None:
    problem = coil_problem(noise_std=0.0)
    misfit = problem.operator(BASELINES[name](problem)) - problem.y
    assert float(misfit.norm() / problem.y.norm()) < 0.01


@pytest.mark.parametrize("name", OF_KSPACE)
def test_a_batch_is_its_problems_one_by_one(name: str) -> None:
    problem = coil_problem()
    shared = Problem(problem.operator, torch.stack([problem.y, 0.5 * problem.y]), 0.01)
    own = Problem(stack_operators([problem.operator] * 2), shared.y, torch.tensor([0.01, 0.01]))
    for batch in (shared, own):
        found = BASELINES[name](batch)
        for i in range(2):
            torch.testing.assert_close(found[i], BASELINES[name](batch.select(i)))


@pytest.mark.parametrize("name", OF_KSPACE)
def test_a_real_image_behind_a_phase_and_in_a_larger_field(name: str) -> None:
    phase = torch.as_tensor(np.angle(image()))
    full = CoilFourier(mask=torch.as_tensor(MASK), maps=torch.as_tensor(MAPS), phase=phase)
    operator = full @ Embedding((1, 27, 22), field_shape=SHAPE, offset=(2, 2))
    truth = torch.as_tensor(np.abs(image())[2:29, 2:24])[None]
    problem = simulate(operator, truth, noise_std=0.01, seed=0)
    found = BASELINES[name](problem)
    assert found.shape == (1, 27, 22)
    zero = relative_error(operator.adjoint(problem.y), truth)
    assert relative_error(found, truth) < 0.6 * zero


def test_projections_of_ct() -> None:
    y, x = np.mgrid[-1:1:48j, -1:1:48j]
    truth = torch.as_tensor((np.hypot(x, y) < 0.8) + 0.5 * (np.hypot(x - 0.3, y) < 0.2))[None]
    radon = Radon.sparse_view((1, 48, 48), views=20)
    problem = simulate(radon, truth.float(), noise_std=0.3, seed=0)
    back = relative_error(filtered_back_projection(problem), truth)
    assert back < 0.5
    assert relative_error(total_variation(problem, iterations=400), truth) < 0.5 * back


def test_pixels_that_are_missing_are_filled_in() -> None:
    truth = torch.ones(3, 20, 20)
    truth[1, 5:12] = 2
    mask = torch.rand(20, 20, generator=torch.Generator().manual_seed(0)) < 0.6
    problem = simulate(Inpainting(mask.expand(3, 20, 20)), truth, noise_std=0.02, seed=0)
    found = total_variation(problem)
    assert found.shape == truth.shape
    assert relative_error(found, truth) < 0.05


@pytest.mark.parametrize("name", OF_KSPACE)
def test_complex_arrays_go_in_and_come_out(name: str) -> None:
    problem = coil_problem()
    wanted = as_complex(BASELINES[name](problem))
    beyond = samples(problem) + 7 * ~MASK  # ignored
    found = reconstruct(BASELINES[name], beyond, MASK[0], MAPS, noise_std=0.01)
    assert isinstance(found, np.ndarray)
    assert found.dtype == np.complex64
    assert found.shape == SHAPE
    assert relative_error(found, wanted) < 1e-5
    tensor = reconstruct(
        BASELINES[name], torch.as_tensor(samples(problem)), MASK, MAPS, weight=0.01, iterations=7
    )
    assert isinstance(tensor, torch.Tensor)
    own = as_complex(BASELINES[name](problem, weight=0.01, iterations=7))
    assert relative_error(tensor.numpy(), own) < 1e-5


def test_random_shifts_remove_blocks_and_are_the_same_in_every_call() -> None:
    problem = coil_problem()
    found = l1_wavelet(problem)
    torch.testing.assert_close(l1_wavelet(problem), found)
    still = l1_wavelet(problem, shifts=False)
    assert relative_error(as_complex(found), image()) < relative_error(as_complex(still), image())


@pytest.mark.parametrize("name", BASELINES)
def test_every_baseline_has_a_title_and_an_attribute(name: str) -> None:
    assert name in TITLES
    assert name in LABELS
    assert isinstance(getattr(PosteriorFile, name), property)


def test_what_does_not_fit_is_refused_by_name() -> None:
    sinogram = simulate(Radon.sparse_view((1, 16, 16), views=8), torch.ones(1, 16, 16))
    with pytest.raises(ValueError, match="cg_sense reconstructs k-space but radon does not"):
        cg_sense(sinogram)
    with pytest.raises(ValueError, match=r"filtered_back_projection .* coil_fourier does not"):
        filtered_back_projection(coil_problem())
    with pytest.raises(ValueError, match=r"got kspace \(5, 31, 26\), maps \(5, 30, 26\)"):
        reconstruct(cg_sense, samples(coil_problem()), MASK, MAPS[:, :-1])
