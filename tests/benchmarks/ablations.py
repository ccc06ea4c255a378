"""What each part of InvFussion is worth: small networks that differ in one thing.

``python -m tests.benchmarks.ablations DATA FOLDER`` writes ``docs/benchmarks-ablations.md``; of
DATA, the folder of the training data, the slices of the training people are trained on and the
label maps of the test people are painted. FOLDER keeps the runs; a stopped one goes on.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.benchmarks.invfussion import psnr, summary
from tests.benchmarks.small import NETWORK, problems, run, trained
from uqrestore.diffusion.denoiser import NetworkDenoiser
from uqrestore.diffusion.posterior_mean import posterior_moments
from uqrestore.methods import METHODS
from uqrestore.noise import SampleNoise
from uqrestore.problem import Problem
from uqrestore.training.batch import height_label
from uqrestore.training.config import DataConfig
from uqrestore.training.data import Drawn, Images, Source, step_generator
from uqrestore.training.labels import labels_source, load_labels
from uqrestore.training.sources import open_data

HELD_OUT, DRAWN, HEIGHTS, NOISE = 512, 128, 8, 0.1
FAMILIES: Mapping[str, Mapping[str, Any]] = {
    "random_matrix": {"share": 0.4, "rows": [16, 48]},
    "strided_motion_blur": {"share": 0.25},
    "patch_inpainting": {"share": 0.25},
    "nothing": {"share": 0.1},
}
NEVER_SEEN: Mapping[str, Mapping[str, Any]] = {"box_outpainting": {"share": 1}}
FULL = DataConfig(files=("brain_synth_64.h5", "brain_aug_64.h5"), shape=(1, 64, 64), voxel_mm=3.0)
BRAINS: Mapping[str, Any] = {
    "data": {"shape": (1, 32, 32), "voxel_mm": 6.0, "augment": "none"},
    "problem": {"families": FAMILIES},
    "loss": {"log_mean": -0.8, "log_std": 1.6, "pure_noise": 0.25},
    "optimiser": {"lr": 1e-3, "warmup": 4_000, "decay_from": 20_000},
    "batch": 64,
    "samples": 32_000,
    "ema": 4_000,
    "precision": "bf16",
    "validate_every": 10**9,
}
SIZE = NETWORK | {
    "patch": 4,
    "widths": [64, 128],
    "depths": [1, 4],
    "attention": ["global", "global"],
    "cond_width": 64,
}
CHOSEN = SIZE | {"joint": [True, True], "fdl_input": "projected"}
UNET = {"name": "unet", "widths": [16, 32, 64], "groups": 8, "head_width": 16}


@dataclass(frozen=True)
class Variant:
    """A network, and how its training differs from that of the others.

    Attributes:
        name: As the page calls it.
        network: Its options.
        differs: Whole sections of the configuration in place of those of the others.
    """

    name: str
    network: Mapping[str, Any]
    differs: Mapping[str, Any]

    def config(self, samples: int) -> dict[str, Any]:
        """Return the whole configuration."""
        return {**BRAINS, "network": self.network, "samples": samples, **self.differs}


LOUD = {"families": FAMILIES, "noise_std": (0.0, NOISE), "noise_free": 0.5}
VARIANTS = (
    Variant("Palette: no level", SIZE | {"joint": [False, False]}, {}),
    Variant("outer level", CHOSEN | {"joint": [True, False]}, {}),
    Variant("inner level", CHOSEN | {"joint": [False, True]}, {}),
    Variant("both levels", CHOSEN, {}),
    Variant("both, as published (raw)", CHOSEN | {"fdl_input": "raw"}, {}),
    Variant("both, with the linear estimate", CHOSEN | {"guess": 12, "guess_rank": 64}, {}),
    Variant("both, for the mean alone", CHOSEN, {"loss": {"regression": True}}),
    Variant("both, noise given", CHOSEN | {"measurement_noise": True}, {"problem": LOUD}),
    Variant(
        "both, height given",
        CHOSEN | {"labels": HEIGHTS},
        {"data": {**BRAINS["data"], "heights": HEIGHTS}},
    ),
    Variant("MONAI U-Net, blind", UNET | {"conditional": True}, {}),
    Variant("MONAI U-Net, joint", UNET | {"joint": [False, True, True], "fdl_input": "raw"}, {}),
)
BASE = "both levels"
BUDGETS: Mapping[int, Sequence[Variant]] = {250_000: VARIANTS[:9], 32_000: VARIANTS}
"""Slices that networks see; the longer the training, the fewer of them."""
PAGE = """# What each part is worth: small networks that differ in one thing

