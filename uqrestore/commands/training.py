"""Train a network."""

import signal
from pathlib import Path
from typing import Annotated

import typer

from uqrestore.commands.options import Device
from uqrestore.terminal import count_bar, one_line_faults, say


def train(
    pipeline: Annotated[str, typer.Argument(help="Name of a training pipeline, or a YAML file.")],
    data: Annotated[Path, typer.Option(help="Folder of the training data.")],
    folder: Annotated[Path, typer.Option("--out", "-o", help="Folder for weights and card.")],
    *,
    device: Device = "cpu",
) -> None:
    """Train a network; run again after a stop, it goes on. With torchrun, on several processes."""
    # A cluster ends jobs by SIGTERM, and shells let background jobs ignore SIGINT: both stop the
    # run as Ctrl-C does, which saves it.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    with one_line_faults(folder / "state.safetensors"):
        from uqrestore.pipeline import TrainPipeline, load_pipeline
        from uqrestore.train import run_training

        plan = load_pipeline(pipeline, TrainPipeline)
        with count_bar("samples") as advance:
            weights = run_training(
                plan,
                Path(pipeline).stem,
                data,
                folder,
                device=device,
                report=lambda now: advance(now.seen, now.samples),
            )
        say(f"weights: {weights}")
