"""Whether trained draws have the right spread, on a field whose every posterior is known.

``python -m tests.benchmarks.field FOLDER`` writes ``docs/benchmarks-field.md``.
"""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from tests.benchmarks.field_networks import SHAPE, field_source
from tests.benchmarks.phantoms import decibels
from tests.benchmarks.small import NETWORK, mean_of, problems, run, trained
from uqrestore.diffusion.denoiser import NetworkDenoiser
from uqrestore.methods import METHODS
from uqrestore.noise import SampleNoise
from uqrestore.operators.random.mixture import RandomMatrix
from uqrestore.priors import GaussianPrior
from uqrestore.priors.gaussian import gaussian_field
from uqrestore.problem import Problem, simulate
from uqrestore.training.data import Drawn, Images, Source, step_generator

HELD_OUT = 128
PROBLEMS, DRAWS = 32, 64
MANY, BLOCK = 20_000, 1_000
ROWS = (8, 32)
FIELD = {
    "network": NETWORK
    | {
        "patch": 4,
        "widths": [64],
        "depths": [4],
        "cond_width": 64,
        "joint": [True],
        "fdl_input": "projected",
        "guess": 12,
        "guess_rank": 32,
        "pass_guess": True,
    },
    "data": {"shape": SHAPE, "augment": "none"},
    "problem": {
        "families": {
            "patch_inpainting": {"share": 0.3},
            "cartesian_kspace": {"share": 0.3, "accelerations": [2, 3, 4]},
            "random_matrix": {"share": 0.4, "rows": ROWS},
        },
        "noise_std": (0.1, 0.1),
        "noise_free": 0.0,
    },
    "loss": {"log_mean": -0.4, "log_std": 1.4, "pure_noise": 0.15},
    "optimiser": {"lr": 2e-3, "warmup": 40_000, "decay_from": 300_000},
    "batch": 256,
    "samples": 2_000_000,
    "ema": 60_000,
    "validate_every": 10**9,
}
PAGE = """# Trained draws against the exact posterior: a Gaussian field

A field of 16x16 pixels, std 0.5, power (1 + f^2)^-1.75, measured by patches, lines of k-space or 8
to 32 dense rows, with noise 0.1. A small InvFussion (four layers of width 64, {samples} training
samples) is trained on draws of the field; its linear estimate (`guess_rank: 32`) is fitted to 3000
of them, and is nearly exact here by itself; for real images it is not. Every posterior is known in
closed form. {problems} problems of each kind, {draws} draws each (`conditional`, 63 calls). In
order: variance of the draws over the exact one; the same along the five widest directions of the
exact posterior; squared error of the mean of the draws over its floor; squared error of the mean of
one call over the variance of the posterior.

| measured by | variance | along the five widest | mean of draws | one call |
|---|---|---|---|---|
{rows}

Squared distance of the network's denoised images from the exact ones, as a share of the least
possible mean square error, by noise level:

| sigma | patches | k-space | dense matrix |
|---|---|---|---|
{excess}

Posterior means of dense matrices, PSNR (dB, peak 2) of {held_out} images: one call {ours:.2f}, the
exact posterior {exact:.2f}; the best linear estimate from `A^+ y` alone, which is blind to the
matrix, {blind:.2f} (a regression on {many} other images).

    python -m tests.benchmarks.field FOLDER
"""


def field(folder: Path, samples: int) -> Iterator[str]:
    """Train on a Gaussian field; compare draws and denoised images with the exact ones."""
    prior = gaussian_field(SHAPE)
    source = field_source(prior)
    denoiser = trained(FIELD | {"samples": samples}, source, folder / "field")
    truth = Drawn.of(source(HELD_OUT, step_generator(2))).images
    measured = problems(FIELD, truth, 0.1)
    lines = []
    for name, problem in measured.items():
        few = problem.select(slice(0, PROBLEMS))
        lines.append(f"| {name} | " + " | ".join(field_row(denoiser, prior, few)) + " |")
    table = "\n".join(excess_rows(denoiser, prior, measured, truth))
    dense = measured["random_matrix"]
    best = torch.stack([exact.mean for exact in exact_posteriors(prior, dense)])
    yield PAGE.format(
        samples=samples, problems=PROBLEMS, draws=DRAWS, rows="\n".join(lines), excess=table,
        held_out=HELD_OUT, ours=decibels((mean_of(denoiser, dense) - truth).square()),
        exact=decibels((best - truth).square()), many=MANY,
        blind=decibels((blind_means(source, dense) - truth).square()),
    )  # fmt: skip


