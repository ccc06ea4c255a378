"""The clock of a method's own time."""

import time

import pytest
import torch
from torch import Tensor

from tests.benchmarks.overhead import measure_overhead
from uqrestore.methods import METHODS
from uqrestore.noise import SampleNoise
from uqrestore.operators import Inpainting
from uqrestore.problem import Problem

SHAPE = (1, 4, 5)


class Slow(torch.autograd.Function):
    """The identity, 2 ms each way."""

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:  # type: ignore[override]
        del ctx
        time.sleep(0.002)
        return x * 1

    @staticmethod
    def backward(ctx: object, grad: Tensor) -> Tensor:  # type: ignore[override]
        del ctx
        time.sleep(0.002)
        return grad


class Prior:
    """Shrinks its input, slowly."""

    in_shape = SHAPE

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        return Slow.apply(x) / (1 + sigma**2)


@pytest.mark.parametrize(("name", "products"), [("ddnm", 0), ("pigdm", 10)])
def test_forward_and_backward_count_as_the_network(name: str, products: int) -> None:
    known = Problem(Inpainting(torch.ones(SHAPE)), torch.ones(SHAPE))
    found = measure_overhead(METHODS[name], known, Prior(), SampleNoise(0, range(2)), steps=10)
    assert (found.calls, found.products) == (10, products)
    assert 0.002 * (10 + products) <= found.network <= found.seconds
    assert found.share == pytest.approx(1 - found.network / found.seconds)
