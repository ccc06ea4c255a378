"""A prior from undersampled, noisy measurements alone: expectation maximisation by draws."""

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from uqrestore.diffusion.denoiser import Denoiser
from uqrestore.diffusion.error_model import fit_error_model
from uqrestore.diffusion.windowed import WindowedDenoiser
from uqrestore.methods import METHODS
from uqrestore.networks.weights import load_tensors, save_json, save_tensors
from uqrestore.noise import SampleNoise
from uqrestore.operators.random.base import OperatorDistribution
from uqrestore.priors.low_rank import LowRankGaussian, fit_low_rank
from uqrestore.problem import Problem, simulate
from uqrestore.training.config import MeasurementsConfig, TrainConfig
from uqrestore.training.data import Images, Source, augment
from uqrestore.training.loop import Progress, train
from uqrestore.training.trainer import build_denoiser

AT_ONCE = 64
"""Measurements restored in one call."""
HELD_OUT = 16
"""One measurement in so many is not learned from: its draws are for validation."""
DRAWS = 4
"""Draws of each measurement for the Gaussian prior, where they are cheap once it is conditioned."""
START_STD = 0.5
"""Standard deviation of the images before anything is known of them, in network units."""
ERROR_SIGMAS = torch.logspace(math.log10(0.003), math.log10(20), 24).tolist()
"""Noise levels at which the errors of the network of a round are measured."""
PLAN = "measurements.json"

Block = tuple[range, Problem]
"""Measurements that are restored together, and their indices."""
Restored = Callable[[int, int, int], None]
"""Called with the round, the measurements restored so far, and their number."""


