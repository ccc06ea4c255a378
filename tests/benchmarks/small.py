"""Trainings small enough for one core, on images whose distribution is known."""

import argparse
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch

from uqrestore.diffusion.denoiser import NetworkDenoiser
from uqrestore.diffusion.posterior_mean import posterior_moments
from uqrestore.networks.weights import load_tensors
from uqrestore.noise import SampleNoise
from uqrestore.problem import Problem, simulate
from uqrestore.training.batch import build_distribution, operators_of
from uqrestore.training.config import TrainConfig
from uqrestore.training.data import Drawn, Images, Source, step_generator
from uqrestore.training.loop import Progress, train
from uqrestore.training.trainer import build_denoiser

DOCS = Path(__file__).parents[2] / "docs"
NETWORK = {"name": "invfussion", "attention": ["global"], "measurement_noise": False}


def trained(arguments: dict, source: Source, folder: Path) -> NetworkDenoiser:
    """Train a network, or go on with it, and return its average."""
    config = TrainConfig.model_validate(arguments)
    assert config.problem is not None

    def tell(progress: Progress) -> None:
        if progress.seen // config.batch % 100 == 0:
            print(  # noqa: T201 - progress
                f"{folder.name}: {progress.seen} of {progress.samples}, loss {progress.loss:.4f}, "
                f"{progress.samples_per_second:.0f} a second",
                flush=True,
            )

    draw = operators_of(config.problem, config.data.shape)
    few = Drawn.of(source(8, step_generator(1))).images
    weights = train(config, source, few, folder, draw_operator=draw, report=tell)
    denoiser = build_denoiser(config)
    denoiser.load_state_dict(load_tensors(weights))
    return denoiser.eval()


def problems(arguments: dict, truth: Images, noise_std: float) -> dict[str, Problem]:
    """Measure the held-out images by every family, the same in every run."""
    config = TrainConfig.model_validate(arguments)
    assert config.problem is not None
    found = {}
    for number, (name, family) in enumerate(config.problem.families.items()):
        distribution = build_distribution(name, family, config.data.shape)
        operator = distribution.draw(step_generator(3, number), len(truth))
        noise = SampleNoise(4, [0], slices=range(len(truth)))
        found[name] = simulate(operator, truth, noise_std=noise_std, noise=noise)
    return found


def mean_of(denoiser: NetworkDenoiser, problem: Problem) -> Images:
    """Posterior means in one call each."""
    count = problem.problem_shape[0]
    noise = SampleNoise(5, [0], slices=range(count))
    return posterior_moments(denoiser, problem, noise).mean


def run(
    name: str,
    experiment: Callable[..., Iterator[str]],
    samples: int,
    paths: Sequence[str] = ("folder",),
) -> None:
    """Train, measure and write ``docs/benchmarks-NAME.md``, anew after every network.

    Args:
        name: Of the page.
        experiment: Called with the paths and the samples; yields the page as it grows.
        samples: To train on, unless the command says otherwise.
        paths: Arguments of the command; ``folder`` keeps the runs, and a stopped one goes on.
    """
    parser = argparse.ArgumentParser()
    for path in paths:
        parser.add_argument(path, type=Path)
    parser.add_argument("--samples", type=int, default=samples)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a stopped run saves
    for page in experiment(*(vars(arguments)[path] for path in paths), arguments.samples):
        (DOCS / f"benchmarks-{name}.md").write_text(page)
        print(page)  # noqa: T201 - the command's answer
