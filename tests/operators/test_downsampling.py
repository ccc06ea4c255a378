"""Reductions against those of torch."""

import pytest
import torch
from torch import Generator
from torch.nn.functional import avg_pool2d, interpolate

from uqrestore.operators import Downsampling

X = torch.rand(2, 3, 16, 24, generator=Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_average_is_that_of_blocks_and_copies_back(factor: int) -> None:
    A = Downsampling((3, 16, 24), factor).to(torch.float64)
    y = A(X)
    torch.testing.assert_close(y, avg_pool2d(X, factor))
    torch.testing.assert_close(A.pinv(y), interpolate(y, scale_factor=factor, mode="nearest"))
    assert A.singular_value == 1 / factor


@pytest.mark.parametrize("factor", [2, 4])
def test_bicubic_is_keys_kernel_stretched(factor: int) -> None:
    # The border differs on purpose: ours is mirrored, that of torch is cut off.
    x = X.repeat(1, 1, 2, 2)
    want = interpolate(x, scale_factor=1 / factor, mode="bicubic", antialias=True)
    got = Downsampling((3, 32, 48), factor, "bicubic").to(torch.float64)(x)
    torch.testing.assert_close(got[..., 2:-2, 2:-2], want[..., 2:-2, 2:-2])


def test_bicubic_keeps_a_constant_and_has_unequal_singular_values() -> None:
    A = Downsampling((1, 16, 24), 4, "bicubic").to(torch.float64)
    torch.testing.assert_close(A(torch.ones(1, 16, 24).double()), torch.ones(1, 4, 6).double())
    spectrum = A.spectral()
    assert spectrum is not None
    s = spectrum.s
    assert A.singular_value is None
    assert s.max() == pytest.approx(0.25, rel=0.02)
    assert s.min() < 0.2


def test_factors_mix_in_one_batch() -> None:
    A = Downsampling((1, 8, 16), (2, 8))
    assert A.out_shape == (1, 4, 8)
    x = torch.rand(2, 1, 8, 16, generator=Generator().manual_seed(1))
    y = A(x)
    torch.testing.assert_close(y[0], avg_pool2d(x[0], 2))
    torch.testing.assert_close(y[1, :, :1, :2], avg_pool2d(x[1], 8))
    assert A.row_mask is not None
    assert A.row_mask[1].sum() == 2
    assert A.singular_value is None
