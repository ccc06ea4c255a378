"""Dense compressed sensing: ranks, padding, conditioning."""

import pytest
import torch
from torch import Generator

from uqrestore.operators import Matrix, stack_operators


def normal(rows: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, 48, generator=Generator().manual_seed(seed), dtype=torch.float64)


def test_matrices_of_different_row_counts_share_a_batch() -> None:
    parts = [Matrix(normal(rows, rows), (1, 6, 8)) for rows in (3, 9, 1)]
    stack = stack_operators(parts)
    assert stack.out_shape == (9,)
    assert stack.row_mask is not None
    assert stack.row_mask.sum(-1).tolist() == [3, 9, 1]
    y = torch.randn(5, 3, 9, generator=Generator().manual_seed(1)).double()
    for i, part in enumerate(parts):
        alone = part.pinv(y[:, i, : part.out_shape[0]])
        torch.testing.assert_close(stack.pinv(y)[:, i], alone)
    assert stack.spectral() is not None
    torch.testing.assert_close(stack.solve(y)[1].rank, torch.tensor([3, 9, 1]))


def test_dependent_rows_are_cut_in_the_operator_too() -> None:
    rows = normal(5)
    nearly = torch.cat([rows, rows[:1] + 1e-7 * normal(1, 9)])
    A = Matrix(nearly, (1, 6, 8))
    assert A.spectral().s.count_nonzero() == 5
    y = normal(1, 3)[:, :6]
    assert A.pinv(y).norm() < 10 * Matrix(rows, (1, 6, 8)).pinv(y[:, :5]).norm()


def test_float32_is_enough_far_from_square() -> None:
    matrix = torch.randn(4, 64, 1024, generator=Generator().manual_seed(0))
    A = Matrix(matrix / matrix.norm(dim=-1, keepdim=True), (1, 32, 32))
    y = torch.randn(4, 64, generator=Generator().manual_seed(1))
    torch.testing.assert_close(A(A.pinv(y)), y, rtol=1e-5, atol=1e-5)


def test_noise_gain_of_orthonormal_rows_is_one() -> None:
    q = torch.linalg.qr(normal(7).T).Q.T
    assert Matrix(q, (1, 6, 8)).noise_gain().item() == pytest.approx(1)
