"""Run a training pipeline: open the data, train, write weights and card."""

from collections.abc import Callable
from pathlib import Path

from uqrestore.pipeline import TrainPipeline
from uqrestore.training.export import export
from uqrestore.training.loop import Progress, train
from uqrestore.training.parallel import World, join
from uqrestore.training.problems import operators_of
from uqrestore.training.sources import open_data
from uqrestore.zoo import locate


def run_training(
    pipeline: TrainPipeline,
    name: str,
    data: Path,
    folder: Path,
    *,
    device: str = "cpu",
    report: Callable[[Progress], None] | None = None,
) -> Path:
    """Train the network of a pipeline, or go on with a run that the folder holds.

    Args:
        pipeline: What to train.
        name: Name of the result.
        data: Folder of the training data.
        folder: Where the run, and in the end ``NAME.safetensors`` with its card ``NAME.json``,
            go.
        device: Where to train.
        report: Called after each step.

    Returns:
        The file of weights; its path can stand as ``prior`` in a pipeline.

    Raises:
        WeightsError: If the weights to start from cannot be used.
        DataError: If the data cannot be used.
        ValueError: If the folder holds another run.
    """
    device = join(device)
    config = pipeline.config
    if config.start is not None:
        config = config.model_copy(update={"start": str(locate(config.start))})
    source, held_out = open_data(data, config.data)
    problem = config.problem
    train(
        config,
        source,
        held_out,
        folder,
        draw_operator=None if problem is None else operators_of(problem, config.data.shape),
        device=device,
        report=report,
    )
    if not World.current().leads:
        return folder / f"{name}.safetensors"
    return export(folder, name, folder, {"title": pipeline.title})
