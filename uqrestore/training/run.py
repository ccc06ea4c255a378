"""Run a training pipeline: open the data, train, write weights and card; average them again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from uqrestore._shared.files import write_text
from uqrestore.diffusion.denoiser import Denoiser
from uqrestore.problem import Problem
from uqrestore.training.batch import build_distribution, operators_of
from uqrestore.training.config import FamilyConfig, TrainConfig
from uqrestore.training.data import Drawn, Source, step_generator
from uqrestore.training.export import export
from uqrestore.training.loop import Progress, train
from uqrestore.training.measurements import (
    Restored,
    learn_from_measurements,
    measurements_of,
)
from uqrestore.training.parallel import World, join
from uqrestore.training.power_ema import synthesise
from uqrestore.training.sources import open_data, pure_noise_level

PURE_NOISE_IMAGES = 2000
"""Images from which the level of pure noise is chosen."""
SKIPPED = "skipped.txt"
"""File of a run folder that names the images that could not be used, one a line."""


def run_training(
    config: TrainConfig,
    title: str,
    name: str,
    data: Path,
    folder: Path,
    *,
    device: str = "cpu",
    report: Callable[[Progress], None] | None = None,
    notify: Callable[[str], None] | None = None,
    tensorboard: bool = False,
) -> Path:
    """Train the network of a pipeline, or resume the run that the folder holds.

    Images that cannot be used are left out; ``skipped.txt`` in the folder names them, and the card
    counts them.

    Args:
        config: Training configuration.
        title: Title on the card.
        name: Name of the result.
        data: Folder of the training data.
        folder: Where the run, and in the end ``NAME.safetensors`` with its card ``NAME.json``,
            go.
        device: Where to train.
        report: Called after each step.
        notify: Called with lines for the user, such as that a run is resumed.
        tensorboard: Write the log for TensorBoard too.

    Returns:
        The file of weights; its path can stand as ``prior`` in a pipeline.

    Raises:
        WeightsError: If the weights to start from cannot be used.
        DataError: If the data cannot be used.
        ValueError: If the folder holds another run, or another process trains in it.
    """
    device = join(device)
    skipped: list[str] = []
    opened = open_data(data, config.data, skipped.append)
    _note_skipped(folder, skipped)
    if config.loss.choose_pure_noise:
        config = _with_pure_noise_level(config, opened.source)
    problem = config.problem
    train(
        config,
        opened.source,
        opened.val,
        folder,
        draw_operator=None if problem is None else operators_of(problem, config.data.shape),
        device=device,
        report=report,
        notify=notify,
        tensorboard=tensorboard,
    )
    if not World.current().leads:
        return folder / f"{name}.safetensors"
    facts = {
        "title": title,
        **config.card.model_dump(mode="json", exclude_defaults=True),
        **opened.people.to_card(),
        "skipped_images": len(skipped),
    }
    return export(folder, name, folder, facts)


def run_learning(
    config: TrainConfig,
    title: str,
    name: str,
    folder: Path,
    problems: Sequence[Problem],
    *,
    first: Denoiser | None = None,
    device: str = "cpu",
    restored: Restored | None = None,
    report: Callable[[Progress], None] | None = None,
    notify: Callable[[str], None] | None = None,
) -> Path:
    """Learn the prior of a pipeline from measurements, or go on where the folder stopped.

    Args:
        config: Training configuration, with ``measurements``.
        title: Title on the card.
        name: Name of the result.
        folder: Where the rounds, and in the end weights and card, go.
        problems: Measurements in network units.
        first: Prior of the first round; None begins with a Gaussian one.
        device: Where to compute.
        restored: Called while draws are made.
        report: Called after each training step.
        notify: Called with lines for the user.

    Returns:
        The file of weights; its path can stand as ``prior`` in a pipeline.

    Raises:
        ValueError: If there are too few measurements, or the folder holds another run.
    """
    weights = learn_from_measurements(
        config,
        problems,
        folder,
        first=first,
        device=device,
        restored=restored,
        report=report,
        notify=notify,
    )
    facts = {
        "title": title,
        **config.card.model_dump(mode="json", exclude_defaults=True),
        "measurements": sum(problem.problem_shape[0] for problem in problems),
    }
    return export(weights.parent, name, folder, facts)


def simulated_measurements(config: TrainConfig, data: Path) -> list[Problem]:
    """Measure images of the training data once, as ``measurements.simulate`` states.

    Raises:
        DataError: If the data cannot be used.
        ValueError: If there is no such random operator.
    """
    assert config.measurements is not None
    plan = config.measurements.simulate
    assert plan is not None
    opened = open_data(data, config.data)
    images = Drawn.of(opened.source(plan.count, step_generator(config.seed, 8))).images
    family = FamilyConfig(share=1.0, **plan.options)
    distribution = build_distribution(plan.name, family, config.data.shape)
    return measurements_of(images, distribution, plan.noise_std, config.seed)


def _with_pure_noise_level(config: TrainConfig, source: Source) -> TrainConfig:
    """Choose the level of pure noise from training images, the same in a resumed run."""
    drawn = Drawn.of(source(PURE_NOISE_IMAGES, step_generator(config.seed, 7)))
    loss = config.loss.model_copy(update={"pure_noise_sigma": pure_noise_level(drawn.images)})
    return config.model_copy(update={"loss": loss})


def _note_skipped(folder: Path, skipped: list[str]) -> None:
    """Write the list of images that cannot be used, if there are any."""
    path = folder / SKIPPED
    if World.current().leads and (skipped or path.exists()):
        folder.mkdir(parents=True, exist_ok=True)
        write_text(path, "".join(f"{line}\n" for line in skipped))


@dataclass(frozen=True)
class Averaged:
    """Weights averaged from the snapshots of a run.

    Attributes:
        weights: Their file.
        residual: Distance of their profile from the one that was asked for, as a share.
    """

    weights: Path
    residual: float


def run_averaging(run: Path, width: float, folder: Path, at: int | None = None) -> Averaged:
    """Average the weights of a run with another width, from its snapshots.

    Args:
        run: Folder of a run whose pipeline says ``power_ema``.
        width: Relative width ``sigma_rel``, standard deviation of the average over the length of
            the run; 0.05 to 0.2 is usual.
        folder: Where the weights and their card go.
        at: Samples of the run to end at; by default all.

    Raises:
        WeightsError: If the run has no snapshots for it.
        ValueError: If no power function is that wide.
    """
    tensors, recipe = synthesise(run, width, at)
    facts = {
        "title": f"{run.name}, averaged with a relative width of {width:g}",
        "average": {"sigma_rel": width, "residual": round(recipe.residual, 6), "at": at},
    }
    weights = export(run, f"{run.name}-{width:g}", folder, facts, tensors)
    return Averaged(weights, recipe.residual)
