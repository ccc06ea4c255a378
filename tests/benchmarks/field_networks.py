"""Networks that learn the principal components of a field whose posterior is known exactly.

``python -m tests.benchmarks.field_networks FOLDER`` trains them; a run that was stopped goes on.
"""

import argparse
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from uqrestore.diffusion.denoiser import NetworkDenoiser
from uqrestore.networks.weights import load_tensors
from uqrestore.priors import GaussianPrior
from uqrestore.priors.gaussian import gaussian_field
from uqrestore.training.batch import operators_of
from uqrestore.training.config import (
    DataConfig,
    FamilyConfig,
    NetworkConfig,
    OptimiserConfig,
    ProblemConfig,
    TrainConfig,
)
from uqrestore.training.data import Images, Source
from uqrestore.training.loop import train
from uqrestore.training.loss_config import ComponentsConfig, LossConfig
from uqrestore.training.trainer import build_denoiser

SHAPE = (1, 16, 16)
COMPONENTS = 5
FAMILIES = {
    "boxes": {"missing_box": FamilyConfig(share=1)},
    "mix": {
        "patch_inpainting": FamilyConfig(share=1),
        "random_matrix": FamilyConfig.model_validate({"share": 1, "rows": [8, 32]}),
    },
}


@dataclass(frozen=True)
class Run:
    """One network.

    Attributes:
        families: Which operators it learns, by a key of :data:`FAMILIES`.
        loss: How it learns lengths and directions.
        samples: How many images it sees.
        start: Run whose weights it starts from.
        rounds: Of the search for the components of the linear model, which it refines as the
            linear estimate; 0: it refines neither.
    """

    families: str
    loss: ComponentsConfig
    samples: int
    start: str | None = None
    rounds: int = 2


LIKELIHOOD = ComponentsConfig(direction=4.0, ramp=10_000)
GUESS = {"boxes": 40, "mix": 12}
"""Steps of the linear estimate; 12 leave that of missing boxes unfinished."""
RUNS = {
    "boxes": Run("boxes", LIKELIHOOD, 32_000),
    "mix": Run("mix", LIKELIHOOD, 64_000),
    "boxes-from-nothing": Run("boxes", LIKELIHOOD, 32_000, rounds=0),
}
for _norm, _samples in {"running": 24_000, "per_image": 160_000}.items():
    RUNS[f"mix-squared-{_norm}"] = Run(
        "mix",
        ComponentsConfig.model_validate(
            {"direction": 4.0, "variance": 100.0, "ramp": 0, "lengths": "squared"}
            | {"error_norm": _norm}
        ),
        _samples,
        start="mix",
    )


def configure(run: Run, folder: Path) -> TrainConfig:
    """Return what a run is made of."""
    start = None if run.start is None else str(folder / run.start / "ema.safetensors")
    return TrainConfig(
        network=NetworkConfig.model_validate(
            {
                "name": "invfussion",
                "patch": 4,
                "widths": [64],
                "depths": [4],
                "attention": ["global"],
                "joint": [True],
                "fdl_input": "projected",
                "guess": GUESS[run.families],
                "pass_guess": run.rounds > 0,
                "measurement_noise": False,
                "components": COMPONENTS,
                "component_rounds": run.rounds,
            }
        ),
        data=DataConfig(shape=SHAPE, augment="none"),
        problem=ProblemConfig(families=FAMILIES[run.families]),
        loss=LossConfig(pure_noise=1.0, components=run.loss),
        optimiser=OptimiserConfig(lr=1e-3, warmup=5_000, decay_from=30_000),
        batch=32,
        samples=run.samples,
        ema=12_000 if run.start is None else 4_000,
        precision="bf16",
        validate_every=40_000,
        start=start,
    )


def field() -> GaussianPrior:
    """Return the distribution of the images."""
    return gaussian_field(SHAPE)


def field_source(prior: GaussianPrior) -> Source:
    """Draw images of the field without end."""
    root = (prior.directions * prior.variances.sqrt()).float()

    def draw(count: int, generator: torch.Generator) -> Images:
        white = torch.randn(count, root.shape[1], generator=generator)
        return (white @ root.mT).reshape(count, *prior.in_shape)

    return draw


def learn(name: str, folder: Path, report: Callable[[str], None] = print) -> None:
    """Train one network, or go on with it."""
    run = RUNS[name]
    config = configure(run, folder)
    source = field_source(field())
    val = source(256, torch.Generator().manual_seed(1))
    assert config.problem is not None
    assert isinstance(val, torch.Tensor)
    train(
        config,
        source,
        val,
        folder / name,
        draw_operator=operators_of(config.problem, SHAPE),
        save_every=60,
    )
    report(f"{name}: trained on {run.samples} images")


def trained(name: str, folder: Path) -> NetworkDenoiser:
    """Return the averaged network of a run."""
    denoiser = build_denoiser(configure(RUNS[name], folder))
    denoiser.load_state_dict(load_tensors(folder / name / "ema.safetensors"))
    return denoiser.eval()


def main() -> None:
    """Train every network that is not done."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("runs", nargs="*", default=list(RUNS))
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a stopped run saves
    for name in arguments.runs:
        learn(name, arguments.folder)


if __name__ == "__main__":
    main()
