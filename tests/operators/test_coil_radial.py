"""Several coils on a radial trajectory."""

import pytest
import torch

from uqrestore.operators import CoilRadial, RadialFourier, stack_operators
from uqrestore.operators.radial_fourier import radial_trajectory

TRAJECTORY = radial_trajectory(9, 12).double()


def test_one_uniform_coil_is_the_plain_transform() -> None:
    x = torch.randn(2, 7, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    plain = RadialFourier(TRAJECTORY, (7, 6))
    coil = CoilRadial(TRAJECTORY, torch.ones(1, 7, 6, dtype=torch.complex128))
    torch.testing.assert_close(coil(x)[:, 0], plain(x))
    torch.testing.assert_close(coil.gridding(coil(x)), plain.gridding(plain(x)))


def test_a_phase_turns_a_real_image_before_the_coils_see_it() -> None:
    generator = torch.Generator().manual_seed(1)
    maps = torch.randn(3, 7, 6, generator=generator, dtype=torch.complex128)
    phase = torch.rand(7, 6, generator=generator, dtype=torch.float64)
    x = torch.randn(1, 7, 6, generator=generator, dtype=torch.float64)
    seen = torch.stack([x[0] * phase.cos(), x[0] * phase.sin()])
    real = CoilRadial(TRAJECTORY, maps, phase)
    assert real.in_shape == (1, 7, 6)
    torch.testing.assert_close(real(x), CoilRadial(TRAJECTORY, maps)(seen))


def test_what_does_not_fit_is_refused() -> None:
    maps = torch.ones(1, 7, 6, dtype=torch.complex64)
    with pytest.raises(ValueError, match="trajectory must lie in"):
        CoilRadial(4 * TRAJECTORY, maps)
    with pytest.raises(ValueError, match="one trajectory for all its problems"):
        stack_operators([CoilRadial(TRAJECTORY, maps), CoilRadial(0.5 * TRAJECTORY, maps)])
