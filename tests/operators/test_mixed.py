"""A batch of different kinds: in networks, in parts, in files."""

import pytest
import torch
from torch import Generator, Tensor

from tests.operators.cases import mixed
from uqrestore.operators import (
    Identity,
    Inpainting,
    LinearOperator,
    Matrix,
    Mixed,
    Padded,
    Zero,
    mix,
    stack_operators,
)
from uqrestore.operators.iterative import IterativeOperator


@pytest.fixture
def batch() -> Mixed:
    return mixed(Generator().manual_seed(0))


def normal(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=Generator().manual_seed(seed), dtype=torch.float64)


def test_kinds_run_once_each(batch: Mixed) -> None:
    assert [part.name for part in batch.parts] == ["inpainting", "strided_blur", "matrix", "zero"]
    assert batch.positions == ((0, 2), (1, 5), (3, 6), (4,))
    assert batch.out_shape == (48,)


def test_activations_of_a_network_pass_through_with_their_gradients(batch: Mixed) -> None:
    x = normal(3, 7, 1, 6, 8).requires_grad_()  # (stack, problem, channel, row, column)
    y = batch.forward(x)
    loss = (batch.pinv(torch.nn.functional.gelu(y)) ** 2).sum()
    (gradient,) = torch.autograd.grad(loss, x)
    for i in range(7):
        one = batch.select(i)
        part = x[:, i].detach().requires_grad_()
        alone = (one.pinv(torch.nn.functional.gelu(one.forward(part))) ** 2).sum()
        (want,) = torch.autograd.grad(alone, part)
        torch.testing.assert_close(gradient[:, i], want)


def test_the_zero_operator_keeps_gradients_alive() -> None:
    x = normal(1, 4, 4).requires_grad_()
    (gradient,) = torch.autograd.grad(Zero((1, 4, 4)).pinv(x).sum(), x)
    assert (gradient == 0).all()


def test_one_problem_is_its_operator_padded(batch: Mixed) -> None:
    one = batch[3]
    assert isinstance(one, Padded)
    assert one.parts[0].name == "matrix"
    assert one.out_shape == (48,)
    assert one.row_mask.sum() == 5
    torch.testing.assert_close(one.parts[0](normal(1, 6, 8)), one(normal(1, 6, 8))[:7])


def test_problems_may_be_selected_twice_and_in_any_order(batch: Mixed) -> None:
    x = normal(7, 1, 6, 8)
    at = [6, 0, 0, 4]
    torch.testing.assert_close(batch[at](x[at]), batch(x)[at])


def test_split_and_mixed_again_it_is_the_same(batch: Mixed) -> None:
    again = mix([batch.select(i) for i in range(7)])
    x = normal(7, 1, 6, 8)
    torch.testing.assert_close(again(x), batch(x))
    assert again.rows == batch.rows


def test_short_batches_keep_the_length_of_their_measurement(batch: Mixed) -> None:
    assert batch[[3, 6]].out_shape == (48,)
    assert stack_operators([batch[3:4], batch[:1]]).out_shape == (48,)


def test_a_batch_of_one_kind_has_its_singular_value() -> None:
    seen = torch.ones(1, 4, 4)
    assert mix([Inpainting(seen), Identity((1, 4, 4))]).singular_value == 1
    assert mix([Matrix(torch.ones(2, 16), (1, 4, 4))]).singular_value is None


def test_exactness_is_that_of_the_worst_part(batch: Mixed) -> None:
    class Slow(IterativeOperator, Identity):  # type: ignore[misc]
        name = "slow"

    assert batch.exact_pinv
    slow: LinearOperator = Mixed((batch.parts[0], Slow((1, 6, 8), (1,))), ((0, 2), (1,)))
    assert not slow.exact_pinv
