"""Conjugate gradients for a batch of systems, each with its own step sizes and stopping."""

from collections.abc import Callable

import torch
from torch import Tensor


def inner(a: Tensor, b: Tensor, dims: int) -> Tensor:
    """Return the inner product over the last ``dims`` dimensions."""
    return (a * b).flatten(a.ndim - dims).sum(-1)


def expand_to(scalar: Tensor, dims: int) -> Tensor:
    """Append ``dims`` axes of length one, so that a value per system scales its images."""
    return scalar.reshape(*scalar.shape, *[1] * dims)


@torch.no_grad()
def conjugate_gradient(
    apply: Callable[[Tensor], Tensor],
    b: Tensor,
    *,
    dims: int,
    precondition: Callable[[Tensor], Tensor] = lambda r: r,
    tol: float = 1e-6,
    max_iter: int = 200,
) -> tuple[Tensor, int]:
    r"""Solve :math:`N x = b` for symmetric positive semi-definite :math:`N`.

    Every system of the batch takes its own steps and stops on its own, so a batch gives what
    one by one gives. Started from 0 with ``b`` in the range of :math:`N` and no preconditioner,
    the limit is the solution of minimum norm. Nothing is recorded for autograd.

    Args:
        apply: :math:`N`.
        b: Right-hand sides, shape ``(*batch, *shape)`` with ``dims`` trailing dimensions.
        dims: Number of dimensions of one unknown.
        precondition: Approximation of :math:`N^{-1}`, symmetric positive definite.
        tol: Stop a system once ``||b - N x|| <= tol ||b||``.
        max_iter: Most iterations.

    Returns:
        The solutions, and how many iterations the slowest system took.

    References:
        Hestenes & Stiefel, "Methods of Conjugate Gradients for Solving Linear Systems",
        J. Res. Nat. Bur. Stand. 49:409-436, 1952.
    """
    x, r = torch.zeros_like(b), b.clone()
    z = precondition(r)
    p = z.clone()
    rho = inner(r, z, dims)
    limit = tol**2 * inner(b, b, dims)
    active = inner(r, r, dims) > limit
    for iteration in range(max_iter):
        if not active.any():
            return x, iteration
        q = apply(p)
        curvature = inner(p, q, dims)
        active = active & (curvature > 0)
        alpha = expand_to(torch.where(active, rho / curvature, 0), dims)
        x = x + alpha * p
        r = r - alpha * q
        z = precondition(r)
        rho_next = inner(r, z, dims)
        beta = expand_to(torch.where(active, rho_next / rho, 0), dims)
        p = z + beta * p
        rho = rho_next
        active = active & (inner(r, r, dims) > limit)
    return x, max_iter
