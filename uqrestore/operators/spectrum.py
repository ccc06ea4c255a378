"""Singular value decompositions as maps, and the report of a solve."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class SolveInfo:
    """Report of a least-squares or Wiener solve.

    Attributes:
        residual: ``||A^T (y - A x) - noise_std^2 x|| / ||A^T y||``, one per image of the batch;
            0 for an exact least-squares solution even where ``y`` is not in the range of ``A``.
        iterations: Steps of conjugate gradients; 0 for a closed form.
        rank: Number of singular values kept, shape ``(*problem,)``; None where it is unknown.
    """

    residual: Tensor
    iterations: int
    rank: Tensor | None


@dataclass(frozen=True, eq=False)
class Spectrum:
    """A thin singular value decomposition ``A = U S V^T`` as maps, never as stored matrices.

    ``c`` are coefficients ``(*batch, *problem, p)``. Entries where ``s`` is 0 are padding:
    ``vt`` and ``ut`` return 0 there; ``v`` and ``u`` ignore the coefficients there.

    Attributes:
        s: Singular values, shape ``(*problem, p)``, in no particular order.
        vt: Image to coefficients.
        v: Coefficients to image.
        ut: Measurement to coefficients.
        u: Coefficients to measurement.
    """

    s: Tensor
    vt: Callable[[Tensor], Tensor]
    v: Callable[[Tensor], Tensor]
    ut: Callable[[Tensor], Tensor]
    u: Callable[[Tensor], Tensor]
