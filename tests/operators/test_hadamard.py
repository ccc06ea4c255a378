"""The fast transform against the matrix."""

import pytest
import scipy.linalg
import torch
from torch import Generator

from uqrestore.operators import Hadamard, stack_operators
from uqrestore.operators.hadamard import walsh_hadamard


@pytest.mark.parametrize("pixels", [1, 2, 8, 32, 64, 2048])
def test_the_transform_is_that_of_the_matrix(pixels: int) -> None:
    x = torch.randn(3, pixels, generator=Generator().manual_seed(0), dtype=torch.float64)
    matrix = torch.from_numpy(scipy.linalg.hadamard(pixels)).double() / pixels**0.5
    torch.testing.assert_close(walsh_hadamard(x), x @ matrix)


def test_the_mean_is_always_kept() -> None:
    A = Hadamard.draw((2, 4, 8), 5, Generator().manual_seed(3))
    y = A(torch.full((2, 4, 8), 0.5))
    torch.testing.assert_close(y[:, 0], torch.full((2,), 0.5 * 32**0.5))
    torch.testing.assert_close(y[:, 1:], torch.zeros(2, 4))


def test_different_row_counts_share_a_batch() -> None:
    parts = [Hadamard.draw((1, 4, 8), rows, Generator().manual_seed(rows)) for rows in (3, 7)]
    stack = stack_operators(parts)
    assert stack.out_shape == (1, 7)
    assert stack.row_mask is not None
    assert stack.row_mask.sum((-2, -1)).tolist() == [3, 7]


def test_too_many_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="rows must be 1 to 32, got 33"):
        Hadamard.draw((1, 4, 8), 33, Generator().manual_seed(0))