T1 brains of 32 x 32 at 6 mm. Patches of 4, widths 64 and 128, one and four layers; MONAI's U-Net
has widths 16, 32, 64. After 32 000 slices the networks are far from converged, and the comparison
is of how fast each learns; after 250 000 they still improve, but slowly. PSNR (dB, peak 2) of the
one-call mean on {count} fresh slices of two people whom no training saw, each with an operator of
its own, noise-free but for the last column; in brackets the paired difference from *{base}* with
its standard error over slices. Box out-painting was never shown. Then one draw of {drawn} of these
slices in 14 calls (`dpmpp_3m`); a network trained for the mean alone has seen no other noise level,
and cannot draw.

{tables}

The tables show: after 250 000 slices the operator inside the network is worth 2.7 dB on dense
matrices, 0.9 on patches, 0.8 on blur and 1.2 on boxes (after 32 000 slices 2.3, 0.9, 0.6 and 0.7).
Of the networks with one level alone, the outer level is ahead after 32 000 slices, but for blur;
after 250 000 the inner level is ahead, 0.1 dB behind both levels on matrices and blur and equal to
them on patches and boxes. A stack chosen by a learned map (`fdl_input: projected`) is 0.7 dB ahead
of the published one on matrices (1.1 after 32 000), a linear estimate in the input 0.8 dB more
(1.7): both gains shrink with training. A network trained for the mean alone is 0.1 to 0.3 dB better
at it wherever something is measured, and cannot draw.

A network that is given the noise level, and trained half on noisy data, is 0.2 dB behind on
matrices and blur, and also on matrices with noise 0.1, which costs a network that never saw noise
0.2 dB only. A network that can be given the height of the slice is 0.1 to 0.6 dB behind where it is
not given. Where it is, the network is 0.5 dB ahead on patches and 1.4 where nothing is measured,
equal on blur and 0.1 behind on matrices. In MONAI's U-Net, trained on 32 000 slices only, the
operator (in the two coarser levels, as published) is worth 0.2 dB on matrices and blur, 0.1 on
patches, and nothing on boxes.

## Class labels and guidance

Eight bins of the height of the slice in the brain, hidden from a tenth of the training images. PSNR
of the one-call mean with the class given and hidden; then the share of {drawn} draws without any
measurement whose nearest class mean (of training slices) is at most one bin from the class asked
for, by strength of guidance.

{labels}

    python -m tests.benchmarks.ablations DATA FOLDER
"""


TABLES = """## {seen} slices

The mean in one call:

{means}

Draws:

