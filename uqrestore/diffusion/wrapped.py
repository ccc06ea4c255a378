"""Wrapped denoisers: their common base, and wrappers that check or count calls."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from uqrestore.diffusion.denoiser import Denoiser, NetworkDenoiser
from uqrestore.operators.base import Shape
from uqrestore.problem import Problem


class WrappedDenoiser:
    """Base of denoisers that call another one.

    Args:
        inner: The wrapped denoiser.

    Attributes:
        inner: The wrapped denoiser, which may itself be wrapped.
    """

    def __init__(self, inner: Denoiser) -> None:
        self.inner = inner

    @property
    def in_shape(self) -> Shape:
        """Shape of one image, ``(channel, *space)``."""
        return tuple(self.inner.in_shape)

    @property
    def network(self) -> nn.Module | None:
        """The network behind all wrappers; None behind a closed-form prior or a plain function."""
        inner: object = self.inner
        if isinstance(inner, WrappedDenoiser):
            return inner.network
        return inner if isinstance(inner, nn.Module) else None

    def prepare(self, problem: Problem, batch: Shape) -> Problem:
        """Return the problem as the wrapped denoiser prepares it; see :func:`prepare`."""
        return prepare(self.inner, problem, batch)


def prepare(denoiser: Denoiser, problem: Problem, batch: Shape) -> Problem:
    """Return a problem ready for many calls of a denoiser.

    A network lays out its conditioning inputs once; other denoisers take the problem as it is.

    Args:
        denoiser: The denoiser that will be called with the problem.
        problem: The measurement.
        batch: Batch shape of the images of every call, ``(*sample, *problem)``.

    Raises:
        ValueError: If the denoiser is a network that takes no measurement or other images.
    """
    if isinstance(denoiser, NetworkDenoiser | WrappedDenoiser):
        return denoiser.prepare(problem, batch)
    return problem


DIVERGED = 1e3
"""Images beyond this many times their scale at a noise level are not those of any prior."""


class Checked(WrappedDenoiser):
    """A denoiser as a method calls it: calls are numbered and every output must be finite.

    Args:
        inner: The prior, or a conditional denoiser.
        method: Name of the method, for the error.
        problem: The measurement that a conditional denoiser is given in every call.
    """

    def __init__(self, inner: Denoiser, method: str, problem: Problem | None = None) -> None:
        super().__init__(inner)
        self._method, self._problem = method, problem
        self.calls = 0

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        """Return the denoiser's estimate of the clean image.

        Raises:
            FloatingPointError: If it holds NaN or infinity.
        """
        self.calls += 1
        level = torch.as_tensor(sigma, dtype=x.dtype, device=x.device)
        # A zero-shot prior is called with two arguments, so that plain functions will do.
        given = self._problem
        clean = self.inner(x, level) if given is None else self.inner(x, level, given)
        if not torch.isfinite(clean).all():
            largest = float(x.detach().abs().max())
            if not largest < DIVERGED * (1 + float(level.max())):
                raise FloatingPointError(
                    f"{self._method} diverged: at step {self.calls} (sigma={sigma:.4g}) its images "
                    f"had reached {largest:.3g} before the network was called; take more steps, or "
                    "another method, such as 'local_gaussian'."
                )
            bad = int((~torch.isfinite(clean)).sum())
            raise FloatingPointError(
                f"{self._method}: at step {self.calls} (network call, sigma={sigma:.4g}) the "
                f"network returned {bad} of {clean.numel()} values that are NaN or infinite; "
                "check its weights, and whether sigma lies in the range it was trained for."
            )
        return clean


@dataclass
class Counts:
    """Number of applications of each map to the whole batch.

    Attributes:
        network: Calls of the denoiser.
        products: Vector-Jacobian products, one backward pass each.
        forward: Applications of ``A``.
        adjoint: Applications of its transpose.
        pinv: Applications of its pseudo-inverse.
        solve: Wiener solves.
    """

    network: int = 0
    products: int = 0
    forward: int = 0
    adjoint: int = 0
    pinv: int = 0
    solve: int = 0

    @property
    def calls(self) -> int:
        """Network calls, a product counted as two."""
        return self.network + 2 * self.products


class Counting(WrappedDenoiser):
    """A denoiser that counts its calls and products.

    Args:
        inner: The denoiser.
        counts: Tally to add to; a new one by default.
    """

    def __init__(self, inner: Denoiser, counts: Counts | None = None) -> None:
        super().__init__(inner)
        self.counts = counts or Counts()

    @property
    def calls(self) -> int:
        """Calls of the denoiser, without products."""
        return self.counts.network

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:  # noqa: ANN401 - passed through
        """Denoise and count."""
        self.counts.network += 1
        clean = self.inner(*args, **kwargs)
        if clean.requires_grad:
            clean.register_hook(self._count_product)
        return clean

    def _count_product(self, _: Tensor) -> None:
        self.counts.products += 1


def uncounted(denoiser: Denoiser) -> Denoiser:
    """Return the denoiser behind counting wrappers."""
    while isinstance(denoiser, Counting):
        denoiser = denoiser.inner
    return denoiser