def blind_means(source: Source, problem: Problem) -> Tensor:
    """Best linear estimates from the pseudo-inverse alone, learnt from many other images."""
    model, seen, wanted = RandomMatrix(SHAPE, rows=ROWS), [], []
    for block in range(MANY // BLOCK):
        images = Drawn.of(source(BLOCK, step_generator(6, block))).images
        noise = SampleNoise(7, [block], slices=range(BLOCK))
        one = simulate(
            model.draw(step_generator(7, block), BLOCK), images, noise_std=0.1, noise=noise
        )
        seen.append(one.operator.pinv(one.y).flatten(1).double())
        wanted.append(images.flatten(1).double())
    x = torch.cat(seen)
    gain = torch.linalg.lstsq(x, torch.cat(wanted)).solution
    return (problem.operator.pinv(problem.y).flatten(1).double() @ gain).reshape(-1, *SHAPE)


def field_row(denoiser: NetworkDenoiser, prior: GaussianPrior, problem: Problem) -> list[str]:
    """Variance and mean of draws over those of the exact posterior."""
    noise = SampleNoise(8, range(DRAWS), slices=range(PROBLEMS))
    with torch.no_grad():
        draws = METHODS["conditional"](problem, denoiser, noise, steps=32).double()
    exact = exact_posteriors(prior, problem)
    variance = torch.stack([p.std.square().sum() for p in exact])
    means = torch.stack([p.mean for p in exact])
    spread = draws.var(0).flatten(1).sum(1)
    ratio = (spread / variance).mean()
    error = (draws.mean(0) - means).square().flatten(1).sum(1)
    floor = variance / DRAWS
    once = (mean_of(denoiser, problem) - means).square().flatten(1).sum(1) / variance
    captured = [along(draws[:, i], p) for i, p in enumerate(exact)]
    widest = torch.stack(captured).mean(0)
    return [
        f"{ratio:.3f} ± {float((spread / variance).std() / PROBLEMS**0.5):.3f}",
        " ".join(f"{value:.2f}" for value in widest),
        f"{float((error / floor).mean()):.2f}",
        f"{float(once.mean()):.4f}",
    ]


def along(draws: Tensor, exact: GaussianPrior) -> Tensor:
    """Variance of draws along the five widest exact directions, over the exact ones."""
    directions, std = exact.components(5)
    shares = torch.einsum("kn,dn->dk", directions.flatten(1), (draws - exact.mean).flatten(1))
    return shares.var(0) / std.square()


def exact_posteriors(prior: GaussianPrior, problem: Problem) -> list[GaussianPrior]:
    """The exact posterior of every problem of a batch."""
    found = []
    for i in range(problem.problem_shape[0]):
        one = problem.select(i)
        exact = prior.posterior(
            Problem(one.operator.to(torch.float64), one.y.double(), one.noise_std)
        )
        assert isinstance(exact, GaussianPrior)
        found.append(exact)
    return found


def excess_rows(
    denoiser: NetworkDenoiser, prior: GaussianPrior, measured: dict[str, Problem], truth: Images
) -> list[str]:
    """Mean square error of the denoiser over that of the exact one, by noise level."""
    rows = []
    for sigma in (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 20.0, 80.0):
        shares = []
        for problem in measured.values():
            noise = SampleNoise(9, [0], slices=range(HELD_OUT)).normal(SHAPE, problem.y)[0]
            x_t = truth + sigma * noise
            level = torch.tensor(sigma)
            with torch.no_grad():
                ours = denoiser(x_t, level, problem).double()
            best = torch.stack(
                [
                    posterior(x_t[i].double(), level.double())
                    for i, posterior in enumerate(exact_posteriors(prior, problem))
                ]
            )
            attained = (best - truth).square().mean()
            shares.append(float((ours - best).square().mean() / attained))
        rows.append(f"| {sigma:g} | " + " | ".join(f"{share:.1%}" for share in shares) + " |")
    return rows


if __name__ == "__main__":
    run("field", field, FIELD["samples"])
