"""Kernels of blur."""

import pytest
import torch
from torch import Generator

from uqrestore.operators.kernels import gaussian_kernel, motion_kernel


@pytest.mark.parametrize("size", [(32, 32), (17, 24), (3, 3)])
@pytest.mark.parametrize("intensity", [0, 0.5, 1])
def test_motion_is_a_centred_distribution(size: tuple[int, int], intensity: float) -> None:
    g = Generator().manual_seed(0)
    for _ in range(20):
        kernel = motion_kernel(size, intensity, g)
        assert (kernel >= 0).all()
        assert kernel.sum().item() == pytest.approx(1, abs=1e-5)
        for axis, length in enumerate(size):
            line = kernel.sum(1 - axis) * torch.arange(length)
            assert line.sum().item() == pytest.approx(length // 2, abs=0.3)


def test_motion_depends_on_the_seed_alone() -> None:
    first = motion_kernel((32, 32), 0.7, Generator().manual_seed(5))
    assert (first == motion_kernel((32, 32), 0.7, Generator().manual_seed(5))).all()
    assert (first != motion_kernel((32, 32), 0.7, Generator().manual_seed(6))).any()


def test_without_intensity_the_path_is_straight() -> None:
    i, j = torch.meshgrid(torch.arange(33.0), torch.arange(33.0), indexing="ij")
    for seed in range(10):
        kernel = motion_kernel((33, 33), 0, Generator().manual_seed(seed))
        points = torch.stack([i - 16, j - 16])
        spread = torch.einsum("aij,bij,ij->ab", points, points, kernel)
        thin = torch.linalg.eigvalsh(spread)[0]
        assert thin < 0.5, "no wider than the bilinear weights"


def test_intensity_bends_the_path() -> None:
    def bend(intensity: float) -> float:
        total = 0.0
        for seed in range(30):
            kernel = motion_kernel((33, 33), intensity, Generator().manual_seed(seed))
            points = torch.cartesian_prod(torch.arange(33.0), torch.arange(33.0)) - 16
            spread = points.T @ (kernel.flatten()[:, None] * points)
            small, large = torch.linalg.eigvalsh(spread)
            total += float(small / large)
        return total

    assert bend(1.0) > 2 * bend(0.2)


def test_gaussian_has_its_width() -> None:
    kernel = gaussian_kernel((41, 31), 2.5).double()
    assert kernel.sum().item() == pytest.approx(1, abs=1e-6)
    assert kernel[20, 15] == kernel.max()
    squares = (torch.arange(41) - 20).double() ** 2
    assert (kernel.sum(1) * squares).sum().sqrt().item() == pytest.approx(2.5, rel=1e-4)


def test_impossible_kernels_are_refused() -> None:
    with pytest.raises(ValueError, match="std must be positive"):
        gaussian_kernel((3, 3), 0)
    with pytest.raises(ValueError, match=r"intensity within \[0, 1\]"):
        motion_kernel((9, 9), 1.5, Generator().manual_seed(0))
