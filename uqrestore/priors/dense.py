"""Operators and eigenvectors as float64 matrices, for closed-form priors."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from uqrestore.operators.base import LinearOperator
from uqrestore.problem import Problem


def double(problem: Problem) -> Problem:
    """Return a problem in float64, where the closed forms are exact to rounding."""
    noise_std = problem.noise_std
    if isinstance(noise_std, Tensor):
        noise_std = noise_std.double()
    return Problem(problem.operator.to(torch.float64), problem.y.double(), noise_std)


def matrix_of(operator: LinearOperator) -> Float[Tensor, "*problem row pixel"]:
    """Return the float64 matrix of an operator by measuring every unit image."""
    pixels = int(torch.Size(operator.in_shape).numel())
    images = torch.eye(pixels, dtype=torch.float64, device=operator.device)
    ones = [1] * len(operator.problem_shape)
    images = images.reshape(pixels, *ones, *operator.in_shape)
    images = images.expand(pixels, *operator.problem_shape, *operator.in_shape)
    measured = operator.forward(images).flatten(1 + len(ones))
    return measured.movedim(0, -1)


def with_fixed_signs(rows: Float[Tensor, "row pixel"]) -> Float[Tensor, "row pixel"]:
    """Return rows whose entry of largest magnitude is positive.

    Singular vectors have arbitrary signs, which differ between processors and libraries; draws
    that are made of them should not.
    """
    largest = rows.gather(-1, rows.abs().argmax(-1, keepdim=True))
    return torch.where(largest < 0, -rows, rows)


def top_eigenpairs(
    product: Callable[[Tensor], Tensor],
    start: Float[Tensor, "block *problem pixel"],
    k: int,
    *,
    tol: float = 1e-10,
    max_iter: int = 500,
) -> tuple[Float[Tensor, "*problem k pixel"], Float[Tensor, "*problem k"]]:
    """Compute leading eigenpairs of a positive semi-definite map by subspace iteration.

    Rayleigh-Ritz on the span of the block at every step, until no leading eigenvalue changes by
    more than ``tol`` of the largest.

    Args:
        product: The map, on ``(block, *problem, pixel)``.
        start: A block not orthogonal to the leading eigenvectors; a wider one converges faster.
        k: Number of pairs, at most the width of the block.
        tol: Relative change of the eigenvalues at which to stop.
        max_iter: Maximum number of products.

    References:
        Halko, Martinsson & Tropp, "Finding structure with randomness", SIAM Review 53, 2011,
        algorithm 4.4. arXiv:0909.4061
    """
    basis = torch.linalg.qr(start.movedim(0, -1)).Q
    values = None
    for _ in range(max_iter):
        image = product(basis.movedim(-1, 0)).movedim(0, -1)
        ritz, rotation = torch.linalg.eigh(_symmetric(basis.mT @ image))
        previous, values = values, ritz.flip(-1)[..., :k].clamp(min=0)
        if previous is not None and ((values - previous).abs() <= tol * values[..., :1]).all():
            basis = basis @ rotation
            break
        basis = torch.linalg.qr(image).Q
    assert values is not None  # max_iter is at least 1
    return basis.flip(-1)[..., :k].mT, values


def _symmetric(matrix: Tensor) -> Tensor:
    return (matrix + matrix.mT) / 2
