"""Strided blur against convolutions that are written out."""

import pytest
import torch
from torch import Generator

from uqrestore.operators import StridedBlur, stack_operators
from uqrestore.operators.kernels import gaussian_kernel

X = torch.randn(2, 6, 12, generator=Generator().manual_seed(0), dtype=torch.float64)
KERNEL = torch.rand(3, 4, generator=Generator().manual_seed(1), dtype=torch.float64)


def test_forward_is_a_circular_convolution_on_a_lattice() -> None:
    want = torch.zeros_like(X)
    for i in range(3):
        for j in range(4):
            want += KERNEL[i, j] * X.roll((i - 1, j - 2), (-2, -1))
    got = StridedBlur(KERNEL, 3, (2, 6, 12), rcond=1e-6)(X)
    torch.testing.assert_close(got[:, ::3, ::3], want[:, ::3, ::3])
    assert got.count_nonzero() == want[:, ::3, ::3].count_nonzero()


def test_a_point_kernel_is_plain_decimation() -> None:
    point = torch.zeros(3, 3, dtype=torch.float64)
    point[1, 1] = 1
    A = StridedBlur(point, 2, (2, 6, 12))
    y = A(X)
    torch.testing.assert_close(y[:, ::2, ::2], X[:, ::2, ::2])
    torch.testing.assert_close(A.pinv(y), y)
    assert A.singular_value == pytest.approx(1)


def test_a_constant_image_stays_constant() -> None:
    A = StridedBlur(KERNEL / KERNEL.sum(), 2, (2, 6, 12))
    y = A(torch.full_like(X, 0.7))
    torch.testing.assert_close(y[:, ::2, ::2], torch.full_like(X, 0.7)[:, ::2, ::2])


def test_largest_singular_value_of_a_unit_kernel_is_one_over_the_stride() -> None:
    kernel = gaussian_kernel((9, 9), 1.5)
    for stride in (1, 2, 4):
        plain = StridedBlur(kernel, stride, (1, 16, 12)).spectral().s.max()
        scaled = StridedBlur(kernel, stride, (1, 16, 12), normalize=True).spectral().s.max()
        assert plain.item() == pytest.approx(1 / stride, rel=0.05)
        assert scaled.item() == pytest.approx(stride * plain.item(), rel=1e-5)


def test_the_cut_limits_the_noise() -> None:
    kernel, noise = gaussian_kernel((15, 15), 2.0).double(), torch.ones(()) * 0.01
    for rcond in (0.3, 0.02):
        A = StridedBlur(kernel, 1, (1, 24, 24), rcond=rcond)
        s = A.spectral().s
        assert s[s > 0].min() > rcond * s.max()
        assert A.noise_gain() <= 1 / rcond
        y = torch.randn(50, 1, 24, 24, generator=Generator().manual_seed(2)).double() * noise
        grown = A.pinv(y).norm() / y.norm()
        rank = (s > 0).sum() / s.numel()
        assert grown == pytest.approx((A.noise_gain() * rank.sqrt()).item(), rel=0.05)


def test_every_problem_keeps_its_own_stride() -> None:
    A = StridedBlur(KERNEL.expand(3, 3, 4), torch.tensor([1, 2, 3]), (2, 6, 12))
    assert A.row_mask.sum((-3, -2, -1)).tolist() == [72, 18, 8]
    one = A.select(2)
    assert one.row_mask is not None
    assert one.row_mask.sum() == 8


def test_kernels_of_different_sizes_share_a_batch() -> None:
    parts = [
        StridedBlur(KERNEL, 1, (2, 6, 12)),
        StridedBlur(torch.rand(6, 3, generator=Generator().manual_seed(4)).double(), 2, (2, 6, 12)),
    ]
    both = stack_operators(parts)(X.expand(2, 2, 6, 12))
    torch.testing.assert_close(both, torch.stack([part(X) for part in parts]))
