"""Posterior draws of an array: measurement in, images out."""

import contextlib
import copy
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from uqrestore.diffusion.denoiser import Denoiser, NetworkDenoiser, as_denoiser, precision
from uqrestore.diffusion.external import ExternalDenoiser
from uqrestore.diffusion.windowed import for_slices
from uqrestore.operators._arrays import Array
from uqrestore.operators.base import LinearOperator
from uqrestore.operators.nonlinear import NonlinearOperator
from uqrestore.pipeline import MethodPart
from uqrestore.pipeline.check import check_method
from uqrestore.posterior import PosteriorWriter
from uqrestore.posterior.acquisition import Acquisition
from uqrestore.posterior.general_acquisition import GeneralAcquisition
from uqrestore.priors import ClosedForm
from uqrestore.problem import GeneralProblem, Problem, as_measurement
from uqrestore.restoration.arrays import Spacing, plan_of_array
from uqrestore.restoration.draw import beside, chunks, draw_in_detail, judged_as_a_whole
from uqrestore.restoration.prior_cache import load_denoiser
from uqrestore.scans import Intensity

BATCH_SIZE = 64
"""Images in one call of the prior, unless another number is given; as of a pipeline."""
BRIGHT, DARK = 2.0, 0.01
"""Root mean square of ``A^+ y`` beyond which the image can hardly lie within [-1, 1]."""
COMPONENTS = 3
"""Principal components in a posterior file."""

Report = Callable[[int, int], None]
"""Called with the number of images drawn so far and the number wanted."""
Prior = str | Denoiser | Callable[..., Tensor]


