"""The non-uniform transform against the sum that it approximates."""

import sys

import pytest
import torch
from torch import Generator, Tensor

from uqrestore.operators import MaskedFourier, RadialFourier
from uqrestore.operators.radial_fourier import density_weights, radial_trajectory


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("shape", [(7, 6), (8, 5)])
def test_forward_is_the_sum_with_the_centre_in_the_middle(shape: tuple[int, int]) -> None:
    points = torch.pi * (2 * torch.rand(20, 2, generator=Generator().manual_seed(1)).double() - 1)
    x = normal(2, *shape)
    i, j = (torch.arange(n, dtype=torch.float64) - n // 2 for n in shape)
    wave = torch.exp(-1j * (points[:, 0, None, None] * i[:, None] + points[:, 1, None, None] * j))
    want = (wave * torch.complex(x[0], x[1])).sum((-2, -1)) / x[0].numel() ** 0.5
    got = RadialFourier(points, shape, eps=1e-10)(x)
    torch.testing.assert_close(torch.complex(got[0], got[1]), want, rtol=1e-8, atol=1e-8)


def test_points_on_the_grid_give_the_fft() -> None:
    k = [2 * torch.pi * (torch.arange(n, dtype=torch.float64) - n // 2) / n for n in (8, 6)]
    x = normal(2, 8, 6)
    got = RadialFourier(torch.cartesian_prod(*k), (8, 6), eps=1e-10)(x)
    want = MaskedFourier(torch.ones(8, 6, dtype=torch.bool))(x)
    torch.testing.assert_close(got.unflatten(-1, (8, 6)), want, rtol=1e-8, atol=1e-8)


def test_single_precision_stays_single() -> None:
    A = RadialFourier(radial_trajectory(5, 12), (8, 8))
    x = normal(3, 2, 8, 8)
    double = RadialFourier(radial_trajectory(5, 12).double(), (8, 8))(x)
    torch.testing.assert_close(A(x.float()).double(), double, rtol=1e-4, atol=1e-4)


def test_density_weights_make_the_adjoint_a_reconstruction() -> None:
    i = torch.linspace(-1, 1, 32)
    x = torch.exp(-4 * (i[:, None] ** 2 + (i - 0.2) ** 2))[None]
    A = RadialFourier(radial_trajectory(48, 64), (32, 32), channels=1)
    y = A(x)
    compensated, plain = A._start(y, torch.zeros(())), A.adjoint(y)
    plain = plain * (plain * x).sum() / plain.square().sum()
    assert (compensated - x).norm() < 0.1 * x.norm()
    assert (plain - x).norm() > 0.3 * x.norm()


def test_density_weights_grow_with_the_radius() -> None:
    points = radial_trajectory(40, 32)
    weights, radius = density_weights(points, (16, 16)), points.norm(dim=-1)
    near, far = weights[radius < 0.8].mean(), weights[(radius > 1.6) & (radius < 2.4)].mean()
    assert far / near == pytest.approx(2.0 / 0.5, rel=0.4)


def test_spokes_turn_by_the_golden_angle() -> None:
    points = radial_trajectory(3, 8).reshape(3, 8, 2)
    angle = torch.atan2(points[:, 0, 0], points[:, 0, 1])
    turn = torch.rad2deg(angle.diff()) % 180
    torch.testing.assert_close(turn, torch.full((2,), 111.246), rtol=1e-4, atol=1e-2)
    assert (points[:, 4] == 0).all(), "the middle sample is zero frequency"


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "finufft", None)
    with pytest.raises(ImportError, match=r"radial_fourier needs finufft: pip install"):
        RadialFourier(radial_trajectory(2, 4), (4, 4))
