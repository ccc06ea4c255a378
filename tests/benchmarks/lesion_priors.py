"""FLAIR priors with and without lesions in their training, for ``tests.benchmarks.lesions``.

Both learn from as many slices, 64 x 64 at 3 mm, of people with strokes: one from slices in which no
lesion was outlined, the other from slices drawn evenly from all.
"""

from pathlib import Path

import h5py
import numpy as np
import torch

from tests.benchmarks.heads import stored
from uqrestore.training.config import TrainConfig
from uqrestore.training.loop import Progress
from uqrestore.training.run import run_training
from uqrestore.zoo import locate

STROKES = "soop_flair.h5"
SAMPLES = 120_000
PRIORS = {"without": "without lesions", "with": "with lesions"}
SPLITS = ("train", "val")


def chosen(lesion: np.ndarray, kind: str) -> np.ndarray:
    """Return the numbers of the slices that a prior learns from, as many of either kind."""
    free = np.flatnonzero(~lesion.any((1, 2)))
    if kind == "without":
        return free
    return np.sort(np.random.default_rng(0).permutation(len(lesion))[: len(free)])


def write_slices(data: Path, folder: Path) -> None:
    """Write the slices of each prior as training files."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind in PRIORS:
        with h5py.File(folder / f"{kind}.h5", "w") as out:
            for split in SPLITS:
                brain, lesion, people = (
                    stored(data / STROKES, f"{split}/{name}")
                    for name in ("brain", "lesion", "group")
                )
                rows = chosen(lesion > 0, kind)
                written = out.create_dataset(f"{split}/brain", data=brain[rows])
                written.attrs.update({"scale_factor": 1 / 255, "pixel_mm": 3.0})
                out.create_dataset(f"{split}/subject", data=people[rows].astype("S"))


def recipe(kind: str, samples: int) -> TrainConfig:
    """Return the training of one prior."""
    return TrainConfig.model_validate(
        {
            "network": {"name": "hdit", "patch": 4, "widths": [96, 192], "depths": [1, 4]}
            | {"attention": ["neighborhood:7", "global"]},
            "data": {"files": [f"{kind}.h5"], "shape": (1, 64, 64), "voxel_mm": 3.0}
            | {"augment": "brain"},
            "loss": {"sigma_data": 0.5, "log_mean": -0.8, "log_std": 1.6},
            "optimiser": {"lr": 6e-4, "warmup": 2_000, "decay_from": 50_000},
            "batch": 32,
            "samples": samples,
            "ema": 20_000,
            "precision": "bf16",
            "validate_every": 20_000,
            "start": str(locate("brain64-prior")),
            "card": {
                "contrast": "FLAIR",
                "skull_stripped": True,
                "licence": "CC0",
                "data": [
                    {"name": "SOOP, OpenNeuro ds004889, FLAIR, brains, 3 mm", "licence": "CC0"}
                ],
            },
        }
    )


def trained(data: Path, folder: Path, kind: str, samples: int = SAMPLES) -> Path:
    """Train a prior, or go on with it, or return its weights if it is there."""
    weights = folder / kind / f"flair-{kind}.safetensors"
    if weights.exists():
        return weights
    if not (folder / f"{kind}.h5").exists():
        write_slices(data, folder)

    def say(progress: Progress) -> None:
        if progress.seen // 32 % 200 == 0:
            print(  # noqa: T201 - progress
                f"{kind}: {progress.seen} of {progress.samples}, loss {progress.loss:.4f}, "
                f"{progress.samples_per_second:.0f} a second",
                flush=True,
            )

    title = f"FLAIR slices of people with strokes, {PRIORS[kind]}, 64x64 at 3 mm"
    config = recipe(kind, samples)
    return run_training(config, title, f"flair-{kind}", folder, folder / kind, report=say)


if __name__ == "__main__":
    import sys

    torch.set_num_threads(1)
    for one in PRIORS:
        trained(Path(sys.argv[1]), Path(sys.argv[2]), one)