def sample(
    operator: LinearOperator | NonlinearOperator,
    y: Array | Problem | GeneralProblem,
    prior: Prior,
    method: str = "ddnm",
    *,
    noise_std: float | Tensor = 0.0,
    samples: int = 16,
    seed: int = 0,
    batch_size: int | None = None,
    device: str = "cpu",
    progress: bool | Report = False,
    image_range: tuple[float, float] | None = None,
    out: str | PathLike[str] | None = None,
    spacing: Spacing = None,
    unit: str = "a.u.",
    overwrite: bool = False,
    **options: Any,  # noqa: ANN401 - checked against the method
) -> Float[Tensor, " sample *batch channel row column"]:
    """Draw images from the posterior of a measurement ``y = A x + noise_std * n``.

    Draw ``i`` of problem ``j`` depends on ``(seed, j, i)`` alone, whatever the batch size.

    Args:
        operator: ``A``.
        y: Measurement, shape ``operator.out_shape``, or ``(batch, *operator.out_shape)`` for
            several; complex values where the operator measures real and imaginary parts. In units
            in which the image lies in the prior's range, [-1, 1] for every bundled prior, or else
            with ``image_range``. Or a ``Problem`` of this operator, as ``simulate`` returns it,
            which has its own ``noise_std``; or a ``GeneralProblem``, for methods that take one.
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
        image_range: Image intensities that -1 and 1 of the prior stand for, where ``y`` is of an
            image in other units; the draws are then in these units too.
        out: Posterior file to write, with one slice per problem, and the draws of unknown
            parameters; rows run to anterior, columns to
            the right. An interrupted call is resumed by the same call, unless the prior is a plain
            function.
        spacing: Pixel size in mm for the file: a number, (row, column) or (slice, row, column).
        unit: Unit of the image intensities for the file.
        overwrite: Replace ``out`` once the new file is complete.
        options: Options of the method, such as ``steps=50``.

    Returns:
        Draws in the units of the prior, or of ``image_range``, in the precision of the prior.

    Raises:
        ValueError: If measurement, operator, prior and method do not fit one another.
        uqrestore.posterior.PosteriorError: If ``out`` exists.
    """
    part = MethodPart(name=method, options=options)
    check_method(("method",), part)
    if samples < 1 or (batch_size is not None and batch_size < 1):
        raise ValueError(f"samples and batch_size start at 1, got {samples} and {batch_size}.")
    intensity = Intensity(0.0, 1.0, unit)
    if image_range is not None:
        if isinstance(y, Problem | GeneralProblem):
            raise ValueError("a Problem is in the units of the prior; give image_range with y.")
        intensity = Intensity.from_range(*image_range, unit)
    if not isinstance(y, Problem | GeneralProblem):
        if isinstance(operator, NonlinearOperator):
            raise ValueError(
                f"{operator.name} is not linear; give GeneralProblem(operator, y, noise_model) "
                "instead of y."
            )
        y = Problem(operator, as_measurement(operator, y), noise_std)
    denoiser, dtype = _ready(prior, y, device)
    given = y.to(device).to(dtype)
    problem = given
    if image_range is not None and isinstance(given, Problem):
        problem = Problem.from_units(given.operator, given.y, *image_range, given.noise_std)
    trained = isinstance(denoiser, NetworkDenoiser | ExternalDenoiser)
    if trained and isinstance(problem, Problem):
        _check_range(problem)
    single = not problem.problem_shape
    if single:
        given, problem = (replace(p, y=p.y[None]) for p in (given, problem))
    acquisition: Acquisition | GeneralAcquisition | None = None
    writer = None
    with contextlib.ExitStack() as stack:
        if out is not None:
            acquisition = _acquisition(given, intensity)
            plan = plan_of_array(
                acquisition,
                part,
                prior,
                samples=samples,
                seed=seed,
                spacing=spacing,
                device=device,
            )
            writer = stack.enter_context(PosteriorWriter(Path(out), plan, overwrite=overwrite))
        report = stack.enter_context(_reporting(progress))
        images = problem.y.new_empty(samples, len(problem.y), *problem.in_shape)
        size, done = batch_size or BATCH_SIZE, 0
        for rows in chunks(range(len(problem.y)), max(1, size // samples)):
            group, missing = problem.select(rows), range(samples)
            if writer is not None:
                missing = writer.missing(rows)
                for i in sorted(set(range(samples)) - set(missing)):
                    images[i, list(rows)] = torch.as_tensor(writer.read(i, rows)).to(images)
            done += len(rows) * (samples - len(missing))
            for draws in chunks(missing, max(1, size // len(rows))):
                start = time.perf_counter()
                whole = contextlib.nullcontext() if writer is None else judged_as_a_whole()
                with whole:
                    found, details, counts = draw_in_detail(
                        part, group, denoiser, seed=seed, scan=0, slices=rows, draws=draws
                    )
                block = intensity.to_file(found)
                images[list(draws), rows[0] : rows[-1] + 1] = block
                if writer is not None and acquisition is not None:
                    writer.write(
                        draws,
                        rows,
                        block.float().cpu().numpy(),
                        nfe=counts.network,
                        wall_s=time.perf_counter() - start,
                        **beside(acquisition, group, rows, found, details),
                    )
                done += len(rows) * len(draws)
                report(done, samples * len(problem.y))
        if writer is not None:
            writer.finish(writer.summarise(components=COMPONENTS))
    return images[:, 0] if single else images


def _ready(
    prior: Prior, problem: Problem | GeneralProblem, device: str
) -> tuple[Denoiser, torch.dtype]:
    """Return the prior as a denoiser on the device, and the type of its numbers."""
    rows, columns = problem.in_shape[-2:]
    if isinstance(prior, str):
        denoiser, card = load_denoiser(prior, device)
        if card.of_windows:
            denoiser = for_slices(denoiser, rows, columns)
    else:
        if isinstance(prior, torch.nn.Module) and _elsewhere(prior, device):
            prior = copy.deepcopy(prior).to(device)  # the caller's stays where it is
        elif isinstance(prior, ClosedForm):
            prior = prior.to(device)
        denoiser = as_denoiser(prior, problem.in_shape)
    return denoiser, precision(denoiser) or problem.y.dtype


def _elsewhere(module: torch.nn.Module, device: str) -> bool:
    wanted = torch.device(device)
    found = {p.device for p in module.parameters()}
    return any(d.type != wanted.type or wanted.index not in (None, d.index) for d in found)


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
            "give image_range=(low, high), the intensities that -1 and 1 stand for.",
            stacklevel=3,
        )


def _acquisition(
    problem: Problem | GeneralProblem, intensity: Intensity
) -> Acquisition | GeneralAcquisition:
    """Return a batch of problems as slices that were acquired in the units of the file."""
    if isinstance(problem, GeneralProblem):
        problem, slices = problem.to("cpu"), tuple(range(len(problem.y)))
        return GeneralAcquisition(
            problem.operator, problem.y, problem.noise_model, intensity, slices
        )
    noise_std = torch.as_tensor(problem.noise_std).unique()
    if len(noise_std) > 1:
        raise ValueError("a posterior file has one noise_std for all its slices; write one a file.")
    operator, slices = problem.operator, tuple(range(len(problem.y)))
    return Acquisition(operator.to("cpu"), problem.y.cpu(), float(noise_std), intensity, slices)


@contextlib.contextmanager
def _reporting(progress: bool | Report) -> Iterator[Report]:
    if not isinstance(progress, bool):
        yield progress
        return
    from rich.progress import Progress

    with Progress(disable=not progress, transient=True) as bar:
        task = bar.add_task("draws")
        yield lambda done, total: bar.update(task, completed=done, total=total)
