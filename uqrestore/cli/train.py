"""Train a network; average its weights."""

import signal
from pathlib import Path
from typing import Annotated

import typer

from uqrestore.cli.options import Device
from uqrestore.cli.terminal import ProgressLines, count_bar, one_line_faults, out, say


def train(
    pipeline: Annotated[str, typer.Argument(help="Name of a training pipeline, or a YAML file.")],
    data: Annotated[Path, typer.Option(help="Folder of the training data.")],
    folder: Annotated[Path, typer.Option("--out", "-o", help="Folder for weights and card.")],
    *,
    device: Device = "cpu",
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write the log for TensorBoard too.")
    ] = False,
) -> None:
    """Train a network; the same command resumes a stopped training. Also under torchrun."""
    # A cluster ends jobs by SIGTERM, and shells let background jobs ignore SIGINT: both stop the
    # run as Ctrl-C does, which saves it.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    with one_line_faults(folder / "state.safetensors"):
        from uqrestore.pipeline import TrainPipeline, load_pipeline
        from uqrestore.training.loop import Progress
        from uqrestore.training.run import SKIPPED, run_training

        plan = load_pipeline(pipeline, TrainPipeline)
        with count_bar("samples") as advance:
            lines = ProgressLines()

            def report(now: Progress) -> None:
                speed = f"{now.samples_per_second:.1f} samples a second,"
                advance(now.seen, now.samples, speed)
                if not out.is_terminal and lines.due(now.seen / now.samples):
                    say(f"{speed} {now.seen} of {now.samples}, loss {now.loss:.4f}")

            weights = run_training(
                plan.config,
                plan.title,
                Path(pipeline).stem,
                data,
                folder,
                device=device,
                report=report,
                notify=say,
                tensorboard=tensorboard,
            )
        skipped = folder / SKIPPED
        if skipped.exists() and (count := len(skipped.read_text().splitlines())):
            say(f"left out {count} images that cannot be used; {skipped} names them")
        say(f"weights: {weights}")


def average(
    run: Annotated[Path, typer.Argument(help="Folder of a run whose pipeline has power_ema.")],
    width: Annotated[
        float, typer.Option(help="Relative width of the average, sigma_rel: 0.05 to 0.2 is usual.")
    ],
    folder: Annotated[Path, typer.Option("--out", "-o", help="Folder for weights and card.")],
    *,
    at: Annotated[
        int | None, typer.Option(min=1, help="Samples of the run to end at; else all.")
    ] = None,
) -> None:
    """Average the weights of a training with another width, from its snapshots."""
    with one_line_faults():
        from uqrestore.training.run import run_averaging

        made = run_averaging(run, width, folder, at)
        say(f"profile: off by {100 * made.residual:.2g} % of its length")
        say(f"weights: {made.weights}")
