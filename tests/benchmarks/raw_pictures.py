"""Pictures of two real scans without a reference: a Poisson-disc scan, and a radial heart.

    python -m tests.benchmarks.raw_pictures DATA FOLDER [--scan poisson|heart]

Each is restored by `raw-head` and by l1-wavelet (sigpy), whose weight is the best of a list on the
samples left out. The error on those samples, a tenth of the samples outside the centre, is the only
reference there is.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import uqrestore as uq
from tests.benchmarks.heads import stored
from uqrestore.baselines import l1_wavelet
from uqrestore.cli.terminal import say
from uqrestore.diffusion.windowed import WindowedDenoiser
from uqrestore.methods import fitted_gaussian
from uqrestore.noise import SampleNoise
from uqrestore.operators import CoilFourier, CoilRadial
from uqrestore.operators._fourier import as_complex
from uqrestore.problem import Problem
from uqrestore.restoration.measure import acquisition_from_kspace
from uqrestore.restoration.refine_maps import DRAWS as REFINEMENT
from uqrestore.restoration.refine_maps import refined_problem
from uqrestore.scans import Placement, RadialScan, RawScan, fit_to_model
from uqrestore.scans.coil_noise import CoilNoise
from uqrestore.scans.radial import radial_scan
from uqrestore.scans.scan import Source
from uqrestore.zoo import load_prior

WEIGHTS = (0.0003, 0.001, 0.003, 0.01, 0.03)
DRAWS, HELD_OUT, CENTRE = 4, 0.1, 24
PIXEL_MM = {"poisson": 1.0, "heart": 1.5}


def poisson_scan(data: Path) -> RawScan:
    """Return the 8-coil scan on a variable-density Poisson disc, 230 x 180."""
    kspace = stored(data / "raw_kspace.h5", "brain_8ch_poisson/kspace")
    mask = (kspace != 0).any(axis=0)
    return uq.scan_from_kspace(kspace[None], mask=mask, spacing=PIXEL_MM["poisson"], name="poisson")


def heart_scan(data: Path) -> RadialScan:
    """Return one frame of the radial heart: 12 coils, 25 spokes, 256 x 256."""
    path = data / "raw_kspace.h5"
    k = stored(path, "heart_12ch_radial/k")
    samples = stored(path, "heart_12ch_radial/rawdata")
    side = k.shape[0]  # samples are one period of the field of view apart: no less holds the body
    points = 2 * np.pi * np.stack([np.real(k), np.imag(k)], -1).reshape(-1, 2)
    flat = samples.reshape(-1, samples.shape[-1]).T[None]
    edge = samples[-6:].reshape(-1)  # the highest frequencies hold next to no signal
    std = float(np.sqrt(np.mean(np.abs(edge) ** 2) / 2))
    mm = PIXEL_MM["heart"]
    return radial_scan(
        flat,
        points,
        (side, side),
        np.diag([mm, mm, 8.0, 1.0]),
        spokes=k.shape[1],
        noise=CoilNoise(std, "highest frequencies"),
        source=Source(name="heart", format="k-space"),
    )


def problem_of(raw: RawScan | RadialScan) -> Problem:
    """Return the first slice as a problem in network units."""
    placement: Placement = fit_to_model(
        raw.scan, raw.shape, voxel_size=raw.scan.spacing[0]
    ).placement
    return acquisition_from_kspace(raw, [0], placement, complex_image=True).problem([0]).select(0)


def split(problem: Problem) -> tuple[Problem, Problem]:
    """Return a problem without some samples, and one of these alone."""
    operator, generator = problem.operator, torch.Generator().manual_seed(0)
    if isinstance(operator, CoilFourier):
        rows, columns = operator.mask.shape
        kept = torch.rand(operator.mask.shape, generator=generator) >= HELD_OUT
        half = CENTRE // 2
        middle = (rows // 2 - half, columns // 2 - half)
        kept[middle[0] : middle[0] + CENTRE, middle[1] : middle[1] + CENTRE] = True
        parts = [operator.mask & kept, operator.mask & ~kept]
        problems = [
            Problem(replace(operator, mask=mask), problem.y * mask, problem.noise_std)
            for mask in parts
        ]
        return problems[0], problems[1]
    assert isinstance(operator, CoilRadial)
    radius = operator.trajectory.abs().amax(-1)
    kept = (torch.rand(len(radius), generator=generator) >= HELD_OUT) | (radius < 0.5)
    problems = [
        Problem(
            replace(operator, trajectory=operator.trajectory[at]),
            problem.y[..., at],
            problem.noise_std,
        )
        for at in (kept, ~kept)
    ]
    return problems[0], problems[1]


def misfit(problem: Problem, image: Tensor) -> float:
    """Return the relative misfit of an image on samples."""
    gap = problem.operator(image) - problem.y
    return float(gap.norm() / problem.y.norm())


def compare(problem: Problem, prior: Any, name: str, folder: Path) -> None:  # noqa: ANN401
    """Restore, print the error on the samples left out, and draw."""
    seen, left_out = split(problem)
    shape = (problem.in_shape[-2], problem.in_shape[-1])
    windowed = WindowedDenoiser(prior, shape)

    def draws(given: Problem, samples: range) -> Tensor:
        return fitted_gaussian(given, windowed, SampleNoise(0, samples))

    refined = seen
    if isinstance(seen.operator, CoilFourier):
        refined, fits = refined_problem(
            seen, lambda given, count: draws(given, REFINEMENT[:count]), 3
        )
        assert isinstance(refined.operator, CoilFourier)
        assert isinstance(left_out.operator, CoilFourier)
        known = replace(refined.operator, mask=left_out.operator.mask)
        left_out = replace(left_out, operator=known)
        say(f"{name}: chi-square of draws in rounds of maps: {', '.join(f'{x:.2f}' for x in fits)}")
    found = draws(refined, range(DRAWS))
    images = {f"raw-head, mean of {DRAWS}": found.mean(0), "a draw": found[0]}
    wavelet = min(
        (l1_wavelet(seen, weight=weight) for weight in WEIGHTS),
        key=lambda image: misfit(left_out, image),
    )
    images["l1-wavelet"] = wavelet
    say(
        f"{name}: chi-square {float(refined.chi_square(found).mean()):.2f}; error on samples left "
        f"out {misfit(left_out, images[f'raw-head, mean of {DRAWS}']):.3f}, l1-wavelet "
        f"{misfit(left_out, wavelet):.3f}"
    )
    std = as_complex(found).abs().std(0)
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 4, figsize=(14, 4.2), constrained_layout=True)
    top = float(torch.quantile(as_complex(images["a draw"]).abs().flatten(), 0.998))
    for axis, (title, image) in zip(axes, images.items(), strict=False):
        axis.imshow(as_complex(image).abs().numpy(), cmap="gray", vmin=0, vmax=top)
        axis.set_title(title)
    axes[3].imshow(std.numpy(), cmap="magma", vmin=0, vmax=top / 4)
    axes[3].set_title("spread of the draws (x 4)")
    for axis in axes:
        axis.set_axis_off()
    figure.savefig(folder / f"raw-{name}.png", dpi=80)


def main() -> None:
    """Make both pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--scan", choices=["poisson", "heart"], help="Else both.")
    given = parser.parse_args()
    prior = load_prior("mr-windows")
    for name, scan in (("poisson", poisson_scan), ("heart", heart_scan)):
        if given.scan not in (None, name):
            continue
        compare(problem_of(scan(given.data)), prior, name, given.folder)


if __name__ == "__main__":
    main()