def learn_from_measurements(
    config: TrainConfig,
    problems: Sequence[Problem],
    folder: Path,
    *,
    first: Denoiser | None = None,
    device: torch.device | str = "cpu",
    restored: Restored | None = None,
    report: Callable[[Progress], None] | None = None,
    notify: Callable[[str], None] | None = None,
) -> Path:
    r"""Learn a prior from measurements whose images nobody has seen.

    The density of the images that makes the measurements most likely is found by expectation
    maximisation: draw an image from the posterior of every measurement under the prior of now,
    train on these draws, and begin again. Directions that no measurement sees stay as they were
    at the start, so masks have to differ between measurements.

    The first prior is Gaussian, found in the same way, without a network; or ``first``. Every
    round is a folder of ``folder`` with its draws and its training. A stopped run goes on by the
    same call.

    Args:
        config: The training; ``measurements`` holds the rounds and the method, and ``samples``
            are those of all rounds together.
        problems: Batches of measurements in network units, each of one image shape.
        folder: Where everything is kept.
        first: Prior of the first round instead of a Gaussian one, of whole images or of windows.
        device: Where to compute.
        restored: Called while draws are made.
        report: Called after each training step.
        notify: Called with lines for the user.

    Returns:
        The file of the averaged weights of the last round.

    Raises:
        ValueError: If there are too few measurements, or the folder holds another run.

    References:
        Rozet et al., "Learning Diffusion Priors from Observations by Expectation Maximization",
        NeurIPS 2024. arXiv:2405.13712
    """
    plan = config.measurements or MeasurementsConfig()
    pieces = list(blocks(problems))
    _check(config, plan, pieces, folder)
    pieces = [(rows, problem.to(device)) for rows, problem in pieces]

    def begin() -> Denoiser:
        return first or gaussian_from_measurements(pieces, plan, config.seed)

    weights: Path | None = None
    prior: Callable[[], Denoiser] = begin
    for number in range(1, plan.rounds + 1):
        place = folder / f"round-{number}"
        draws = _draw(prior, pieces, plan, config.seed, number, place, restored)
        held = [d for i, d in enumerate(_each(draws)) if i % HELD_OUT == 0]
        kept = [d for i, d in enumerate(_each(draws)) if i % HELD_OUT]
        update: dict[str, object] = {"measurements": plan.model_copy(update={"rounds": number})}
        update["samples"] = max(config.samples // plan.rounds, config.batch)
        update["start"] = config.start if weights is None else str(weights)
        one = config.model_copy(update=update)
        val = _cut(held, config.data.shape[1:], torch.Generator().manual_seed(0))
        source = draws_source(kept, config)
        weights = train(one, source, val, place, device=device, report=report, notify=notify)
        prior = partial(_learned, one, weights, val, device)
    assert weights is not None
    return weights


def gaussian_from_measurements(
    blocks: Sequence[Block], plan: MeasurementsConfig, seed: int = 0
) -> LowRankGaussian:
    """Return the Gaussian prior that draws from its own posteriors bring back.

    Args:
        blocks: Measurements of images of one shape, with their indices.
        plan: ``rank`` of the prior, and ``gaussian_rounds``.
        seed: Seed of the draws.

    Raises:
        ValueError: If images are of several shapes, or fewer than the rank asks for.
    """
    shapes = {problem.in_shape for _, problem in blocks}
    count = sum(len(rows) for rows, _ in blocks)
    if len(shapes) > 1 or count <= plan.rank:
        raise ValueError(
            f"{count} measurements of images of shape {sorted(shapes)}: a first Gaussian prior "
            f"wants more than rank {plan.rank} of one shape; lower measurements.rank, or start "
            "from the weights of a prior."
        )
    shape = shapes.pop()
    like = blocks[0][1].y
    nothing = torch.zeros(0, *shape, dtype=like.dtype, device=like.device)
    prior = LowRankGaussian(nothing.new_zeros(shape), nothing, START_STD**2)
    for number in range(plan.gaussian_rounds):
        images = []
        for rows, problem in blocks:
            noise = SampleNoise(seed + number, range(DRAWS), scan=1, slices=rows)
            images.append(prior.condition(problem).draw(noise).flatten(0, 1).to(like.dtype))
        prior = fit_low_rank(torch.cat(images), plan.rank, power=3)
    return prior


def measurements_of(
    images: Images, distribution: OperatorDistribution, noise_std: float, seed: int
) -> list[Problem]:
    """Measure every image once, by an operator of its own: a study without its ground truth."""
    found = []
    for start in range(0, len(images), AT_ONCE):
        some = images[start : start + AT_ONCE]
        generator = torch.Generator().manual_seed(seed * 1_000_003 + start)
        operator = distribution.draw(generator, len(some))
        noise = SampleNoise(seed, [0], scan=2, slices=range(start, start + len(some)))
        found.append(simulate(operator, some, noise_std=noise_std, noise=noise))
    return found


def draws_source(draws: Sequence[Tensor], config: TrainConfig) -> Source:
    """Draw training images from draws ``(channel, row, column)``, of any size for windows."""
    size = config.data.shape[1:]

    def draw(count: int, generator: torch.Generator) -> Images:
        chosen = torch.randint(len(draws), (count,), generator=generator).tolist()
        images = _cut([draws[i] for i in chosen], size, generator)
        return augment(images, generator) if config.data.augment == "brain" else images

    return draw


def _cut(images: Sequence[Tensor], size: tuple[int, int], generator: torch.Generator) -> Images:
    """Return images of one size: as they are, or a window of each."""
    found = []
    for image in images:
        if image.shape[-2] < size[0] or image.shape[-1] < size[1]:
            raise ValueError(
                f"measured slices of {tuple(image.shape[-2:])} pixels are smaller than the "
                f"training images, {size}; make data.shape smaller, or leave these scans out."
            )
        spare = [have - want for have, want in zip(image.shape[1:], size, strict=True)]
        top, left = (int(torch.randint(room + 1, (), generator=generator)) for room in spare)
        found.append(image[:, top : top + size[0], left : left + size[1]])
    return torch.stack(found)


def blocks(problems: Sequence[Problem]) -> Iterator[Block]:
    """Yield measurements that are restored together, and their indices."""
    done = 0
    for problem in problems:
        count = problem.problem_shape[0]
        for start in range(0, count, AT_ONCE):
            rows = range(start, min(start + AT_ONCE, count))
            yield range(done + rows.start, done + rows.stop), problem.select(rows)
        done += count


def _each(blocks: Sequence[Tensor]) -> Iterator[Tensor]:
    for block in blocks:
        yield from block


def _check(
    config: TrainConfig,
    plan: MeasurementsConfig,
    blocks: Sequence[Block],
    folder: Path,
) -> None:
    """Refuse to go on with another run, or with next to nothing."""
    count = blocks[-1][0].stop if blocks else 0
    if count < 2 * HELD_OUT:
        raise ValueError(
            f"there are {count} measurements; give at least {2 * HELD_OUT} to learn a prior from."
        )
    digest = hashlib.sha256()
    for _, problem in blocks:
        digest.update(problem.y.cpu().numpy().tobytes())
    stated = {
        "measurements": plan.model_dump(mode="json", exclude={"rounds"}),
        "seed": config.seed,
        "start": config.start,
        "count": count,
        "sha256": digest.hexdigest(),
    }
    path = folder / PLAN
    old = json.loads(path.read_text()) if path.exists() else stated
    if changed := [key for key in stated if stated[key] != old.get(key)]:
        raise ValueError(
            f"{folder}: holds a run whose {', '.join(changed)} differ; continue it with the same "
            "pipeline and measurements, or choose another output folder."
        )
    folder.mkdir(parents=True, exist_ok=True)
    save_json(path, stated)


def _learned(
    config: TrainConfig, weights: Path, held: Images, device: torch.device | str
) -> Denoiser:
    """Return the network of a round, with an error model for methods that need one.

    Draws stand in for images in it: nobody has seen the images, and under the right prior the two
    have one distribution.
    """
    network = build_denoiser(config).to(device).eval()
    network.load_state_dict(load_tensors(weights))
    generator = torch.Generator().manual_seed(config.seed)
    with torch.no_grad():
        network.errors = fit_error_model(
            network, held.to(device), ERROR_SIGMAS, generator, batch_size=AT_ONCE
        )
    return network


def _draw(
    prior: Callable[[], Denoiser],
    blocks: Sequence[Block],
    plan: MeasurementsConfig,
    seed: int,
    number: int,
    folder: Path,
    restored: Restored | None,
) -> list[Tensor]:
    """Return a draw from the posterior of every measurement; those of the folder are read."""
    method, found, count = METHODS[plan.method.name], [], blocks[-1][0].stop
    (folder / "draws").mkdir(parents=True, exist_ok=True)
    now: Denoiser | None = None  # what took minutes to fit is not fitted for draws that are there
    for rows, problem in blocks:
        path = folder / "draws" / f"{rows.start:07}.safetensors"
        if not path.exists():
            noise = SampleNoise(seed, [number], scan=3, slices=rows)
            now = now or prior()
            if isinstance(now, LowRankGaussian):
                images = now.condition(problem).draw(noise)[0]
            else:
                whole = _whole(now, problem)
                images = method(problem, whole, noise, **plan.method.options)[0]
            save_tensors(path, {"draws": images.float().cpu()})
        found.append(load_tensors(path)["draws"])
        if restored is not None:
            restored(number, rows.stop, count)
    return found


def _whole(prior: Denoiser, problem: Problem) -> Denoiser:
    """Return a prior of the images of a problem: itself, or its windows."""
    size = (problem.in_shape[-2], problem.in_shape[-1])
    same = tuple(prior.in_shape[-2:]) == size
    return prior if same else WindowedDenoiser(prior, size)
