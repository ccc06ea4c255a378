"""Operators whose pseudo-inverse is iterative, and linear maps outside autograd."""

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor

from uqrestore.operators._cg import conjugate_gradient, expand_to, inner, safe_scale
from uqrestore.operators._checks import full_precision, require
from uqrestore.operators.base import LinearOperator

Map = Callable[[Tensor], Tensor]


class IterativeOperator(LinearOperator):
    """An operator inverted by conjugate gradients on the normal equations.

    Started from 0 and without a preconditioner, they converge to the minimum-norm least-squares
    image. Subclasses are dataclasses with the two fields below.

    Attributes:
        tol: Relative residual of the normal equations at which :meth:`pinv` stops.
        max_iter: Maximum number of iterations of :meth:`pinv`; :meth:`solve` returns
            how many were used.
    """

    exact_pinv: ClassVar[bool] = False
    tol: float
    max_iter: int

    @full_precision
    def pinv(self, y: Tensor) -> Tensor:
        def inverse(value: Tensor) -> Tensor:
            zero = value.new_zeros(())
            return self._solve_normal(value, zero, self.tol, self.max_iter)[0]

        def transpose(gradient: Tensor) -> Tensor:
            # (A^T)^+ g = (A A^T)^+ A g, whose right-hand side is in the range as it must be.
            return conjugate_gradient(
                lambda p: self.forward(self.adjoint(p)),
                self.forward(gradient),
                dims=len(self.out_shape),
                tol=self.tol,
                max_iter=self.max_iter,
            )[0]

        scale = safe_scale(y.detach(), len(self.out_shape))
        x = linear_map(inverse, transpose, y / expand_to(scale, len(self.out_shape)))
        return x * expand_to(scale, len(self.in_shape))


def scaled_to_fit(operator: LinearOperator, x: Tensor, y: Tensor) -> Tensor:
    """Return each ``x`` scaled so that its measurement is nearest to ``y``."""
    seen, dims = operator.forward(x), len(operator.out_shape)
    factor = inner(seen, y, dims) / inner(seen, seen, dims).clamp(min=1e-30)
    return expand_to(factor, len(operator.in_shape)) * x


def check_iteration(name: str, tol: float, max_iter: int) -> None:
    """Raise unless the options of an iterative solver make sense."""
    require(
        0 < tol < 1 and max_iter >= 1,
        name,
        f"wants 0 < tol < 1 and max_iter >= 1, got {tol} and {max_iter}.",
    )


def linear_map(apply: Map, transpose: Map, value: Tensor) -> Tensor:
    """Apply a linear map without recording its interior; its gradient is the transpose.

    Gradients of any order work, because the gradient is again such a map.
    """
    return _LinearMap.apply(value, apply, transpose)  # type: ignore[return-value]


class _LinearMap(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *args: Any) -> Tensor:  # noqa: ANN401 - the signature of torch
        value, apply, transpose = args
        ctx.maps = transpose, apply
        return apply(value.detach())

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Tensor, None, None]:  # noqa: ANN401
        transpose, apply = ctx.maps
        return linear_map(transpose, apply, grad_outputs[0]), None, None
