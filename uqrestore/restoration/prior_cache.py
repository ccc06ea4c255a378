"""Priors of the zoo and of the user, loaded once and kept."""

import copy
import functools
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import torch
from pydantic import ValidationError

from uqrestore._shared.named import find_named
from uqrestore.diffusion.denoiser import Denoiser, FunctionDenoiser
from uqrestore.networks.weights import sha256
from uqrestore.pipeline import PriorPart, RestorePipeline
from uqrestore.pipeline.check import typed_options
from uqrestore.priors import ClosedForm
from uqrestore.restoration.arrays import identity_of
from uqrestore.zoo import load_card, load_prior, locate
from uqrestore.zoo.card import PriorCard

WEIGHTS = ("prior", "predictor", "predictor_base", "baseline")
"""Keys of a pipeline that name weights."""


def load_denoiser(prior: str | PriorPart, device: str = "cpu") -> tuple[Denoiser, PriorCard]:
    """Return a prior of the zoo or of the user, ready on a device, and its card.

    Raises:
        ValueError: If the device does not exist here, or the user's function returns no prior.
    """
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"device {device!r} cannot be used here ({reason}); use --device cpu."
        ) from None
    if isinstance(prior, PriorPart):
        denoiser, card, _ = _own_prior(prior.model_dump_json())
        denoiser = denoiser if device == "cpu" else copy.deepcopy(denoiser)
    else:
        denoiser, card = load_prior(prior), load_card(prior)
    if isinstance(denoiser, torch.nn.Module):
        denoiser = denoiser.eval().requires_grad_(False).to(device)
    elif isinstance(denoiser, ClosedForm):
        denoiser = denoiser.to(device)
    return denoiser, card


@functools.cache  # a function is called once a process, as its module is imported once
def _own_prior(part_json: str) -> tuple[Denoiser, PriorCard, str]:
    """Return the prior of a function of the user, its card, and the SHA-256 of its tensors."""
    part = PriorPart.model_validate_json(part_json)
    factory = find_named(part.name, {}, "prior")
    denoiser = factory(**typed_options(("prior",), part.name, part.options, factory, ()))
    if not isinstance(denoiser, Denoiser) or isinstance(denoiser, FunctionDenoiser):
        raise ValueError(
            f"prior: {part.name} returned {type(denoiser).__name__}; return "
            "uqrestore.wrap(network, kind, in_shape), or a prior of uqrestore.priors."
        )
    stated = {"name": part.name, "in_shape": denoiser.in_shape, **getattr(denoiser, "card", {})}
    try:
        card = PriorCard.model_validate(stated)
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(
            f"prior: card of {part.name}: {first['loc'][0]}: {first['msg']}."
        ) from None
    return denoiser, card, identity_of(denoiser)["sha256"]


class PriorCache:
    """Priors that are loaded once and kept, for work on many scans."""

    def __init__(self) -> None:
        self._denoisers: dict[tuple[str, str], tuple[Denoiser, PriorCard]] = {}
        self._gaussians: dict[str, object] = {}

    def denoiser(self, prior: str | PriorPart, device: str) -> tuple[Denoiser, PriorCard]:
        """Return a prior and its card, as :func:`load_denoiser` loads them."""
        key = prior if isinstance(prior, str) else prior.model_dump_json(), device
        if key not in self._denoisers:
            self._denoisers[key] = load_denoiser(prior, device)
        return self._denoisers[key]

    def baseline(self, name: str) -> object:
        """Return a prior of the zoo on the CPU, in the precision of its file."""
        if name not in self._gaussians:
            self._gaussians[name] = load_prior(name)
        return self._gaussians[name]


def weights_of(pipeline: RestorePipeline) -> dict[str, tuple[str, str]]:
    """Return name and SHA-256 of the weights of every prior and network that a pipeline names.

    The hash is that of the card, or where the card has none that of the file; draws also depend on
    an error model, which the card holds. The name is without its folder. Of a prior of the user
    the hash is that of its tensors and declarations.
    """
    named = {key: getattr(pipeline, key) for key in WEIGHTS}
    return {
        key: (name.name if isinstance(name, PriorPart) else Path(name).name, _content(name))
        for key, name in named.items()
        if name is not None
    }


def without_folders(pipeline: RestorePipeline) -> RestorePipeline:
    """Return a pipeline whose weights are named without their folders, which name a machine."""
    return with_paths(pipeline, lambda name: Path(name).name)


def with_paths(pipeline: RestorePipeline, change: Callable[[str], str]) -> RestorePipeline:
    """Return a pipeline with the names of its weights and the paths of its options changed."""
    changed: dict[str, object] = {
        key: change(name) for key in WEIGHTS if isinstance(name := getattr(pipeline, key), str)
    }
    if isinstance(prior := pipeline.prior, PriorPart):
        options = {
            key: change(value) if isinstance(value, str) and Path(value).exists() else value
            for key, value in prior.options.items()
        }
        changed["prior"] = prior.model_copy(update={"options": options})
    return pipeline.model_copy(update=changed)


def _content(name: str | PriorPart) -> str:
    if isinstance(name, PriorPart):
        return _own_prior(name.model_dump_json())[2]
    card = load_card(name)
    weights = card.sha256 or sha256(locate(name))
    if card.errors is None:
        return weights
    errors = json.dumps(card.errors, sort_keys=True)
    return hashlib.sha256(f"{weights} {errors}".encode()).hexdigest()
