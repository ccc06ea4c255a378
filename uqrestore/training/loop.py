"""The training loop: the same numbers from one run, a resumed one, or several processes."""

import csv
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from uqrestore.networks.weights import load_json, save_json
from uqrestore.training.batch import DrawOperator
from uqrestore.training.config import TrainConfig
from uqrestore.training.data import Images, Source
from uqrestore.training.trainer import Trainer
from uqrestore.training.validation import save_picture


@dataclass(frozen=True)
class Progress:
    """What a progress display needs after each step."""

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
    tensorboard: bool = False,
) -> Path:
    """Train until ``config.samples`` have been seen, resuming whatever the folder holds.

    Args:
        config: The run.
        source: Draws training images.
        val: Validation images in network units, of other people.
        folder: Where ``log.csv``, ``validation.png``, ``ema.safetensors`` and the state go.
        draw_operator: Draws one operator per training image; needed with ``config.problem``.
        device: Where to train.
        save_every: Seconds between two saved states; a stop by the user saves as well.
        report: Called after each step.
        tensorboard: Write what goes into ``log.csv`` for TensorBoard too, into ``tensorboard``.

    Returns:
        The file of the averaged weights.

    Raises:
        ImportError: If TensorBoard is wanted but not installed.
    """
    if tensorboard:
        _summary_writer()
    folder.mkdir(parents=True, exist_ok=True)
    if (config.problem is None) != (draw_operator is None):
        raise ValueError("config.problem and draw_operator go together: give both or neither.")
    _check_same_run(config, folder)
    trainer = Trainer(config, source, val, folder, draw_operator=draw_operator, device=device)
    if trainer.world.leads:
        save_json(folder / "config.json", config.model_dump(mode="json"))
    started, saved, first = time.monotonic(), time.monotonic(), trainer.seen
    next_validation = (trainer.seen // config.validate_every + 1) * config.validate_every
    losses: list[float] = []
    try:
        while trainer.seen < config.samples:
            losses.append(trainer.step())
            speed = (trainer.seen - first) / (time.monotonic() - started)
            if report is not None and trainer.world.leads:
                report(Progress(trainer.seen, config.samples, losses[-1], speed))
            if trainer.seen >= min(next_validation, config.samples):
                next_validation += config.validate_every
                if trainer.world.leads:
                    _log(folder, trainer, losses, speed, tensorboard)
                losses = []
            if time.monotonic() - saved > save_every:
                trainer.save()
                saved = time.monotonic()
    finally:
        trainer.save()
    trainer.world.wait()
    return folder / "ema.safetensors"


def _check_same_run(config: TrainConfig, folder: Path) -> None:
    """Refuse to resume a run of another configuration; a longer run of the same one is fine."""
    path, free = folder / "config.json", {"samples", "validate_every", "start", "compile"}
    if path.exists():
        old = TrainConfig.model_validate(load_json(path)).model_dump(mode="json", exclude=free)
        new = config.model_dump(mode="json", exclude=free)
        if changed := [key for key in new if new[key] != old[key]]:
            raise ValueError(
                f"{folder}: holds a run whose {', '.join(changed)} differ; continue it with the "
                "same pipeline or choose another output folder."
            )


def _summary_writer() -> Callable[..., Any]:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise ImportError(
            "TensorBoard is not installed; pip install 'uqrestore[tensorboard]', or leave it out: "
            "log.csv holds the same."
        ) from None
    return SummaryWriter


def _log(
    folder: Path, trainer: Trainer, losses: list[float], speed: float, tensorboard: bool
) -> None:
    row = {
        "seen": trainer.seen,
        "loss": sum(losses) / len(losses),
        "samples_per_second": round(speed, 2),
        "refused": trainer.refused,
        **trainer.validate(),
    }
    path = folder / "log.csv"
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(row))
        if new:
            writer.writeheader()
        writer.writerow(row)
    if tensorboard:
        with _summary_writer()(folder / "tensorboard") as summary:
            for name, value in row.items():
                summary.add_scalar(name, value, trainer.seen)
    if trainer.probes is not None:
        sigma = trainer.config.loss.pure_noise_sigma
        save_picture(folder / "validation.png", trainer.ema, trainer.probes, sigma)
