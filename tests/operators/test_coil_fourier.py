"""Multi-coil k-space: what coils and phase mean, and how the solver exploits lines."""

import dataclasses

import pytest
import torch
from torch import Generator, Tensor

from uqrestore.operators import CoilFourier, MaskedFourier
from uqrestore.operators.masks import cartesian


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=Generator().manual_seed(seed), dtype=torch.float64)


def smooth_maps(coils: int, rows: int, columns: int) -> Tensor:
    """Coils around the image, each most sensitive to its own side; unit norm over the coils."""
    i = torch.linspace(-1, 1, rows, dtype=torch.float64)[:, None]
    j = torch.linspace(-1, 1, columns, dtype=torch.float64)
    angle = 2 * torch.pi * torch.arange(coils)[:, None, None] / coils
    size = torch.exp(-((i - angle.sin()) ** 2) - (j - angle.cos()) ** 2)
    maps = torch.polar(size, angle + 2 * j * angle.sin() + i)
    return maps / size.square().sum(0).sqrt()


@pytest.mark.parametrize("shape", [(7, 6), (8, 6)])
def test_each_coil_sees_its_own_image(shape: tuple[int, int]) -> None:
    mask, maps = normal(*shape) > 0, torch.complex(normal(3, *shape), normal(3, *shape, seed=1))
    x = normal(2, *shape, seed=2)
    y = CoilFourier(mask, maps)(x)
    one = MaskedFourier(mask)
    for coil in range(3):
        z = torch.complex(x[0], x[1]) * maps[coil]
        torch.testing.assert_close(y[:, coil], one(torch.stack([z.real, z.imag])))


def test_a_phase_map_makes_the_unknown_real() -> None:
    mask, maps, phase = normal(7, 6) > -1, smooth_maps(3, 7, 6), normal(7, 6, seed=3)
    real, whole = CoilFourier(mask, maps, phase), CoilFourier(mask, maps)
    x = normal(1, 7, 6, seed=4)
    turned = torch.cat([x * phase.cos(), x * phase.sin()])
    torch.testing.assert_close(real(x), whole(turned))


@pytest.mark.parametrize("axis", [-1, -2])
def test_lines_are_solved_one_by_one_with_the_same_result(axis: int) -> None:
    mask = cartesian((12, 10), 2, 2, Generator().manual_seed(0), axis=axis)
    A = CoilFourier(mask, smooth_maps(6, 12, 10), tol=1e-10)
    scattered = mask.clone()
    scattered[0, 0] = ~scattered[0, 0]
    assert A._encoded_axes == ((axis,), 1)
    assert CoilFourier(scattered, A.maps)._encoded_axes == ((-2, -1), 2)
    x = normal(3, 2, 12, 10)
    assert (A.pinv(A(x)) - x).norm() < 1e-7 * x.norm()


def test_voxels_that_no_coil_sees_stay_zero() -> None:
    maps = smooth_maps(4, 8, 8)
    maps[:, :3] = 0
    A = CoilFourier(torch.ones(8, 8, dtype=torch.bool), maps)
    x = A.pinv(A(normal(2, 8, 8)))
    assert (x[:, :3] == 0).all()


def test_the_preconditioner_waits_for_a_unique_solution() -> None:
    maps = smooth_maps(4, 8, 8) * torch.linspace(1, 8, 8, dtype=torch.float64)
    mask = torch.zeros(8, 8, dtype=torch.bool)
    mask[:, ::2] = True
    assert CoilFourier(mask, maps)._unique
    twice = maps[:1].expand(4, 8, 8).clone()  # four times the same coil is one coil
    assert not CoilFourier(mask, twice)._unique


def test_solve_reports_the_work() -> None:
    A = CoilFourier(normal(8, 8) > 0, smooth_maps(4, 8, 8))
    y = A(normal(2, 8, 8))
    _, rough = A.solve(y, tol=1e-2)
    x, fine = A.solve(y, tol=1e-8)
    assert rough.iterations < fine.iterations < 200
    assert fine.residual < 1e-8 < rough.residual < 1e-2
    normal_residual = A.adjoint(A(x) - y).norm() / A.adjoint(y).norm()
    assert normal_residual.item() == pytest.approx(fine.residual.item(), rel=1e-3)
    with_noise = A.solve(y, noise_std=0.5)[1]
    assert with_noise.iterations < fine.iterations


def test_tolerance_is_an_option_of_the_value() -> None:
    A = CoilFourier(normal(8, 8) > 0, smooth_maps(4, 8, 8), tol=1e-2)
    y = A(normal(2, 8, 8))
    fine = dataclasses.replace(A, tol=1e-9)
    assert (A(A.pinv(y)) - y).norm() > (fine(fine.pinv(y)) - y).norm()
