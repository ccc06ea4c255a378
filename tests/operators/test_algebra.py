"""Composition, stacking and scaling against what they stand for."""

import pytest
import torch
from torch import Generator, Tensor

from uqrestore.operators import (
    Colorization,
    Composed,
    Downsampling,
    Hadamard,
    Identity,
    Inpainting,
    MaskedFourier,
    Scaled,
    Stacked,
    stack_operators,
)


def normal(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=Generator().manual_seed(seed), dtype=torch.float64)


def test_the_at_sign_composes() -> None:
    grey = Colorization(normal(1, 3), (4, 6))
    kspace = MaskedFourier(torch.ones(4, 6, dtype=torch.bool), channels=1)
    x = normal(3, 4, 6)
    torch.testing.assert_close((kspace @ grey)(x), kspace(grey(x)))


def test_a_composition_may_share_one_part_among_problems() -> None:
    greys = Colorization(normal(5, 1, 3), (4, 6))
    small = Downsampling((1, 4, 6), 2).to(torch.float64)
    A = Composed((small, greys))
    assert A.problem_shape == (5,)
    x = normal(2, 5, 3, 4, 6)
    torch.testing.assert_close(A(x), small(greys(x)))
    torch.testing.assert_close(A[3](x[:, 3]), A(x)[:, 3])
    twice = stack_operators([A, A[:2]])
    torch.testing.assert_close(twice(x[:, [0, 1, 2, 3, 4, 0, 1]])[:, 5:], A(x)[:, :2])


def test_measurements_of_a_stack_stand_one_after_the_other() -> None:
    A = Stacked((Identity((1, 4, 8)), Hadamard.draw((1, 4, 8), 3, Generator().manual_seed(0))))
    x = normal(2, 1, 4, 8)
    torch.testing.assert_close(A(x)[:, :32], x.flatten(1))
    torch.testing.assert_close(A(x)[:, 32:], A.parts[1](x).flatten(1))
    assert A.row_mask is not None
    assert A.row_mask.all()
    assert Stacked((Identity((1, 4, 8)),) * 2).row_mask is None


def test_two_noisy_looks_are_averaged() -> None:
    A, x, noise = Stacked((Identity((1, 4, 6)),) * 2), normal(1, 4, 6), normal(1, 4, 6, seed=2)
    y = torch.cat([(x + noise).flatten(), (x - noise).flatten()])
    torch.testing.assert_close(A.pinv(y), x)
    assert A.noise_gain().item() == pytest.approx(0.5**0.5, rel=0.1)


def test_each_problem_may_have_its_own_scale() -> None:
    seen = Inpainting(torch.ones(2, 1, 4, 6))
    A = Scaled((seen,), torch.tensor([2.0, -3.0]))
    x = normal(2, 1, 4, 6)
    torch.testing.assert_close(A(x), torch.stack([2 * x[0], -3 * x[1]]))
    assert A.singular_value is None
    assert Scaled((seen,), -3).singular_value == 3
    torch.testing.assert_close(A.noise_gain(), torch.tensor([1 / 2, 1 / 3]))
