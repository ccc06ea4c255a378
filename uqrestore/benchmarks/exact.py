"""Problems whose posterior is known exactly, and how far a method's draws are from it.

A Gaussian field has a Gaussian posterior in closed form, and a mixture of Gaussians a mixture, so a
method with the exact denoiser of the prior makes no error but its own: what is measured here is the
bias of the algorithm, apart from what a trained network adds.

Sets of problems: ``G8``, ``G16`` and ``G32``, Gaussian fields of 8, 256 and 1024 voxels under every
operator of :data:`OPERATORS`; and the mixtures of :mod:`uqrestore.benchmarks.mixtures`.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from uqrestore.benchmarks.counting import count
from uqrestore.benchmarks.posterior_scores import Distance, distance
from uqrestore.diffusion.wrapped import uncounted
from uqrestore.noise import SampleNoise
from uqrestore.operators._checks import Shape
from uqrestore.operators.base import LinearOperator, stack_operators
from uqrestore.operators.colorization import Colorization
from uqrestore.operators.inpainting import Inpainting
from uqrestore.operators.kernels import gaussian_kernel
from uqrestore.operators.masked_fourier import MaskedFourier
from uqrestore.operators.masks import cartesian
from uqrestore.operators.matrix import Matrix
from uqrestore.operators.strided_blur import StridedBlur
from uqrestore.priors import ClosedForm, gaussian_field
from uqrestore.problem import Problem, simulate

Method = Callable[..., Tensor]

SETS: Mapping[str, Shape] = {"G8": (1, 2, 4), "G16": (1, 16, 16), "G32": (1, 32, 32)}
"""Shape of the Gaussian fields of each set; colorization has three channels of it."""


MakeOperator = Callable[[Shape, torch.Generator], LinearOperator]


def _missing_half(shape: Shape, generator: torch.Generator) -> LinearOperator:
    seen = torch.rand(shape[-2:], generator=generator) < 0.5
    return Inpainting(seen.expand(shape).double())


def _fourier(shape: Shape, generator: torch.Generator) -> LinearOperator:
    mask = cartesian((shape[-2], shape[-1]), acceleration=4, center_lines=2, seed=generator)
    return MaskedFourier(mask, channels=1)


def _dense(shape: Shape, generator: torch.Generator) -> LinearOperator:
    pixels = torch.Size(shape).numel()
    rows = torch.randn(pixels // 4, pixels, generator=generator, dtype=torch.float64)
    return Matrix(rows / rows.norm(dim=-1, keepdim=True), shape)


def _blur(shape: Shape, generator: torch.Generator) -> LinearOperator:  # noqa: ARG001 - no chance
    side = min(shape[-2:])
    return StridedBlur(gaussian_kernel((side - 1, side - 1), 1.0).double(), 2, shape)


def _grey(shape: Shape, generator: torch.Generator) -> LinearOperator:  # noqa: ARG001 - no chance
    return Colorization(torch.full((1, 3), 1 / 3, dtype=torch.float64), (shape[-2], shape[-1]))


OPERATORS: Mapping[str, MakeOperator] = {
    "inpainting": _missing_half,
    "masked_fourier": _fourier,
    "strided_blur": _blur,
    "matrix": _dense,
    "colorization": _grey,
}
"""In-painting 50 %, k-space 4x, strided blur, dense 25 %, grey of three channels."""


@dataclass(frozen=True)
class Score(Distance):
    """How far the draws of a method are from the exact posterior, and what they cost.

    Attributes:
        calls: Network calls.
        products: Vector-Jacobian products; in a budget of calls each counts as two.
        forward: Applications of ``A``.
        adjoint: Of its transpose.
        pinv: Of its pseudo-inverse.
        solve: Wiener solves.
        seconds: For all draws of all truths, of which the prior's part depends on its size.
    """

    calls: int
    products: int
    forward: int
    adjoint: int
    pinv: int
    solve: int
    seconds: float


def measure(
    method: Method,
    operator: str,
    *,
    shape: Shape = (1, 16, 16),
    noise_std: float = 0.0,
    truths: int = 8,
    draws: int = 64,
    seed: int = 0,
    **options: Any,  # noqa: ANN401 - the method's own
) -> Score:
    """Run a method on a Gaussian field with the field's own denoiser and score its draws.

    Args:
        method: As in ``uqrestore.methods``; :func:`exact_draws` and :func:`prior_draws` give the
            best and the worst that the numbers can be.
        operator: A name of ``OPERATORS``.
        shape: Image shape; colorization takes three channels of it.
        noise_std: Measurement noise, in network units.
        truths: Images restored; each has an operator of its own.
        draws: Posterior samples an image.
        seed: Of truths, operators, noise and draws.
        options: Options of the method.

    Raises:
        ValueError: If there is no such operator.
    """
    if operator not in OPERATORS:
        raise ValueError(f"there is no operator {operator!r}; it can be {', '.join(OPERATORS)}.")
    if operator == "colorization":
        shape = (3, *shape[-2:])
    prior, rows = gaussian_field(shape), range(truths)
    generators = [torch.Generator().manual_seed(1000 * seed + i) for i in rows]
    known = stack_operators([OPERATORS[operator](shape, generator) for generator in generators])
    truth = prior.draw(SampleNoise(seed, [0], scan=1, slices=rows))[0]
    noise = SampleNoise(seed, [0], scan=2, slices=rows)
    problem = simulate(known, truth, noise_std=noise_std, noise=noise)
    streams = SampleNoise(seed, range(draws), slices=rows)
    return run(method, prior, problem, truth, streams, options)


def exact_draws(problem: Problem, denoiser: Any, noise: SampleNoise) -> Tensor:  # noqa: ANN401
    """Draw from the posterior itself: the floor of every distance."""
    prior = uncounted(denoiser)
    assert isinstance(prior, ClosedForm)
    return prior.posterior(problem).draw(noise)


def prior_draws(problem: Problem, denoiser: Any, noise: SampleNoise) -> Tensor:  # noqa: ANN401
    """Draw from the prior, whatever was measured: the ceiling."""
    del problem
    prior = uncounted(denoiser)
    assert isinstance(prior, ClosedForm)
    return prior.draw(noise)


def run(
    method: Method,
    prior: ClosedForm,
    problem: Problem,
    truth: Tensor,
    noise: SampleNoise,
    options: Mapping[str, Any],
) -> Score:
    """Run a method with a prior's own denoiser, count what it asks for, and score its draws."""
    counted, denoiser, counts = count(problem, prior)
    start = time.perf_counter()
    images = method(counted, denoiser, noise, **options)
    seconds = time.perf_counter() - start
    apart = distance(prior, problem, truth, images)
    return Score(
        **vars(apart),
        calls=counts.network,
        products=counts.products,
        forward=counts.forward,
        adjoint=counts.adjoint,
        pinv=counts.pinv,
        solve=counts.solve,
        seconds=seconds,
    )


def average(scores: Sequence[Score]) -> Score:
    """Return the mean of each number over several measurements, such as several problems."""
    means: dict[str, Any] = {}
    for name, first in vars(scores[0]).items():
        mean = sum(getattr(score, name) for score in scores) / len(scores)
        means[name] = round(mean) if isinstance(first, int) else mean
    return Score(**means)
