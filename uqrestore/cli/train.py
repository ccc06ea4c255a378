"""Train a network; average its weights."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from uqrestore.cli.options import Device
from uqrestore.cli.terminal import ProgressLines, count_bar, one_line_faults, out, say

if TYPE_CHECKING:
    from uqrestore.pipeline import TrainPipeline
    from uqrestore.training.loop import Progress


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

            if plan.measurements is None:
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
            else:
                weights = _learn(plan, Path(pipeline).stem, data, folder, device, report)
        skipped = folder / SKIPPED
        if skipped.exists() and (count := len(skipped.read_text().splitlines())):
            say(f"left out {count} images that cannot be used; {skipped} names them")
        say(f"weights: {weights}")


def _learn(
    plan: "TrainPipeline",
    name: str,
    data: Path,
    folder: Path,
    device: str,
    report: Callable[["Progress"], None],
) -> Path:
    """Learn from measurements: those of raw scans, or simulated ones."""
    from uqrestore.restoration.measured_scans import measurements_of_scans
    from uqrestore.restoration.prior_cache import load_denoiser
    from uqrestore.training.run import run_learning, simulated_measurements

    measurements = plan.measurements
    assert measurements is not None
    if measurements.simulate is not None:
        problems, first = simulated_measurements(plan.config, data), None
    elif plan.start is not None and measurements.scans:
        problems = measurements_of_scans(
            data, measurements.scans, plan.start, device=device, skip=say
        )
        first = load_denoiser(plan.start, device)[0]
    else:
        raise ValueError(
            "measurements: give scans, and by start the prior that the first round draws with, or "
            "simulate."
        )

    def restored(number: int, done: int, count: int) -> None:
        if done == count:
            say(f"round {number} of {measurements.rounds}: {count} measurements restored")

    return run_learning(
        plan.config,
        plan.title,
        name,
        folder,
        problems,
        first=first,
        device=device,
        restored=restored,
        report=report,
        notify=say,
    )


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
