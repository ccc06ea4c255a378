"""Operators from elsewhere: what is right passes, what is wrong is refused."""

import pytest
import torch
from torch import Generator, Tensor

from uqrestore.operators import (
    Downsampling,
    Identity,
    MaskedFourier,
    StridedBlur,
    from_callable,
    from_deepinv,
    to_deepinv,
)

SMALL = Downsampling((1, 6, 8), 2)
X = torch.randn(3, 1, 6, 8, generator=Generator().manual_seed(0))


class Physics:
    """What an operator of deepinv looks like."""

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale

    def A(self, x: Tensor) -> Tensor:
        return SMALL(x)

    def A_adjoint(self, y: Tensor) -> Tensor:
        return self.scale * SMALL.adjoint(y)


def test_a_physics_becomes_an_operator_with_a_better_inverse() -> None:
    A = from_deepinv(Physics(), (1, 6, 8), tol=1e-6)
    assert A.out_shape == (1, 3, 4)
    torch.testing.assert_close(A(X), SMALL(X))
    torch.testing.assert_close(A.pinv(SMALL(X)), SMALL.pinv(SMALL(X)))
    torch.testing.assert_close(A(torch.stack([X, -X])), torch.stack([SMALL(X), -SMALL(X)]))


def test_functions_become_an_operator_that_autograd_sees_through() -> None:
    blur = StridedBlur(torch.tensor([[0.2, 0.5, 0.3]]), 1, (1, 6, 8), rcond=1e-3)
    A = from_callable(blur.forward, blur.adjoint, (1, 6, 8), (1, 6, 8))
    x = X.clone().requires_grad_()
    (gradient,) = torch.autograd.grad((A(x) * X).sum(), x)
    torch.testing.assert_close(gradient, blur.adjoint(X))


def test_a_large_operator_is_not_refused_for_its_rounding() -> None:
    A = MaskedFourier(torch.ones(128, 128, dtype=torch.bool))
    from_callable(A.forward, A.adjoint, (2, 128, 128), (2, 128, 128))


@pytest.mark.parametrize("scale", [1.001, -1.0, 0.0])
def test_a_scaled_adjoint_is_refused(scale: float) -> None:
    with pytest.raises(ValueError, match="Physics: the adjoint is not the transpose of A"):
        from_deepinv(Physics(scale), (1, 6, 8))


def test_a_shifted_adjoint_is_refused() -> None:
    A = Identity((1, 128, 128))
    with pytest.raises(ValueError, match="the adjoint is not the transpose"):
        from_callable(A.forward, lambda y: A.adjoint(y).roll(1, -1), (1, 128, 128), (1, 128, 128))


def test_an_offset_is_refused() -> None:
    with pytest.raises(ValueError, match="A is not linear"):
        from_callable(lambda x: x + 0.1, lambda y: y, (1, 6, 8), (1, 6, 8))


def test_another_shape_than_announced_is_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(1, 3, 4\) but \(1, 6, 8\) was announced"):
        from_callable(SMALL.forward, SMALL.adjoint, (1, 6, 8), (1, 6, 8))


def test_complex_measurements_are_refused() -> None:
    class Complex(Physics):
        def A(self, x: Tensor) -> Tensor:
            return SMALL(x) * 1j

    with pytest.raises(ValueError, match="Complex: must measure one real tensor"):
        from_deepinv(Complex(), (1, 6, 8))


def test_functions_cannot_be_written_to_a_file() -> None:
    with pytest.raises(TypeError, match="Physics is made of functions"):
        from_deepinv(Physics(), (1, 6, 8)).to_data()


def test_deepinv_is_asked_for_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "deepinv.physics", None)
    with pytest.raises(ImportError, match="to_deepinv needs deepinv: pip install deepinv"):
        to_deepinv(SMALL)
