"""Single-coil k-space against the written-out centred transform."""

import pytest
import torch
from torch import Generator

from uqrestore.operators import MaskedFourier
from uqrestore.operators._fourier import reflect

SHAPES = [(7, 6), (8, 6), (6, 4), (5, 9)]


def random_mask(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=Generator().manual_seed(seed)) < 0.4


def random_image(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("channels", [1, 2])
def test_forward_is_the_centred_transform(shape: tuple[int, int], channels: int) -> None:
    mask, x = random_mask(*shape), random_image(channels, *shape)
    z = torch.complex(x[0], x[1]) if channels == 2 else x[0].to(torch.complex128)
    k = [torch.arange(n, dtype=torch.float64) - n // 2 for n in shape]
    left, right = (torch.exp(-2j * torch.pi * torch.outer(f, f) / len(f)) for f in k)
    kspace = left @ z @ right / z.numel() ** 0.5
    want = mask * torch.stack([kspace.real, kspace.imag])
    got = MaskedFourier(mask, channels=channels)(x)  # type: ignore[arg-type]
    torch.testing.assert_close(got, want)


def test_a_constant_image_is_one_sample_at_the_centre() -> None:
    y = MaskedFourier(torch.ones(7, 6, dtype=torch.bool), channels=1)(torch.ones(1, 7, 6))
    want = torch.zeros(2, 7, 6)
    want[0, 3, 3] = 42**0.5
    torch.testing.assert_close(y, want)


def test_a_real_image_is_filled_in_from_half_of_k_space() -> None:
    mask = torch.zeros(7, 6, dtype=torch.bool)
    mask[:4] = True  # a little more than half: each frequency or its opposite is there
    A, x = MaskedFourier(mask, channels=1).to(torch.float64), random_image(1, 7, 6)
    torch.testing.assert_close(A.pinv(A(x)), x)


def test_opposite_samples_of_a_real_image_are_averaged() -> None:
    A = MaskedFourier(torch.ones(7, 6, dtype=torch.bool), channels=1).to(torch.float64)
    x, noise = random_image(1, 7, 6), random_image(2, 7, 6)
    odd = (noise - reflect(noise) * torch.tensor([1.0, -1])[:, None, None]) / 2
    torch.testing.assert_close(A.pinv(A(x) + odd), x)


def test_reflection_maps_each_frequency_to_its_opposite() -> None:
    for row, column in SHAPES:
        frequency = torch.cartesian_prod(
            torch.arange(row) - row // 2, torch.arange(column) - column // 2
        ).reshape(row, column, 2)
        opposite = torch.stack([reflect(frequency[..., i]) for i in (0, 1)], -1)
        assert ((opposite + frequency) % torch.tensor([row, column]) == 0).all()


def test_singular_values_are_equal_where_the_mask_is_symmetric() -> None:
    mask = random_mask(8, 6)
    assert MaskedFourier(mask).singular_value == 1
    assert MaskedFourier(mask, channels=1).singular_value is None
    assert MaskedFourier(mask | reflect(mask), channels=1).singular_value == 1


def test_measurements_pass_back_without_a_copy() -> None:
    A = MaskedFourier(random_mask(8, 6))
    y = A(random_image(3, 2, 8, 6).float())
    assert y.movedim(-3, -1).is_contiguous()
    torch.testing.assert_close(A.adjoint(y.contiguous()), A.adjoint(y))
