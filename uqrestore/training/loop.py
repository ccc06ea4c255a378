"""The training loop: the same numbers from one run, a resumed one, or several processes."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import torch

from uqrestore.networks.weights import load_json, save_json
from uqrestore.training.batch import DrawOperator
from uqrestore.training.config import TrainConfig
from uqrestore.training.data import Images, Source
from uqrestore.training.log import add_row, drop_later_rows, only_training, summary_writer
from uqrestore.training.parallel import World
from uqrestore.training.state import AVERAGED
from uqrestore.training.trainer import Trainer
from uqrestore.training.validation import save_picture

FREE = {"samples", "validate_every", "start", "compile", "card"}
"""Fields that may change when a run is resumed."""


@dataclass(frozen=True)
class Progress:
    """Progress of a training after a step."""

    seen: int
    samples: int
    loss: float
    samples_per_second: float


def train(
    config: TrainConfig,
    source: Source,
    val: Images,
    folder: Path,
    *,
    draw_operator: DrawOperator | None = None,
    device: torch.device | str = "cpu",
    save_every: float = 180.0,
    report: Callable[[Progress], None] | None = None,
    notify: Callable[[str], None] | None = None,
    tensorboard: bool = False,
) -> Path:
    """Train until ``config.samples`` have been seen, resuming the run that the folder holds.

    Args:
        config: The run.
        source: Draws training images.
        val: Validation images in network units, of other people.
        folder: Where ``log.csv``, ``validation.png``, ``ema.safetensors`` and the state go.
        draw_operator: Draws one operator per training image; needed with ``config.problem``.
        device: Where to train.
        save_every: Seconds between two saved states; a stop by the user saves as well.
        report: Called after each step.
        notify: Called with a line where a run is resumed.
        tensorboard: Write the rows of ``log.csv`` for TensorBoard too, into ``tensorboard``.

    Returns:
        The file of the averaged weights.

    Raises:
        ImportError: If TensorBoard is wanted but not installed.
        ValueError: If the folder holds another run, or another process trains in it.
    """
    if tensorboard:
        summary_writer()
    if (config.problem is None) != (draw_operator is None):
        raise ValueError("config.problem and draw_operator go together: give both or neither.")
    folder.mkdir(parents=True, exist_ok=True)
    leads = World.current().leads
    with ExitStack() as stack:
        if leads:
            stack.enter_context(only_training(folder))
        _check_same_run(config, folder)
        trainer = Trainer.open(
            config, source, val, folder, draw_operator=draw_operator, device=device
        )
        if leads:
            drop_later_rows(folder, trainer.seen)
            save_json(folder / "config.json", config.model_dump(mode="json"))
            if trainer.seen and notify is not None:
                notify(f"resuming {folder} at {trainer.seen} of {config.samples} samples")
        _steps(trainer, save_every, report if leads else None, tensorboard)
    return folder / AVERAGED


def _steps(
    trainer: Trainer,
    save_every: float,
    report: Callable[[Progress], None] | None,
    tensorboard: bool,
) -> None:
    """Take the steps that are left, with validations and saved states on the way."""
    config = trainer.config
    started, saved, first = time.monotonic(), time.monotonic(), trainer.seen
    next_validation = (trainer.seen // config.validate_every + 1) * config.validate_every
    losses: list[float] = []
    try:
        while trainer.seen < config.samples:
            losses.append(trainer.step())
            speed = (trainer.seen - first) / (time.monotonic() - started)
            if report is not None:
                report(Progress(trainer.seen, config.samples, losses[-1], speed))
            if trainer.seen >= min(next_validation, config.samples):
                next_validation += config.validate_every
                if trainer.world.leads:
                    _validate(trainer, losses, speed, tensorboard)
                losses = []
            if time.monotonic() - saved > save_every:
                trainer.save()
                saved = time.monotonic()
    finally:
        trainer.save()
    trainer.world.wait()


def _check_same_run(config: TrainConfig, folder: Path) -> None:
    """Refuse to resume a run of another configuration; a longer run of the same one is fine."""
    path = folder / "config.json"
    if path.exists():
        old = TrainConfig.model_validate(load_json(path)).model_dump(mode="json", exclude=FREE)
        new = config.model_dump(mode="json", exclude=FREE)
        if changed := [key for key in new if new[key] != old[key]]:
            raise ValueError(
                f"{folder}: holds a run whose {', '.join(changed)} differ; continue it with the "
                "same pipeline or choose another output folder."
            )


def _validate(trainer: Trainer, losses: list[float], speed: float, tensorboard: bool) -> None:
    """Validate, and write the row of the log and the picture."""
    row = {
        "seen": trainer.seen,
        "loss": sum(losses) / len(losses),
        "samples_per_second": round(speed, 2),
        "refused": trainer.refused,
        **trainer.validate(),
    }
    add_row(trainer.folder, row)
    if tensorboard:
        with summary_writer()(trainer.folder / "tensorboard", purge_step=trainer.seen) as summary:
            for name, value in row.items():
                summary.add_scalar(name, value, trainer.seen)
    if trainer.probes is not None:
        sigma = trainer.config.loss.pure_noise_sigma
        save_picture(trainer.folder / "validation.png", trainer.ema, trainer.probes, sigma)
