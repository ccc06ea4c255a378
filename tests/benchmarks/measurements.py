"""Priors learned from measurements alone: ``python -m tests.benchmarks.measurements DATA FOLDER``.

A Gaussian field, whose covariance is known, and T1 slices of the IXI people at 6 mm, each
measured once; DATA holds ``ixi_brain_64.h5``. Writes ``docs/benchmarks-measurements.md``; a stopped
run goes on.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import torch
import torch.nn.functional as F

from tests.benchmarks.small import DOCS, run
from uqrestore.diffusion.denoiser import Denoiser, NetworkDenoiser
from uqrestore.diffusion.samplers import sample
from uqrestore.diffusion.schedules import karras_sigmas
from uqrestore.methods import moment_matching
from uqrestore.networks.weights import load_tensors
from uqrestore.noise import SampleNoise
from uqrestore.operators.random.medical import CartesianKSpace
from uqrestore.priors import GaussianPrior
from uqrestore.priors.gaussian import gaussian_field
from uqrestore.priors.low_rank import LowRankGaussian, fit_low_rank
from uqrestore.training.config import TrainConfig
from uqrestore.training.data import Images, step_generator, to_network
from uqrestore.training.loop import Progress, train
from uqrestore.training.measurements import (
    blocks,
    draws_source,
    gaussian_from_measurements,
    learn_from_measurements,
    measurements_of,
)
from uqrestore.training.trainer import build_denoiser

NOISE_STD, ACCELERATION, CENTRE = 0.05, 4, 0.08
FIELD, FIELD_COUNT, FIELD_LEADING = (1, 16, 16), 4000, 40
BRAIN, BRAIN_TEST, BRAIN_DRAWS = (1, 32, 32), 96, 8
METHOD = {"name": "moment_matching", "steps": 14, "products": 2}
PART, BRAIN_ROUNDS, FIELD_ROUNDS = 3, 8, 2
"""A round trains on one in so many of the images that the network of images is trained on."""
LEVELS = (0.1, 0.3, 1.0)


def config(shape: tuple[int, int, int], samples: int, rounds: int) -> TrainConfig:
    """Return the training of a prior from measurements."""
    return TrainConfig.model_validate(
        {
            "network": {"name": "hdit", "patch": shape[-1] // 8, "widths": [96], "depths": [4]}
            | {"attention": ["global"], "cond_width": 64},
            "data": {"shape": shape, "augment": "none"},
            "measurements": {"rounds": rounds, "method": METHOD, "gaussian_rounds": 12},
            "optimiser": {"lr": 1e-3, "warmup": 4_000, "decay_from": 15_000},
            "batch": 64,
            "ema": 5_000,
            "precision": "bf16",
            "validate_every": 10**9,
            "samples": samples,
        }
    )


def masks(shape: tuple[int, int, int]) -> CartesianKSpace:
    """Return the distribution of the sampling masks: one line in four, other lines each time."""
    return CartesianKSpace(shape, (ACCELERATION,), CENTRE)


def say(progress: Progress) -> None:
    """Print how far a training is."""
    if progress.seen % 6400 == 0:
        print(f"{progress.seen} of {progress.samples}, loss {progress.loss:.4f}", flush=True)  # noqa: T201


def restored(number: int, done: int, count: int) -> None:
    """Print how far the draws of a round are."""
    if done % 512 == 0:
        print(f"round {number}: {done} of {count} measurements", flush=True)  # noqa: T201


def kept(rows: dict[str, Any], key: str, path: Path, make: Callable[[], Any]) -> Any:  # noqa: ANN401 - JSON
    """Return a number of the file, made where it is missing."""
    if key not in rows:
        rows[key] = make()
        path.write_text(json.dumps(rows, indent=1))
    return rows[key]


def from_draws(images: Images, true: GaussianPrior) -> dict[str, float]:
    """Compare the covariance of images with the true one."""
    flat = images.double().flatten(1)
    found, exact = torch.cov(flat.mT), true.covariance
    order = true.variances.argsort(descending=True)[:FIELD_LEADING]
    leading = true.directions[:, order]
    ratio = (leading * (found @ leading)).sum(0) / true.variances[order]
    return {
        "frobenius": float((found - exact).norm() / exact.norm()),
        "trace": float(found.trace() / exact.trace()),
        "leading": float((ratio - 1).abs().mean()),
    }


def samples_of(prior: Denoiser, count: int) -> Images:
    """Draw images from a prior."""
    if isinstance(prior, LowRankGaussian):
        return prior.draw(SampleNoise(5, range(count))).float()
    grid = karras_sigmas(24, 0.01, 40.0, 100.0).tolist()
    parts = []
    for start in range(0, count, 250):
        noise = SampleNoise(5, range(start, min(start + 250, count)))
        x = grid[0] * noise.normal(prior.in_shape, torch.zeros(()))

        def denoise(x: Images, sigma: float) -> Images:
            return prior(x, torch.as_tensor(sigma))

        with torch.no_grad():
            parts.append(sample(denoise, x, [*grid, 0.0], noise, sampler="dpmpp_3m"))
    return torch.cat(parts)


def learned(config: TrainConfig, weights: Path) -> NetworkDenoiser:
    """Return the network of a file of weights."""
    denoiser = build_denoiser(config)
    denoiser.load_state_dict(load_tensors(weights))
    return denoiser.eval()


def field(folder: Path, samples: int) -> Iterator[dict[str, Any]]:
    """Yield how well the covariance of a field is found again."""
    true = gaussian_field(FIELD)
    truth = true.draw(SampleNoise(0, [0], slices=range(FIELD_COUNT)))[0].float()
    problems, path = measurements_of(truth, masks(FIELD), NOISE_STD, 0), folder / "field.json"
    rows: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    kept(rows, "the images themselves", path, lambda: from_draws(truth, true))
    zero_filled = torch.cat([p.operator.pinv(p.y) for p in problems])
    kept(rows, "zero-filled images", path, lambda: from_draws(zero_filled, true))
    stated = config(FIELD, samples * FIELD_ROUNDS // PART, FIELD_ROUNDS)

    def gaussian() -> dict[str, float]:
        assert stated.measurements is not None
        prior = gaussian_from_measurements(list(blocks(problems)), stated.measurements)
        return from_draws(samples_of(prior, FIELD_COUNT), true)

    kept(rows, "Gaussian prior from the measurements", path, gaussian)
    yield rows

    def network() -> dict[str, float]:
        weights = learn_from_measurements(
            stated, problems, folder / "field", restored=restored, report=say
        )
        return from_draws(samples_of(learned(stated, weights), FIELD_COUNT), true)

    kept(rows, "network from the measurements", path, network)
    yield rows


def brains(file: Path, split: str, count: int) -> Images:
    """Return T1 slices of the IXI people of a split, 6 mm, evenly chosen."""
    with h5py.File(file) as opened:
        slices = torch.from_numpy(opened[f"{split}/brain"][:])  # type: ignore[index]
    chosen = slices[torch.linspace(0, len(slices) - 1, count).long()]
    return F.avg_pool2d(to_network(chosen[:, None]), 2)


def judged(prior: Denoiser, truth: Images) -> dict[str, float]:
    """Return what a prior is worth on new people: reconstruction and denoising."""
    found = []
    for start, problem in enumerate(measurements_of(truth, masks(BRAIN), NOISE_STD, 9)):
        rows = range(64 * start, 64 * start + len(problem.y))
        noise = SampleNoise(7, range(BRAIN_DRAWS), slices=rows)
        if isinstance(prior, LowRankGaussian):
            found.append(prior.condition(problem).draw(noise).mean(0).float())
        else:
            found.append(moment_matching(problem, prior, noise, steps=14, products=2).mean(0))
    row = {"psnr": decibels(torch.cat(found), truth)}
    unit = torch.randn(truth.shape, generator=step_generator(8))
    for level in LEVELS:
        with torch.no_grad():
            clean = prior(truth + level * unit, torch.tensor(level))
        row[f"{level:g}"] = float((clean - truth).square().mean().sqrt())
    return row


def decibels(found: Images, truth: Images) -> float:
    """PSNR over all images, peak 2."""
    return float(10 * torch.log10(4 / (found - truth).square().mean()))


def brain(data: Path, folder: Path, samples: int) -> Iterator[dict[str, Any]]:
    """Yield what priors of brains are worth that were learned with and without the images."""
    file = data / "ixi_brain_64.h5"
    truth, test = brains(file, "train", 2400), brains(file, "test", BRAIN_TEST)
    problems, path = measurements_of(truth, masks(BRAIN), NOISE_STD, 0), folder / "brain.json"
    rows: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    stated = config(BRAIN, samples, 1)

    def from_images(images: Images, name: str) -> dict[str, float]:
        one = stated.model_copy(update={"measurements": None})
        weights = train(one, draws_source(list(images), one), test, folder / name, report=say)
        return judged(learned(one, weights), test)

    def gaussian() -> dict[str, float]:
        assert stated.measurements is not None
        prior = gaussian_from_measurements(list(blocks(problems)), stated.measurements)
        return judged(prior, test)

    kept(rows, "Gaussian, from the images", path, lambda: judged(fit_low_rank(truth, 100), test))
    kept(rows, "Gaussian, from the measurements", path, gaussian)
    yield rows
    for number in range(1, BRAIN_ROUNDS + 1):
        name = f"network, from the measurements, round {number}"
        part = config(BRAIN, samples * number // PART, number)

        def network(part: TrainConfig = part) -> dict[str, float]:
            weights = learn_from_measurements(
                part, problems, folder / "brain", restored=restored, report=say
            )
            return judged(learned(part, weights), test)

        kept(rows, name, path, network)
        yield rows
    kept(rows, "network, from the images", path, lambda: from_images(truth, "brain-images"))
    yield rows


def picture(data: Path, folder: Path, samples: int) -> None:
    """Show what is learned from, and draws of the priors that were learned."""
    from matplotlib.figure import Figure

    truth, count = brains(data / "ixi_brain_64.h5", "train", 2400), 8
    problem = measurements_of(truth, masks(BRAIN), NOISE_STD, 0)[18].select(range(0, 64, 8))
    stated = config(BRAIN, samples, 1)
    rows = {"zero-filled": problem.operator.pinv(problem.y)}
    for title, place in (
        ("prior from these", f"brain/round-{BRAIN_ROUNDS}"),
        ("prior from images", "brain-images"),
    ):
        rows[title] = samples_of(learned(stated, folder / place / "ema.safetensors"), count)
    figure = Figure(figsize=(count, 3.3), layout="constrained")
    axes = figure.subplots(len(rows), count)
    for line, (title, images) in zip(axes, rows.items(), strict=True):
        for axis, image in zip(line, images, strict=True):
            axis.imshow(image[0].numpy(), cmap="gray", vmin=-1, vmax=1)
            axis.set(xticks=[], yticks=[])
        line[0].set_ylabel(title, fontsize=8)
    figure.savefig(DOCS / "images" / "without-ground-truth.png", dpi=110)


def experiment(data: Path, folder: Path, samples: int) -> Iterator[str]:
    """Learn and measure; yield the page as it grows."""
    folder.mkdir(parents=True, exist_ok=True)
    of_field: dict[str, Any] = {}
    of_brain: dict[str, Any] = {}
    for of_brain in brain(data, folder, samples):
        yield page(of_field, of_brain, samples)
    picture(data, folder, samples)
    for of_field in field(folder, samples):
        yield page(of_field, of_brain, samples)


def page(of_field: Mapping[str, Any], of_brain: Mapping[str, Any], samples: int) -> str:
    """Return the page."""
    first = []
    for name, row in of_brain.items():
        errors = [f"{row[f'{level:g}']:.4f}" for level in LEVELS]
        first.append(f"| {name} | {row['psnr']:.2f} | {' | '.join(errors)} |")
    second = [
        f"| {name} | {100 * row['frobenius']:.1f} % | {row['trace']:.3f} | "
        f"{100 * row['leading']:.1f} % |"
        for name, row in of_field.items()
    ]
    text = PAGE if of_field else PAGE[: PAGE.index("## A Gaussian field")]
    return text.format(
        samples=samples,
        brain="\n".join(first),
        field="\n".join(second),
        test=BRAIN_TEST,
        draws=BRAIN_DRAWS,
        count=FIELD_COUNT,
        leading=FIELD_LEADING,
    )


PAGE = """# Priors learned without ground truth

