"""Tests that an operator is linear and its adjoint the transpose, for operators of users."""

import torch
from torch import Tensor

from uqrestore.operators._checks import require
from uqrestore.operators.base import LinearOperator


def valid_adjoint(
    operator: LinearOperator, *, tol: float = 1e-4, dtype: torch.dtype | None = None
) -> bool:
    """Return whether the adjoint of an operator is its transpose, on fixed random probes.

    Args:
        operator: The operator, of any kind.
        tol: Largest difference of ``<A x, y>`` and ``<x, A^T y>``, relative to ``|A x| |y|``;
            1e-4 suits float32, 1e-10 float64.
        dtype: Floating-point type of the probes; that of the operator by default.
    """
    x, y, seen = _probes(operator, dtype)
    return _gap(seen, y, x, operator.adjoint(y)) < tol


def check_adjoint(
    operator: LinearOperator,
    *,
    tol: float = 1e-4,
    dtype: torch.dtype | None = None,
    name: str | None = None,
) -> None:
    """Raise unless an operator is linear and its adjoint is the transpose, on fixed probes.

    Args:
        operator: The operator, of any kind.
        tol: As in :func:`valid_adjoint`.
        dtype: As in :func:`valid_adjoint`.
        name: Name of the operator in messages; its class by default.

    Raises:
        ValueError: Naming what is wrong and by how much.
    """
    name = name or type(operator).__name__
    x, y, seen = _probes(operator, dtype, name)
    back = operator.adjoint(y)
    require(
        back.shape == x.shape,
        name,
        f"the adjoint gives images of shape {tuple(back.shape[1:])} but {tuple(x.shape[1:])} was "
        "announced.",
    )
    bent = (operator.forward(2 * x) - 2 * seen).norm() / seen.norm().clamp(min=1e-30)
    require(
        float(bent) < tol,
        name,
        f"A is not linear: A(2x) differs from 2 A(x) by {float(bent):.1e} of its size. Take an "
        "offset out of A and off the measurement.",
    )
    gap = _gap(seen, y, x, back)
    require(
        gap < tol,
        name,
        "the adjoint is not the transpose of A: <A x, y> and <x, A^T y> differ by "
        f"{gap:.1e} of |A x| |y|, more than {tol:.0e}. Check its scaling, its boundary and "
        "its complex conjugate.",
    )


def _probes(
    operator: LinearOperator, dtype: torch.dtype | None, name: str = ""
) -> tuple[Tensor, Tensor, Tensor]:
    """Return two random images, measurements to compare with, and the measured images."""
    generator, problem = torch.Generator().manual_seed(0), operator.problem_shape
    kind = dtype or operator.dtype
    x, y = (
        torch.randn(2, *problem, *shape, generator=generator).to(operator.device, kind)
        for shape in (operator.in_shape, operator.out_shape)
    )
    seen = operator.forward(x)
    require(
        seen.shape == y.shape,
        name or type(operator).__name__,
        f"A gives measurements of shape {tuple(seen.shape[1:])} but {tuple(y.shape[1:])} was "
        "announced.",
    )
    # Half along A x, where a wrong scale shows, half at random, where all else does.
    return x, y / y.norm() + seen / seen.norm().clamp(min=1e-30), seen


def _gap(seen: Tensor, y: Tensor, x: Tensor, back: Tensor) -> float:
    forward = (seen.double() * y.double()).flatten(1).sum(-1)
    adjoint = (x.double() * back.double()).flatten(1).sum(-1)
    scale = seen.double().flatten(1).norm(dim=-1) * y.double().flatten(1).norm(dim=-1)
    return float(((forward - adjoint).abs() / scale.clamp(min=1e-30)).max())
