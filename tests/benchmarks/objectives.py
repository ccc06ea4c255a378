"""What a conditional network is trained to put out: EDM, flow matching, a bridge from ``A^+ y``.

``python -m tests.benchmarks.objectives DATA FOLDER`` trains InvFussion with each of them on the
same images and measurements, and writes ``docs/benchmarks-objectives.md``; DATA holds
``ixi_brain_64.h5``. A stopped run goes on.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import torch
import torch.nn.functional as F

from tests.benchmarks.small import NETWORK, mean_of, problems, run, trained
from tests.training.phantoms import random_ellipses
from uqrestore.diagnostics.scenes import Scenes
from uqrestore.diagnostics.scores import fair_energy
from uqrestore.diagnostics.spread import spread_skill
from uqrestore.diffusion.denoiser import NetworkDenoiser
from uqrestore.diffusion.schedules import karras_sigmas
from uqrestore.methods import conditional
from uqrestore.noise import SampleNoise
from uqrestore.problem import Problem
from uqrestore.training.data import Drawn, Images, Source, step_generator, to_network

SIDE, HELD_OUT, DRAWS, NOISE_STD = 32, 32, 12, 0.05
HIGH, LOW = 40.0, 0.01
CALLS, EVEN = (4, 8, 14), (8,)
KINDS = {
    "edm": {"kind": "edm"},
    "flow": {"kind": "flow"},
    "bridge": {"kind": "bridge"},
}
OTHER_LEVELS = {
    "flow, levels of EDM": {"kind": "flow", "log_mean": -0.8, "log_std": 1.6},
    "bridge, levels of EDM": {"kind": "bridge", "log_mean": -0.8, "log_std": 1.6},
}
TRAINING: Mapping[str, Any] = {
    "network": NETWORK
    | {"patch": 4, "widths": [96], "depths": [4], "cond_width": 64, "joint": [True]}
    | {"fdl_input": "projected", "measurement_noise": True},
    "data": {"shape": (1, SIDE, SIDE), "augment": "none"},
    "problem": {
        "families": {
            "random_matrix": {"share": 0.45, "rows": [32, 160]},
            "patch_inpainting": {"share": 0.45},
            "nothing": {"share": 0.1},
        },
        "noise_std": (0.0, 0.1),
        "noise_free": 0.2,
    },
    "optimiser": {"lr": 1e-3, "warmup": 5_000, "decay_from": 30_000},
    "batch": 64,
    "ema": 5_000,
    "precision": "bf16",
    "validate_every": 10**9,
}
FAMILIES = {"random_matrix": "dense matrices", "patch_inpainting": "patches"}


def phantoms(count: int, generator: torch.Generator) -> Images:
    """Draw phantoms of random ellipses."""
    return random_ellipses(count, SIDE, generator)


def brains(file: Path, split: str) -> Source:
    """Return a source of T1 slices of the IXI people of a split, 6 mm."""
    with h5py.File(file) as opened:
        slices = torch.from_numpy(opened[f"{split}/brain"][:])  # type: ignore[index]
    small = F.avg_pool2d(to_network(slices.reshape(-1, 1, *slices.shape[-2:])), 2)

    def draw(count: int, generator: torch.Generator) -> Images:
        chosen = small[torch.randint(len(small), (count,), generator=generator)]
        flipped = torch.rand(count, generator=generator) < 0.5
        return torch.where(flipped[:, None, None, None], chosen.flip(-1), chosen)

    return draw


def even_times(calls: int) -> list[float]:
    """Return noise levels evenly spaced in the time of straight paths, to 0."""
    start = HIGH / (1 + HIGH)
    times = torch.linspace(start, 0, calls + 1, dtype=torch.float64)
    return (times / (1 - times)).tolist()


def scores(denoiser: NetworkDenoiser, problem: Problem, truth: Images, calls: int, even: bool):  # noqa: ANN201 - a row
    """Draw by the third-order sampler; return accuracy, calibration and score of the draws."""
    grid = even_times(calls) if even else karras_sigmas(calls, LOW, HIGH, 100.0).tolist()
    noise = SampleNoise(6, range(DRAWS), slices=range(HELD_OUT))
    with torch.no_grad():
        draws = conditional(problem, denoiser, noise, sigmas=grid, sampler="dpmpp_3m")
    scenes = Scenes(truth.double().numpy(), draws.double().numpy())
    inside = (truth >= draws.amin(0)) & (truth <= draws.amax(0))
    return {
        "psnr": decibels(draws.mean(0), truth),
        "spread": spread_skill(scenes, replays=1).ratio.value,
        "inside": float(inside.double().mean()),
        "energy": float(fair_energy(scenes.truth, scenes.draws).mean()),
    }


def decibels(found: Images, truth: Images) -> float:
    """PSNR over all images, peak 2."""
    return float(10 * torch.log10(4 / (found - truth).square().mean()))


def measure(denoiser: NetworkDenoiser, truth: Images) -> dict[str, Any]:
    """Return the rows of one network, by family."""
    found: dict[str, Any] = {}
    measured = problems(dict(TRAINING) | {"samples": 1}, truth, NOISE_STD)
    for family in FAMILIES:
        problem = measured[family]
        row: dict[str, Any] = {"one call": decibels(mean_of(denoiser, problem), truth)}
        for calls in CALLS:
            row[f"{calls}"] = scores(denoiser, problem, truth, calls, False)
        for calls in EVEN:
            row[f"{calls} even"] = scores(denoiser, problem, truth, calls, True)
        found[family] = row
    return found


def objectives(data: Path, folder: Path, samples: int) -> Iterator[str]:
    """Train and measure; yield the page after every network."""
    file = data / "ixi_brain_64.h5"
    sources: dict[str, tuple[Source, Source]] = {
        "phantoms": (phantoms, phantoms),
        "T1 slices": (brains(file, "train"), brains(file, "test")),
    }
    kept = folder / "rows.json"
    rows: dict[str, Any] = json.loads(kept.read_text()) if kept.exists() else {}
    for images, losses in (*((images, KINDS) for images in sources), ("phantoms", OTHER_LEVELS)):
        source, held_out = sources[images]
        truth = Drawn.of(held_out(HELD_OUT, step_generator(2))).images
        for name, loss in losses.items():
            key = f"{images}: {name}"
            if key not in rows:
                stated = dict(TRAINING) | {"loss": {**loss, "pure_noise": 0.15}, "samples": samples}
                place = folder / key.replace(" ", "-").replace(":", "").replace(",", "")
                rows[key] = measure(trained(stated, source, place), truth)
                kept.write_text(json.dumps(rows))
            yield page(rows, samples)


def page(rows: Mapping[str, Any], samples: int) -> str:
    """Return the page."""
    ideal = 100 * (DRAWS - 1) / (DRAWS + 1)
    lines = [
        PAGE.format(samples=samples, count=HELD_OUT, draws=DRAWS, noise=NOISE_STD, ideal=ideal)
    ]
    for images in ("phantoms", "T1 slices"):
        for family, title in FAMILIES.items():
            lines += ["", f"## {images}, {title}", "", HEAD]
            for key, row in rows.items():
                of, name = key.split(": ")
                if of == images:
                    lines.append(table_row(name, row[family]))
    return "\n".join([*lines, "", "    python -m tests.benchmarks.objectives DATA FOLDER", ""])


def table_row(name: str, row: Mapping[str, Any]) -> str:
    """Return a row: one call; PSNR of the mean by calls, the better spacing of the levels."""
    cells = [name, f"{row['one call']:.2f}"]
    for calls in CALLS:
        both = [row[key] for key in (f"{calls}", f"{calls} even") if key in row]
        best = min(both, key=lambda one: one["energy"])
        mark = "" if best is both[0] else " *"
        cells.append(
            f"{best['psnr']:.2f}, {best['spread']:.2f}, {100 * best['inside']:.0f} %, "
            f"{best['energy']:.3f}{mark}"
        )
    return f"| {' | '.join(cells)} |"


HEAD = f"""| network | one call | {" | ".join(f"{calls} calls" for calls in CALLS)} |
|---|---|{"---|" * len(CALLS)}"""
PAGE = """# EDM, flow matching, or a bridge

