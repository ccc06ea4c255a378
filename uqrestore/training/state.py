"""State of a training run on disk: written whole, and resumed to the bit."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from uqrestore.networks.weights import load_tensors, save_tensors

STATE = "state.safetensors"
"""File of a run folder that holds everything that changes while training."""
AVERAGED = "ema.safetensors"
"""File of a run folder that holds the averaged weights."""


def save_state(folder: Path, state: Mapping[str, Any], averaged: nn.Module) -> None:
    """Write the full state, nested dicts of tensors and numbers, and the averaged weights."""
    save_tensors(folder / STATE, _flatten(state))
    save_tensors(folder / AVERAGED, averaged.state_dict())


class SavedState:
    """A saved state, read by the names of its parts."""

    def __init__(self, folder: Path) -> None:
        self.tensors = load_tensors(folder / STATE)

    def number(self, name: str) -> int:
        """Return a number."""
        return int(self.tensors[name])

    def part(self, name: str) -> dict[str, Tensor]:
        """Return the tensors of a part; none where it was empty."""
        start = f"{name}/"
        return {k.removeprefix(start): v for k, v in self.tensors.items() if k.startswith(start)}

    def moments(self, optimiser: torch.optim.Adam, count: int) -> None:
        """Load the moments of the optimiser for so many parameters."""
        state, saved = optimiser.state_dict(), self.part("adam")
        state["state"] = {
            i: {name: saved[f"{i}/{name}"] for name in ("step", "exp_avg", "exp_avg_sq")}
            for i in range(count)
            if f"{i}/step" in saved
        }
        optimiser.load_state_dict(state)


def _flatten(state: Mapping[Any, Any], prefix: str = "") -> dict[str, Tensor]:
    """Flatten nested dicts of tensors and numbers into ``a/b/c`` names for safetensors."""
    flat: dict[str, Tensor] = {}
    for key, value in state.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{name}/")
        else:
            flat[name] = torch.as_tensor(
                value, dtype=torch.float64 if isinstance(value, float) else None
            )
    return flat
