"""Mixing of channels."""

import pytest
import torch

from uqrestore.operators import Colorization


def test_the_mean_of_three_channels_is_grey_and_copies_back() -> None:
    A = Colorization(torch.full((1, 3), 1 / 3), (2, 2))
    x = torch.arange(12.0).reshape(3, 2, 2)
    torch.testing.assert_close(A(x), x.mean(0, keepdim=True))
    torch.testing.assert_close(A.pinv(A(x)), x.mean(0).expand(3, 2, 2))
    assert A.singular_value == pytest.approx(3**-0.5)
    assert A.noise_gain().item() == pytest.approx(3**0.5)


def test_rounding_of_dependent_channels_is_not_amplified() -> None:
    weights = torch.tensor([[0.1, 0.2, 0.3], [0.3, 0.6, 0.9]])
    A = Colorization(weights, (1, 1))
    assert A.noise_gain().item() == pytest.approx(1 / torch.linalg.svdvals(weights)[0].item())
    y = torch.tensor([1.0, -1.0]).reshape(2, 1, 1)
    assert A.pinv(y).norm() <= y.norm() * A.noise_gain() * (1 + 1e-5)
