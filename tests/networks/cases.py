"""A small case of every backbone, awakened from its zero start."""

from collections.abc import Callable

import torch

from uqrestore.networks import Backbone, HDiT, InvFussion, UNet

SHAPE = (1, 12, 8)

CASES: dict[str, Callable[[], Backbone]] = {
    "hdit": lambda: HDiT(
        SHAPE,
        patch=2,
        widths=(16, 32),
        depths=(1, 1),
        attention=("neighborhood:3", "global"),
        head_width=8,
        labels=3,
        cond_width=16,
    ),
    "invfussion": lambda: InvFussion(
        SHAPE,
        patch=2,
        widths=(16, 32),
        depths=(2, 1),
        attention=("shifted-window:2", "global"),
        joint=(True, True),
        head_width=8,
        labels=3,
        cond_width=16,
    ),
    "invfussion_projected": lambda: InvFussion(
        SHAPE,
        patch=2,
        widths=(16, 24),
        depths=(2, 1),
        attention=("neighborhood:3", "global"),
        joint=(True, True),
        fdl_input="projected",
        guess=3,
        head_width=8,
        labels=3,
        cond_width=16,
    ),
    "invfussion_consistent": lambda: InvFussion(
        SHAPE,
        patch=2,
        widths=(16, 24),
        depths=(2, 1),
        attention=("neighborhood:3", "neighborhood:3"),
        joint=(True, True),
        fdl_input="consistent",
        any_size=True,
        final_steps=2,
        guess=3,
        pass_guess=True,
        head_width=8,
        labels=3,
        cond_width=16,
    ),
    "unet_joint": lambda: UNet(
        SHAPE,
        widths=(8, 16),
        attention=(False, True),
        joint=(False, True),
        measurement_noise=True,
        head_width=8,
        groups=4,
        labels=3,
    ),
    "unet_projected": lambda: UNet(
        SHAPE,
        widths=(8, 12),
        attention=(True, True),
        joint=(True, True),
        fdl_input="projected",
        measurement_noise=True,
        head_width=4,
        groups=4,
        labels=3,
    ),
    "unet": lambda: UNet(
        SHAPE,
        widths=(8, 16),
        attention=(False, True),
        head_width=8,
        groups=4,
        labels=3,
    ),
}


def awake(network: Backbone, seed: int = 0) -> Backbone:
    """Move every weight a little, so that zero starts hide nothing; evaluation mode."""
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=g, dtype=parameter.dtype)
    return network.eval()
