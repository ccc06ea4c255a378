"""Conjugate gradients for a batch of systems, each with its own step sizes and stopping."""

from collections.abc import Callable

import torch
from torch import Tensor


def inner(a: Tensor, b: Tensor, dims: int) -> Tensor:
    """Return the real inner product over the last ``dims`` dimensions."""
    if a.is_complex():
        a, b, dims = torch.view_as_real(a), torch.view_as_real(b), dims + 1
    return torch.linalg.vecdot(a.flatten(a.ndim - dims), b.flatten(b.ndim - dims))


def expand_to(scalar: Tensor, dims: int) -> Tensor:
    """Append ``dims`` axes of length one, so that a value per system scales its images."""
    return scalar.reshape(*scalar.shape, *[1] * dims)


def safe_scale(y: Tensor, dims: int) -> Tensor:
    """Return a power of two for each vector, to divide it by before it is squared; ``(*batch,)``.

    It is 1 unless the largest entry is so small or large that squares would underflow or overflow
    in float32. Solves are linear and powers of two exact, so that no other result changes.

    Args:
        y: Vectors, shape ``(*batch, *shape)`` with ``dims`` trailing dimensions.
        dims: Number of dimensions of one vector.
    """
    largest = y.abs().flatten(y.ndim - dims).amax(-1)
    extreme = (largest > 0) & ((largest < 1e-9) | (largest > 1e9)) & torch.isfinite(largest)
    power = torch.ldexp(torch.ones_like(largest), torch.frexp(largest).exponent)
    return torch.where(extreme, power, 1)


@torch.no_grad()
def conjugate_gradient(
    apply: Callable[[Tensor], Tensor],
    b: Tensor,
    *,
    dims: int,
    start: Tensor | None = None,
    precondition: Callable[[Tensor], Tensor] | None = None,
    tol: float | Tensor = 1e-6,
    max_iter: int = 200,
    reorthogonalise: bool = False,
) -> tuple[Tensor, int]:
    r"""Solve :math:`N x = b` for symmetric positive semi-definite :math:`N`.

    Every system of the batch has its own step sizes and stopping, so a batch gives the same
    solutions as one system at a time. With ``b`` and ``start`` in the range of :math:`N` and no
    preconditioner, the limit is the solution of minimum norm. Nothing is recorded for autograd.

    Args:
        apply: :math:`N`.
        b: Right-hand sides, shape ``(*batch, *shape)`` with ``dims`` trailing dimensions; real,
            or complex for a Hermitian :math:`N`.
        dims: Number of dimensions of one unknown.
        start: Initial guess; 0 by default.
        precondition: Approximation of :math:`N^{-1}`, symmetric positive definite.
        tol: Stop a system once ``||b - N x|| <= tol ||b||``; one number, or one a system.
        max_iter: Maximum number of iterations.
        reorthogonalise: Keep every residual orthogonal to those before, at the cost of keeping
            them. In finite precision residuals lose their orthogonality once a large eigenvalue
            has been found; what follows depends on every rounding, and so on the batch size and
            the number of threads. Needed where ``max_iter`` ends the iteration, not ``tol``. Real
            systems without a preconditioner.

    Returns:
        The solutions, and the number of iterations of the slowest system.

    References:
        Hestenes & Stiefel, "Methods of Conjugate Gradients for Solving Linear Systems",
        J. Res. Nat. Bur. Stand. 49:409-436, 1952.
    """

    def add_scaled(a: Tensor, scale: Tensor, c: Tensor) -> None:
        a.addcmul_(c, expand_to(scale, dims).to(c.dtype))

    x = torch.zeros_like(b) if start is None else start.clone()
    r = b.clone() if start is None else b - apply(start)
    z = r if precondition is None else precondition(r)
    p = z.clone()
    rho = inner(r, z, dims)
    size = rho if precondition is None else inner(r, r, dims)
    limit = tol**2 * inner(b, b, dims)
    active = size > limit
    earlier = _Residuals(r, dims, max_iter) if reorthogonalise else None
    for iteration in range(max_iter):
        if not active.any():
            return x, iteration
        q = apply(p)
        curvature = inner(p, q, dims)
        active = active & (curvature > 0)
        alpha = torch.where(active, rho / curvature, 0)
        add_scaled(x, alpha, p)
        if earlier is not None:
            earlier.add(iteration, r, rho)
        add_scaled(r, -alpha, q)
        if earlier is not None:
            r = earlier.remove_from(r, iteration + 1)
        z = r if precondition is None else precondition(r)
        last, rho = rho, inner(r, z, dims)
        beta = torch.where(active, rho / last, 0)
        p = torch.addcmul(z, p, expand_to(beta, dims).to(p.dtype))
        size = rho if precondition is None else inner(r, r, dims)
        active = active & (size > limit)
    return x, max_iter


class _Residuals:
    """Residuals of a batch of systems, as rows of unit norm."""

    def __init__(self, like: Tensor, dims: int, count: int) -> None:
        flat = like.flatten(like.ndim - dims)
        self.rows = flat.new_zeros(*flat.shape[:-1], count, flat.shape[-1])

    def add(self, index: int, residual: Tensor, square: Tensor) -> None:
        """Keep a residual whose squared norm is known; one of length zero stays zero."""
        scale = torch.where(square > 0, square.rsqrt(), 0)
        row = self.rows[..., index, :]
        torch.mul(residual.reshape(row.shape), scale[..., None], out=row)

    def remove_from(self, residual: Tensor, count: int) -> Tensor:
        """Return a residual without its components along the first ``count``."""
        rows, column = self.rows[..., :count, :], residual.reshape(*self.rows.shape[:-2], -1, 1)
        # Once is enough: what there is to remove is itself no more than rounding.
        return (column - rows.mT @ (rows @ column)).reshape(residual.shape)
