"""Start a run from the weights of another network: the same one, or its plain trunk."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from uqrestore.diffusion.denoiser import NetworkDenoiser
from uqrestore.networks.weights import WeightsError, load_tensors

WRAPPERS = (".own.", ".layer.")
"""Prefixes of the parts of a plain layer inside an operator-conditioned one."""

PATCH_IN = "patch_in.project.weight"
PATCH_OUT = "patch_out.weight"


def start_from(denoiser: NetworkDenoiser, path: Path) -> list[str]:
    """Fill a network from a file of weights; return the names of the tensors it does not hold.

    A conditional network takes over the trunk of an unconditional prior, and one with more inputs
    or outputs that of one with fewer: further channels start at zero, and what only it has, such as
    everything about the operator, stays as drawn.

    Args:
        denoiser: What to fill, in place.
        path: A ``.safetensors`` file of averaged weights, in any precision.

    Raises:
        WeightsError: If the file fits nothing, or less than half, of the network.
    """
    given = load_tensors(path)
    state = denoiser.state_dict()
    patch = getattr(getattr(denoiser.network, "trunk", None), "patch", 1)
    found = {name: _find(name, given, wanted, patch**2) for name, wanted in state.items()}
    filled = {name: value for name, value in found.items() if value is not None}
    taken = sum(value.numel() for value in filled.values())
    if 2 * taken < sum(value.numel() for value in state.values()):
        raise WeightsError(
            f"{path}: fits less than half of the network to be trained; start from weights of the "
            "same widths, depths and patch."
        )
    denoiser.load_state_dict(filled, strict=False)
    return sorted(set(state) - set(filled))


def _find(name: str, given: Mapping[str, Tensor], wanted: Tensor, pixels: int) -> Tensor | None:
    plain = name
    for wrapper in WRAPPERS:
        plain = plain.replace(wrapper, ".")
    value = given.get(name, given.get(plain))
    if value is None:
        return None
    if value.shape == wanted.shape:
        return value.to(wanted.dtype)
    if name.endswith(PATCH_IN) and len(value) == len(wanted) and value.shape[1] % pixels == 0:
        # Both are (width, pixels of the patch * channels), the channels fastest, the image first.
        channels, room = value.shape[1] // pixels, wanted.shape[1] // pixels
        if channels < room:
            wider = torch.zeros(len(value), pixels, room, dtype=wanted.dtype)
            wider[..., :channels] = value.unflatten(1, (pixels, channels))
            return wider.flatten(1)
    if name.endswith(PATCH_OUT) and value.shape[1:] == wanted.shape[1:]:
        channels, room = len(value) // pixels, len(wanted) // pixels
        if channels < room:
            longer = torch.zeros(pixels, room, *wanted.shape[1:], dtype=wanted.dtype)
            longer[:, :channels] = value.unflatten(0, (pixels, channels))
            return longer.flatten(0, 1)
    return None
