"""Validation of a conditional network while it trains."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from uqrestore.diffusion.denoiser import NetworkDenoiser
from uqrestore.problem import Problem, simulate
from uqrestore.training.batch import build_distribution
from uqrestore.training.config import ProblemConfig
from uqrestore.training.data import Images, step_generator

PROBES = 64
"""Images a family: the standard error of their mean PSNR is about 0.3 dB, paired far less."""

EXACT_DB = 60.0
"""PSNR at which an image counts as exact: a mask may happen to show everything."""


def image_psnr(estimate: Images, truth: Images) -> Float[Tensor, " image"]:
    """Return the PSNR (dB, peak 2) of each image, at most :data:`EXACT_DB`."""
    error = (estimate - truth).square().flatten(1).mean(1)
    return (10 * torch.log10(4 / error)).clamp(max=EXACT_DB)


@dataclass(frozen=True, eq=False)
class Probes:
    """Fixed measurements of fixed images, one problem a family.

    They are free of noise, except where ``A^+`` has no closed form: those are measured with the
    mean noise level of the training.

    Args:
        images: The truth, network units.
        problems: A batch of measurements of ``images`` for each family.
        noise: What the network sees in place of a noisy image, unit variance.
    """

    images: Images
    problems: Mapping[str, Problem]
    noise: Tensor

    @classmethod
    def draw(cls, config: ProblemConfig, val: Images, seed: int) -> "Probes":
        """Measure some of the validation images by every family of the run."""
        count = min(PROBES, len(val))
        images = val[:: len(val) // count][:count]
        shape = tuple(images.shape[1:])
        problems = {}
        for number, (name, family) in enumerate(config.families.items()):
            generator = step_generator(seed, 4, number)
            operator = build_distribution(name, family, shape).draw(generator, count)
            std = 0.0 if operator.exact_pinv else sum(config.noise_std) / 2
            problems[name] = simulate(operator, images, noise_std=std, seed=seed)
        noise = torch.randn(images.shape, generator=step_generator(seed, 5))
        return cls(images, problems, noise)

    @torch.no_grad()
    def psnr(self, denoiser: NetworkDenoiser, sigma: float) -> dict[str, float]:
        """Mean PSNR (dB, peak 2) of the posterior mean in one call, from noise of ``sigma``.

        As in :func:`uqrestore.diffusion.posterior_mean.posterior_moments`, projected onto a
        measurement without noise. Where a noisy one was measured, the PSNR of the linear estimate
        stands beside it.
        """
        device = next(denoiser.parameters()).device
        truth, noise = self.images.to(device), self.noise.to(device)
        level, found = torch.tensor(sigma, device=device), {}
        for name, problem in self.problems.items():
            problem = problem.to(device)
            mean = denoiser(sigma * noise, level, problem)
            if not problem.is_noisy:
                mean = problem.project(mean)
            found[f"mmse_psnr_{name}"] = float(image_psnr(mean, truth).mean())
            estimate = denoiser.network.linear_estimate
            if problem.is_noisy and estimate is not None:
                linear = image_psnr(estimate(problem), truth)
                found[f"linear_psnr_{name}"] = float(linear.mean())
        return found


SHOWN = 3
"""Images a family."""


@torch.no_grad()
def save_picture(path: Path, denoiser: NetworkDenoiser, probes: Probes, sigma: float) -> None:
    """Write a PNG: for each family, truth, pseudo-inverse or transpose, and one-call mean.

    Args:
        path: Where to; replaced if it is there.
        denoiser: The network.
        probes: The validation problems.
        sigma: Noise level of the call, network units.
    """
    from matplotlib.figure import Figure

    device = next(denoiser.parameters()).device
    rows = list(probes.problems.items())
    figure = Figure(figsize=(3 * SHOWN * 1.1, 1.25 * len(rows)), layout="constrained", dpi=110)
    axes = figure.subplots(len(rows), 3 * SHOWN, squeeze=False)
    for panels, (name, problem) in zip(axes, rows, strict=True):
        few = problem.select(slice(SHOWN)).to(device)
        level = torch.tensor(sigma, device=device)
        mean = denoiser(sigma * probes.noise[:SHOWN].to(device), level, few).cpu()
        back = few.operator.pinv(few.y) if few.operator.exact_pinv else few.operator.adjoint(few.y)
        back = back.cpu()
        for i in range(SHOWN):
            images = {"truth": probes.images[i], "pinv": back[i], "mean": mean[i]}
            for panel, (what, image) in zip(panels[3 * i :], images.items(), strict=False):
                panel.imshow(image[0].numpy(), cmap="gray", vmin=-1, vmax=1)
                panel.set_xticks([])
                panel.set_yticks([])
                if panels is axes[0]:
                    panel.set_title(what, fontsize=8)
        panels[0].set_ylabel(name.replace("_", "\n"), fontsize=7)
    figure.savefig(path)
