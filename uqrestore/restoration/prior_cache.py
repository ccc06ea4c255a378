"""Priors of the zoo, loaded once and kept."""

import hashlib
import json
from pathlib import Path

import torch

from uqrestore.diffusion.denoiser import Denoiser
from uqrestore.networks.weights import sha256
from uqrestore.pipeline import RestorePipeline
from uqrestore.zoo import load_card, load_prior, locate
from uqrestore.zoo.card import PriorCard

WEIGHTS = ("prior", "predictor", "predictor_base", "baseline")
"""Keys of a pipeline that name weights."""


def load_denoiser(name: str, device: str = "cpu") -> tuple[Denoiser, PriorCard]:
    """Return a prior of the zoo, ready on a device, and its card.

    Raises:
        ValueError: If the device does not exist here.
    """
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"device {device!r} cannot be used here ({reason}); use --device cpu."
        ) from None
    denoiser = load_prior(name)
    if isinstance(denoiser, torch.nn.Module):
        denoiser = denoiser.eval().requires_grad_(False).to(device)
    return denoiser, load_card(name)


class PriorCache:
    """Priors that are loaded once and kept, for work on many scans."""

    def __init__(self) -> None:
        self._denoisers: dict[tuple[str, str], tuple[Denoiser, PriorCard]] = {}
        self._gaussians: dict[str, object] = {}

    def denoiser(self, name: str, device: str) -> tuple[Denoiser, PriorCard]:
        """Return a prior and its card, as :func:`load_denoiser` loads them."""
        if (name, device) not in self._denoisers:
            self._denoisers[name, device] = load_denoiser(name, device)
        return self._denoisers[name, device]

    def baseline(self, name: str) -> object:
        """Return a prior of the zoo on the CPU, in the precision of its file."""
        if name not in self._gaussians:
            self._gaussians[name] = load_prior(name)
        return self._gaussians[name]


def weights_of(pipeline: RestorePipeline) -> dict[str, tuple[str, str]]:
    """Return name and SHA-256 of the weights of every prior and network that a pipeline names.

    The hash is that of the card, or where the card has none that of the file; draws also depend on
    an error model, which the card holds. The name is without its folder.
    """
    named = {key: getattr(pipeline, key) for key in WEIGHTS}
    return {
        key: (Path(name).name, _content(name)) for key, name in named.items() if name is not None
    }


def _content(name: str) -> str:
    card = load_card(name)
    weights = card.sha256 or sha256(locate(name))
    if card.errors is None:
        return weights
    errors = json.dumps(card.errors, sort_keys=True)
    return hashlib.sha256(f"{weights} {errors}".encode()).hexdigest()