{draws}
"""


def halved(source: Source) -> Source:
    """Average slices down by two."""

    def draw(count: int, generator: torch.Generator) -> Drawn:
        drawn = Drawn.of(source(count, generator))
        return Drawn(F.avg_pool2d(drawn.images, 2), drawn.height)

    return draw


def held_out(data: Path) -> Drawn:
    """Paint slices of the test people."""
    source = halved(labels_source(load_labels(data / "brain_labels.h5", "test", 64)))
    return Drawn.join([Drawn.of(source(64, step_generator(2, i))) for i in range(HELD_OUT // 64)])


def means(
    denoiser: NetworkDenoiser, problem: Problem, truth: Images, label: Tensor | None = None
) -> np.ndarray:
    """Return the PSNR of one call for every problem."""
    noise = SampleNoise(5, [0], slices=range(len(truth)))
    moments = denoiser if label is None else partial(denoiser, label=label)
    return psnr(posterior_moments(moments, problem, noise).mean, truth)  # type: ignore[arg-type]


def drawn(denoiser: NetworkDenoiser, problem: Problem, **options: object) -> Images:
    """Draw once for the first problems."""
    noise = SampleNoise(6, [0], slices=range(DRAWN))
    return METHODS["conditional"](
        problem.select(slice(0, DRAWN)), denoiser, noise, steps=14, sampler="dpmpp_3m", rho=50.0,
        sigma_min=0.005, **options,
    )[0]  # fmt: skip


def label_rows(
    denoiser: NetworkDenoiser, measured: Mapping[str, Problem], truth: Drawn, source: Source
) -> Iterator[str]:
    """Yield what it is worth to know the height of a slice, and whether draws have it."""
    label = height_label(truth.height, HEIGHTS)
    yield "| measured by | given, dB | hidden, dB | difference |\n|---|---|---|---|"
    for family in FAMILIES:
        moments = means(denoiser, measured[family], truth.images, label)
        hidden = means(denoiser, measured[family], truth.images)
        gain, error = summary(moments - hidden)
        yield (
            f"| {family.replace('_', ' ')} | {moments.mean():.2f} | {hidden.mean():.2f} "
            f"| {gain:+.2f} +- {error:.2f} |"
        )
    many = Drawn.of(source(4000, step_generator(7)))
    of = height_label(many.height, HEIGHTS)
    centres = torch.stack([many.images[of == k].mean(0) for k in range(HEIGHTS)])
    asked = label[:DRAWN]

    def near(images: Images) -> str:
        found = (images[:, None] - centres).square().sum((2, 3, 4)).argmin(1)
        return f"{((found - asked).abs() <= 1).float().mean():.2f}"

    yield "\n| draws | within a bin |\n|---|---|"
    yield f"| true slices | {near(truth.images[:DRAWN])} |"
    for guidance in (0.0, 1.0, 2.0):
        images = drawn(
            denoiser, measured["nothing"], label=tuple(asked.tolist()), guidance=guidance
        )
        yield f"| guidance {guidance:g} | {near(images)} |"


def ablations(data: Path, folder: Path, samples: int) -> Iterator[str]:
    """Train the networks; after each, compare those that there are."""
    source = halved(open_data(data, FULL).source)
    truth = held_out(data)
    families = {**FAMILIES, **NEVER_SEEN}
    kinds = [k for k in families if k != "nothing"]
    fields = {**BRAINS, "problem": {"families": families}}
    measured = problems(fields, truth.images, 0.0)
    measured["random_matrix, noise 0.1"] = problems(fields, truth.images, NOISE)["random_matrix"]
    tables: dict[int, str] = {}
    labels = ""
    # Fewer samples than the smallest budget leave one table, of every network.
    for seen, variants in {min(budget, samples): v for budget, v in BUDGETS.items()}.items():
        found: dict[str, dict[str, np.ndarray]] = {}
        draws: dict[str, list[str]] = {}
        for variant in variants:
            place = re.sub(r"\W+", "-", f"ablation {seen} {variant.name}").strip("-").lower()
            denoiser = trained(variant.config(seen), source, folder / place)
            found[variant.name] = {k: means(denoiser, p, truth.images) for k, p in measured.items()}
            if "regression" not in variant.config(seen)["loss"]:
                images = {k: drawn(denoiser, measured[k]) for k in kinds}
                few = truth.images[:DRAWN]
                draws[variant.name] = [f"{psnr(one, few).mean():.2f}" for one in images.values()]
            if "labels" in variant.network and not labels:  # of the longest training alone
                labels = "\n".join(label_rows(denoiser, measured, truth, source))
            tables[seen] = TABLES.format(
                seen=f"{seen:,}".replace(",", " "),
                means=table(list(measured), {k: cells(v, found) for k, v in found.items()}),
                draws=table(kinds, draws),
            )
            yield PAGE.format(
                tables="\n".join(tables.values()).rstrip(), count=HELD_OUT, drawn=DRAWN, base=BASE,
                labels=labels,
            )  # fmt: skip


def cells(
    one: Mapping[str, np.ndarray], found: Mapping[str, Mapping[str, np.ndarray]]
) -> list[str]:
    """Return PSNR by family, with the paired difference from the base where that is trained."""
    moments = []
    for family, values in one.items():
        cell = f"{values.mean():.2f}"
        if BASE in found and one is not found[BASE]:
            gain, error = summary(values - found[BASE][family])
            cell += f" ({gain:+.2f} +- {error:.2f})"
        moments.append(cell)
    return moments


def table(columns: list[str], rows: Mapping[str, list[str]]) -> str:
    """Return a table of networks by families."""
    head = " | ".join(column.replace("_", " ") for column in columns)
    lines = [f"| {name} | {' | '.join(row)} |" for name, row in rows.items()]
    return f"| network | {head} |\n|{'---|' * (len(columns) + 1)}\n" + "\n".join(lines)


if __name__ == "__main__":
    run("ablations", ablations, max(BUDGETS), paths=("data", "folder"))