`measurements:` in a training recipe learns from undersampled, noisy measurements alone: draw an
image from the posterior of every one under the prior of now, train on the draws, begin again
(`uqrestore.training.measurements`). Every image is measured once, one line of k-space in four (the
centre 8 %, the others by chance), noise 0.05 of a range from -1 to 1.

## T1 slices

2400 slices of the IXI training people at 6 mm (32 x 32). The network of the images is trained on
{samples} of them, with repeats; where it learns from measurements, every round trains on a third as
many draws. On {test} slices of 16 new people: PSNR (dB, peak 2)
of the mean of {draws} draws from measurements of the same kind, and root mean square error of
denoising at three noise levels.

Every round comes nearer to what images teach, by less every time, and eight are not enough: what
no measurement has shown stays as the round before had it.

| prior | reconstruction | noise 0.1 | noise 0.3 | noise 1 |
|---|---|---|---|---|
{brain}

```{{image}} images/without-ground-truth.png
:alt: Zero-filled slices, and draws of priors learned from such measurements and from images
```

Zero-filled slices (IXI, CC BY-SA 3.0), and draws of two priors: learned from such measurements, and
from images.

## A Gaussian field

{count} images of 16 x 16 pixels. Covariance of as many draws from the prior, against the exact one:
relative error in the Frobenius norm, ratio of the traces, and mean relative error of the variances
along the {leading} leading directions. The first row is what chance leaves with so many images, and
so much is part of the others too.

| images | covariance | trace | leading variances |
|---|---|---|---|
{field}

    python -m tests.benchmarks.measurements DATA FOLDER
"""


if __name__ == "__main__":
    run("measurements", experiment, 120_000, ("data", "folder"))
