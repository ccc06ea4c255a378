"""Colorization of brain slices in three contrasts: ``python -m tests.methods.contrasts LABELS``.

A grey image is the mean of three contrasts of one anatomy, which the methods are to tell apart. The
slices are drawn from label maps; their prior is a Gaussian with the mean and the leading
components of other people's slices, so the posterior is known exactly and the truths are not of
that prior, as in practice.
"""

import argparse
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from uqrestore.diagnostics.coverage import hits
from uqrestore.diffusion.wrapped import Counting
from uqrestore.methods import METHODS
from uqrestore.noise import SampleNoise
from uqrestore.operators import Colorization
from uqrestore.posterior.intervals import central_interval
from uqrestore.priors import LowRankGaussian
from uqrestore.priors.low_rank import fit_low_rank
from uqrestore.problem import Problem, simulate
from uqrestore.training.labels import LabelSlices, labels_source, load_labels

CASES: Mapping[str, Mapping[str, Any]] = {
    "exact": {},
    "ssd": {"preset": "30", "t0": 750, "eta_inversion": 0.8},
    "ssd_plus": {"preset": "30", "t0": 750, "eta_inversion": 0.8},
    "ddnm": {},
    "ddnm_plus": {},
    "ddrm": {},
    "diffpir": {},
    "pigdm": {},
    "moment_matching": {},
    "local_gaussian": {},
}


def three_contrasts(slices: LabelSlices, count: int, seed: int) -> Tensor:
    """Draw slices ``(count, 3, side, side)`` whose channels are contrasts of one anatomy.

    As T1, where tissue is as bright as the maps say; as T2, the other way round; as proton density,
    where tissues are nearly identical. The same random numbers draw every channel, so warps agree.
    """
    level = slices.level
    tissue = level > 0
    contrasts = level, (1.05 - level) * tissue, (0.75 - 0.25 * level) * tissue
    channels = []
    for one in contrasts:
        drawn = labels_source(replace(slices, level=one))(
            count, torch.Generator().manual_seed(seed)
        )
        channels.append(drawn if isinstance(drawn, Tensor) else drawn.images)
    return torch.cat(channels, 1)


def fitted_prior(slices: LabelSlices, count: int, rank: int) -> LowRankGaussian:
    """Return the Gaussian prior of three-contrast slices."""
    return fit_low_rank(three_contrasts(slices, count, 0), rank)


def grey(truth: Tensor, noise_std: float) -> Problem:
    """Measure the mean of the channels."""
    operator = Colorization(torch.full((1, 3), 1 / 3), (truth.shape[-2], truth.shape[-1]))
    noise = SampleNoise(1, [0], slices=range(len(truth)))
    return simulate(operator, truth, noise_std=noise_std, noise=noise)


def table(prior: LowRankGaussian, truth: Tensor, *, draws: int = 24) -> list[str]:
    """Return lines of a table: every method, with and without noise."""
    lines = []
    for noise_std in (0.0, 0.05):
        known = grey(truth, noise_std)
        exact = prior.posterior(known)
        for name, options in CASES.items():
            counting = Counting(prior)
            noise = SampleNoise(2, range(draws), slices=range(len(truth)))
            try:
                found = METHODS[name](known, counting, noise, **options)
            except ValueError:
                continue  # with noise, or without, this method is for the other
            except ArithmeticError:
                lines.append(
                    f"| {noise_std:g} | {name} | {_calls(counting)} | diverges | - | - | - |"
                )
                continue
            error = (found.mean(0) - truth).square().mean()
            spread = found.var(0).sum() / exact.std.square().sum()
            hit = hits(truth.numpy(), found.numpy(), central_interval(len(found), 0.9).rank).mean()
            misfit = (known.operator(found) - known.y).square().mean().sqrt()
            lines.append(
                f"| {noise_std:g} | {name} | {_calls(counting)} "
                f"| {10 * torch.log10(4 / error):.2f} | {spread:.3f} | {100 * hit:.1f}% "
                f"| {misfit:.2g} |"
            )
    return lines


def _calls(counting: Counting) -> str:
    return f"{counting.counts.network} + {counting.counts.products}"


def main() -> None:
    """Print the table for label maps on disk."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("labels", type=Path)
    args = parser.parse_args()
    prior = fitted_prior(load_labels(args.labels, "train", 32, 6.0), 800, 200)
    truth = three_contrasts(load_labels(args.labels, "test", 32, 6.0), 4, 9)
    print(f"tau {prior.tau:.3g}", flush=True)  # noqa: T201
    for line in table(prior, truth):
        print(line, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
