"""How much of a method's time is its own, and not the network's."""

import time
from dataclasses import dataclass
from typing import Annotated, Any

import torch
import typer
from torch import Tensor

from tests.benchmarks.card_plans import PLANS
from uqrestore.cli.terminal import one_line_faults, say
from uqrestore.diffusion.denoiser import Denoiser
from uqrestore.diffusion.wrapped import WrappedDenoiser
from uqrestore.methods import METHODS
from uqrestore.noise import SampleNoise
from uqrestore.operators import Inpainting
from uqrestore.problem import Problem, simulate
from uqrestore.zoo import load_prior


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


class Timed(WrappedDenoiser):
    """A denoiser that adds up the time spent inside it, backward passes included.

    Args:
        inner: The denoiser.
    """

    def __init__(self, inner: Denoiser) -> None:
        super().__init__(inner)
        self.calls = self.products = 0
        self.seconds = self._start = 0.0

    def __call__(self, x: Tensor, *context: Any) -> Tensor:  # noqa: ANN401 - passed through
        """Denoise, by the clock."""
        start = time.perf_counter()
        clean = self.inner(x, *context)
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


CONDITIONED = {"conditional", "exact"}
"""Methods that need more than a network trained on images alone."""

QUICK = {
    "daps": {"levels": 10},
    "ddnm": {"steps": 20},
    "ddnm_plus": {"steps": 20},
    "diffpir": {"steps": 20},
    "dps": {"steps": 10},
    "local_gaussian": {"preset": "50", "levels": 4},
    "moment_matching": {"steps": 4},
    "pigdm": {"steps": 10},
    "ssd": {"preset": "30"},
    "ssd_plus": {"preset": "30"},
}
"""Enough steps to time a method by."""


def overhead(
    methods: Annotated[list[str] | None, typer.Argument(help="Methods; all by default.")] = None,
    *,
    prior: Annotated[str, typer.Option(help="Name of a prior of the zoo.")] = "brain64-prior",
    images: Annotated[int, typer.Option(min=1, help="Images in one network call.")] = 16,
) -> None:
    """Time what methods do beside their network, on one core of this machine."""
    with one_line_faults():
        unknown = set(methods or []) - set(METHODS)
        if unknown:
            raise ValueError(f"no method {', '.join(unknown)}; it can be {', '.join(METHODS)}.")
        denoiser = load_prior(prior)
        seen = torch.rand(denoiser.in_shape, generator=torch.Generator().manual_seed(0)) < 0.3
        truth = torch.zeros(denoiser.in_shape)
        for name in methods or [name for name in METHODS if name not in CONDITIONED]:
            noise_std = max(next(iter(PLANS[name].values())).noise_std)
            streams = SampleNoise(0, [0])
            known = simulate(Inpainting(seen.float()), truth, noise_std=noise_std, noise=streams)
            noise = SampleNoise(1, range(images))
            found = measure_overhead(METHODS[name], known, denoiser, noise, **QUICK.get(name, {}))
            say(
                f"{name:16s} {found.calls:4d} calls {found.products:4d} products "
                f"{found.seconds:7.2f} s, beside the network {found.share:6.1%}"
            )


if __name__ == "__main__":
    typer.run(overhead)