InvFussion (one level of four layers, width 96, 32 x 32 pixels) trained three ways on the same
{samples} images and measurements: the EDM denoising loss, the velocity of straight paths
(`loss: {{kind: flow}}`), and a Brownian bridge from `A^+ y` (`loss: {{kind: bridge}}`), each with
the noise levels of its authors, and on phantoms with those of EDM as well. All see the operator in
every layer, so that all three have the same posterior as their optimum
(`uqrestore.diffusion.preconditioning`), and one sampler serves them.

On {count} held-out images, measured with noise {noise}: PSNR (dB, peak 2) of one call; then, of
{draws} draws with 4 to 14 calls each, **PSNR of their mean, spread over error** (1 for an ideal
sampler), **share of pixels inside all draws** ({ideal:.0f} % for an ideal sampler), **energy
score** (smaller is better). Levels are even in the logarithm; of 8 calls, those marked * are even
in the time of straight paths, where that has the better energy score.

**What it shows.** On dense matrices flow matching is ahead: the mean of its draws is 0.9 dB (T1)
and 1.5 dB (phantoms) above that of EDM, with the better energy score and a spread nearer to 1. With
the levels of EDM about half of that is left, so that half comes from the levels, half from the
output. On patches it gains 0.9 dB on phantoms and nothing on T1, where the bridge is best. The
bridge has the best single call everywhere, 0.3 to 1.0 dB above EDM. So: `flow` for draws, `bridge`
for one call. Larger images and longer trainings have not been measured."""


if __name__ == "__main__":
    run("objectives", objectives, 24_000, ("data", "folder"))
