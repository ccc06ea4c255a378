"""How much of a method's time is its own, and not the network's."""

import time
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from uqrestore.noise import SampleNoise
from uqrestore.operators.base import Shape
from uqrestore.problem import Problem


@dataclass(frozen=True)
class Overhead:
    """Where the wall time of one run went.

    Attributes:
        calls: Network calls.
        products: Vector-Jacobian products.
        seconds: Wall time of the run.
        network: Of these, inside network calls and products.
    """

    calls: int
    products: int
    seconds: float
    network: float

    @property
    def share(self) -> float:
        """Share of the run that neither network calls nor products took."""
        return 1 - self.network / self.seconds


@dataclass
class Timed:
    """A denoiser that adds up the time spent inside it, backward passes included.

    Args:
        denoiser: The denoiser.
    """

    denoiser: Any
    calls: int = 0
    products: int = 0
    seconds: float = 0.0
    _start: float = field(default=0.0, repr=False)

    @property
    def in_shape(self) -> Shape:
        return tuple(self.denoiser.in_shape)

    def __call__(self, x: Tensor, *context: Any) -> Tensor:  # noqa: ANN401 - passed through
        """Denoise, by the clock."""
        start = time.perf_counter()
        clean = self.denoiser(x, *context)
        self.seconds += time.perf_counter() - start
        self.calls += 1
        if clean.requires_grad:
            # A backward pass begins at the answer and ends at the input.
            clean.register_hook(self._begin)
            x.register_hook(self._end)
        return clean

    def _begin(self, _: Tensor) -> None:
        self._start = time.perf_counter()

    def _end(self, _: Tensor) -> None:
        self.seconds += time.perf_counter() - self._start
        self.products += 1


def measure_overhead(
    method: Any,  # noqa: ANN401 - as in uqrestore.methods
    problem: Problem,
    denoiser: Any,  # noqa: ANN401
    noise: SampleNoise,
    **options: Any,  # noqa: ANN401
) -> Overhead:
    """Time one run of a method on the CPU, after one network call and one product to warm up.

    A first backward pass with hooks loads hundreds of modules, a tenth of a short run.

    Args:
        method: As in ``uqrestore.methods``.
        problem: What to restore.
        denoiser: The prior.
        noise: Streams of the samples.
        options: Options of the method.
    """
    x = noise.normal(problem.in_shape, problem.y).requires_grad_(True)
    with torch.enable_grad():
        clean = Timed(denoiser)(x, torch.tensor(1.0))
    if clean.requires_grad:
        torch.autograd.grad(clean, x, clean.detach())
    timed = Timed(denoiser)
    start = time.perf_counter()
    method(problem, timed, noise, **options)
    seconds = time.perf_counter() - start
    return Overhead(timed.calls, timed.products, seconds, timed.seconds)
