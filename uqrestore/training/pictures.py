"""What a conditional network makes of a few held-out images, to look at while it trains."""

from pathlib import Path

import torch

from uqrestore.diffusion.denoiser import NetworkDenoiser
from uqrestore.training.validation import Probes

SHOWN = 3
"""Images a family."""


@torch.no_grad()
def save_picture(path: Path, denoiser: NetworkDenoiser, probes: Probes, sigma: float) -> None:
    """Write a PNG: for each family, truth, pseudo-inverse and one-call mean of a few images.

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
        back = few.operator.pinv(few.y).cpu()
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
