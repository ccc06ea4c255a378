"""Problems are picked from a batch, and images brought to the data that have no noise."""

import pytest
import torch
from torch import Tensor

from uqrestore.operators import Inpainting
from uqrestore.problem import Problem

SHAPE, BATCH = (1, 5, 3), 4
NOISE_STD = torch.tensor([0.0, 0.1, 0.0, 0.2], dtype=torch.float64)


def randn(*shape: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def batch(noise_std: float | Tensor = NOISE_STD) -> Problem:
    operator = Inpainting((randn(BATCH, *SHAPE, seed=0) > 0).double())
    return Problem(operator, operator(randn(BATCH, *SHAPE, seed=1)), noise_std)


@pytest.mark.parametrize("index", [[3, 1], slice(1, 3), torch.tensor([2, 0]), 3])
def test_some_problems_of_a_batch_are_those_problems(
    index: list[int] | slice | Tensor | int,
) -> None:
    whole, some = batch(), batch().select(index)
    x = randn(BATCH, *SHAPE, seed=2)
    assert torch.equal(some.operator(x[index]), whole.operator(x)[index])
    assert torch.equal(some.y, whole.y[index])
    assert torch.equal(torch.as_tensor(some.noise_std), NOISE_STD[index])


def test_one_operator_and_one_noise_level_serve_every_problem_that_is_picked() -> None:
    operator = Inpainting((randn(*SHAPE, seed=0) > 0).double())
    some = Problem(operator, randn(BATCH, *SHAPE, seed=1), 0.3).select([2, 0])
    assert some.operator is operator
    assert some.problem_shape == (2,)
    assert float(some.noise_std) == 0.3


def test_only_images_of_problems_without_noise_are_projected() -> None:
    problem, x = batch(), randn(2, BATCH, *SHAPE, seed=3)
    near, null = problem.project(x), problem.project_null(x)
    noise_free = NOISE_STD == 0
    torch.testing.assert_close(
        problem.operator(near)[:, noise_free], problem.y[noise_free].expand(2, 2, *SHAPE)
    )
    assert problem.operator(null)[:, noise_free].abs().max() < 1e-12
    assert torch.equal(near[:, ~noise_free], x[:, ~noise_free])
    assert torch.equal(null[:, ~noise_free], x[:, ~noise_free])
    assert batch(0.1).project(x) is x
