"""Posterior draws of an array: measurement in, images out."""

import contextlib
import copy
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from uqrestore.diffusion.denoiser import Denoiser, NetworkDenoiser, as_denoiser
from uqrestore.operators._arrays import Array
from uqrestore.operators.base import LinearOperator
from uqrestore.pipeline import MethodPart
from uqrestore.pipeline.check import check_method
from uqrestore.problem import Problem, as_measurement
from uqrestore.restoration.draw import chunks, draw
from uqrestore.zoo import load_prior

BATCH_SIZE = 64
"""Images in one call of the prior, unless another number is given; as of a pipeline."""
BRIGHT, DARK = 2.0, 0.01
"""Root mean square of ``A^+ y`` beyond which the image can hardly lie within [-1, 1]."""

Report = Callable[[int, int], None]
"""Called with the number of images drawn so far and the number wanted."""


def sample(
    operator: LinearOperator,
    y: Array | Problem,
    prior: str | Denoiser | Callable[..., Tensor],
    method: str = "ddnm",
    *,
    noise_std: float | Tensor = 0.0,
    samples: int = 16,
    seed: int = 0,
    batch_size: int | None = None,
    device: str = "cpu",
    progress: bool | Report = False,
    **options: Any,  # noqa: ANN401 - checked against the method
) -> Float[Tensor, " sample *batch channel row column"]:
    """Draw images from the posterior of a measurement ``y = A x + noise_std * n``.

    Draw ``i`` of problem ``j`` depends on ``(seed, j, i)`` alone, whatever the batch size.

    Args:
        operator: ``A``.
        y: Measurement, shape ``(*operator.out_shape)``, or ``(batch, *operator.out_shape)`` for
            several; complex values where the operator measures real and imaginary parts. In units
            in which the image lies in the prior's range, [-1, 1] for every bundled prior; for
            other units see :meth:`uqrestore.Problem.from_units`. Or a ``Problem`` of this
            operator, as ``simulate`` returns it, which has its own ``noise_std``.
        prior: Name of a bundled prior or path of its weights, what ``load_prior`` returns, a prior
            of ``uqrestore.priors``, or any function ``(x_t, sigma) -> clean images`` of images
            ``(n, channel, row, column)`` and noise levels that broadcast against them.
        method: Name of a method, see ``uqrestore.methods.METHODS``.
        noise_std: Standard deviation of the noise of ``y`` (per real component), in its units; one
            value, or one per problem.
        samples: Number of draws.
        seed: Seed of the draws.
        batch_size: Images in one call of the prior; changes no result.
        device: Device of the computation and of the result, such as ``"cuda"``.
        progress: Show a progress bar, or call a function ``(done, total)`` after every batch.
        options: Options of the method, such as ``steps=50``.

    Returns:
        Draws in the units of the prior, in its precision.

    Raises:
        ValueError: If measurement, operator, prior and method do not fit one another.
    """
    part = MethodPart(name=method, options=options)
    check_method(("method",), part)
    if samples < 1 or (batch_size is not None and batch_size < 1):
        raise ValueError(f"samples and batch_size start at 1, got {samples} and {batch_size}.")
    if not isinstance(y, Problem):
        y = Problem(operator, as_measurement(operator, y), noise_std)
    denoiser, dtype = _ready(prior, y, device)
    problem = y.to(device).to(dtype)
    if isinstance(denoiser, NetworkDenoiser):
        _check_range(problem)
    single = not problem.problem_shape
    if single:
        problem = Problem(problem.operator, problem.y[None], problem.noise_std)
    count, size = len(problem.y), batch_size or BATCH_SIZE
    images = problem.y.new_empty(samples, count, *problem.in_shape)
    with _reporting(progress) as report:
        done = 0
        for rows in chunks(range(count), max(1, size // samples)):
            group = problem.select(rows)
            for draws in chunks(range(samples), max(1, size // len(rows))):
                block, _ = draw(
                    part,
                    group,
                    denoiser,
                    seed=seed,
                    scan=0,
                    slices=rows,
                    draws=draws,
                )
                images[draws[0] : draws[-1] + 1, rows[0] : rows[-1] + 1] = block
                done += len(rows) * len(draws)
                report(done, samples * count)
    return images[:, 0] if single else images


def _ready(
    prior: str | Denoiser | Callable[..., Tensor], problem: Problem, device: str
) -> tuple[Denoiser, torch.dtype]:
    """Return the prior as a denoiser on the device, and the type of its numbers."""
    found = load_prior(prior) if isinstance(prior, str) else prior
    dtype = problem.y.dtype
    if isinstance(found, torch.nn.Module):
        first = next(found.parameters(), None)
        if first is not None:
            dtype = first.dtype
            if first.device != torch.device(device):  # a copy: the caller's stays where it is
                found = copy.deepcopy(found).to(device)
    return as_denoiser(found, problem.in_shape), dtype


def _check_range(problem: Problem) -> None:
    """Warn where the measurement is of an image far outside the range of networks."""
    image = problem.operator.pinv(problem.y)
    size = float(image.square().mean().sqrt())
    bright = BRIGHT
    if size > BRIGHT and problem.is_noisy:
        noise = problem.operator.noise_gain() * torch.as_tensor(problem.noise_std).to(problem.y)
        bright *= 1 + float(noise.max())
    if size > bright or 0 < size < DARK:
        warnings.warn(
            f"A^+ y has a root mean square of {size:.3g} but the prior makes images in [-1, 1]; "
            "write Problem.from_units(operator, y, low, high) with the intensities that -1 and 1 "
            "stand for, and give that as y.",
            stacklevel=3,
        )


@contextlib.contextmanager
def _reporting(progress: bool | Report) -> Iterator[Report]:
    if not isinstance(progress, bool):
        yield progress
        return
    from rich.progress import Progress

    with Progress(disable=not progress, transient=True) as bar:
        task = bar.add_task("draws")
        yield lambda done, total: bar.update(task, completed=done, total=total)
