r"""Averages of the weights over the whole run, of any width, made after the training.

A power-function average weighs the weights at time :math:`\tau` of a run of length :math:`t` by
:math:`p_\gamma(\tau) = (\gamma + 1) \tau^\gamma / t^{\gamma + 1}`: its width grows with the run and
the random start is forgotten. Two of them are kept while training, snapshots of both are stored
now and then, and a weighted sum of the snapshots then gives any other profile closely.

References:
    Karras et al., "Analyzing and Improving the Training Dynamics of Diffusion Models", CVPR 2024,
    section 3. arXiv:2312.02696
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from uqrestore.networks.weights import WeightsError, load_tensors, save_tensors
from uqrestore.training.config import PowerEmaConfig

FOLDER = "snapshots"
_NAME = re.compile(r"(\d+)-([\d.e-]+)\.safetensors")


def exponent(width: float) -> float:
    r"""Return :math:`\gamma` of a profile whose standard deviation is ``width`` of the run.

    The largest root of
    :math:`\gamma^3 + 7 \gamma^2 + (16 - w^{-2}) \gamma + 12 - w^{-2} = 0`.

    Raises:
        ValueError: If no power function is that wide; a flat one has 0.289.
    """
    if not 0 < width < 12**-0.5:
        raise ValueError(
            f"the width of a power-function average lies between 0 and 0.288 of the run, got "
            f"{width:g}."
        )
    roots = np.roots([1, 7, 16 - width**-2, 12 - width**-2])
    return float(roots[np.abs(roots.imag) < 1e-9].real.max())


def relative_width(gamma: float) -> float:
    """Undo :func:`exponent`."""
    return float(((gamma + 1) / ((gamma + 2) ** 2 * (gamma + 3))) ** 0.5)


class PowerEma:
    """The averages that are kept while training.

    Args:
        config: Widths, and how often snapshots are stored.
        module: Whose parameters are averaged.
    """

    def __init__(self, config: PowerEmaConfig, module: nn.Module) -> None:
        self.config = config
        self.gammas = [exponent(width) for width in config.widths]
        self.averages = [
            {name: p.detach().clone() for name, p in module.named_parameters()}
            for _ in config.widths
        ]

    @torch.no_grad()
    def update(self, module: nn.Module, seen: int, batch: int) -> None:
        """Take in the weights after a step: ``seen`` samples so far, the last ``batch`` of it."""
        for gamma, average in zip(self.gammas, self.averages, strict=True):
            keep = (1 - batch / seen) ** (gamma + 1)
            for name, parameter in module.named_parameters():
                average[name].lerp_(parameter, 1 - keep)

    def due(self, seen: int, batch: int) -> bool:
        """Whether the last step reached the time of a snapshot."""
        return seen // self.config.every > (seen - batch) // self.config.every

    def store(self, run: Path, seen: int) -> None:
        """Write a snapshot of every average, in half precision."""
        for width, average in zip(self.config.widths, self.averages, strict=True):
            half = {name: value.half() for name, value in average.items()}
            save_tensors(run / FOLDER / f"{seen:012d}-{width:g}.safetensors", half)

    def state(self) -> dict[str, Tensor]:
        """Return everything that changes, for the state of the run."""
        return {f"{i}/{name}": t for i, own in enumerate(self.averages) for name, t in own.items()}

    @torch.no_grad()
    def load(self, state: Mapping[str, Tensor]) -> None:
        """Undo :meth:`state`."""
        for i, average in enumerate(self.averages):
            for name, value in average.items():
                value.copy_(state[f"{i}/{name}"])


def gram(ours: Sequence[tuple[float, float]], theirs: Sequence[tuple[float, float]]) -> np.ndarray:
    r"""Return the inner products of profiles, each a pair :math:`(\gamma, t)`.

    .. math::
        \langle p_a, p_b \rangle = \frac{(\gamma_a + 1) (\gamma_b + 1) r}
            {(\gamma_a + \gamma_b + 1) \max(t_a, t_b)}

    with :math:`r = (t_a / t_b)^{\gamma_b}` for :math:`t_a < t_b`, else
    :math:`(t_b / t_a)^{\gamma_a}`.
    """
    a, ta = (np.array(column)[:, None] for column in zip(*ours, strict=True))
    b, tb = (np.array(column)[None] for column in zip(*theirs, strict=True))
    ratio = np.where(ta < tb, (ta / tb) ** b, (tb / ta) ** a)
    return (a + 1) * (b + 1) * ratio / ((a + b + 1) * np.maximum(ta, tb))


@dataclass(frozen=True)
class Recipe:
    """How a profile is made of stored ones.

    Attributes:
        weights: Of every stored profile; they sum to 1.
        residual: Distance of what they make from what was asked for, as a share of its length.
    """

    weights: np.ndarray
    residual: float


def solve(stored: Sequence[tuple[float, float]], target: tuple[float, float]) -> Recipe:
    """Find the sum of stored profiles ``(gamma, t)`` that is nearest to a target, in squares."""
    inner, wanted = gram(stored, stored), gram(stored, [target])[:, 0]
    # Profiles that lie close together make the system nearly singular: scale, then least squares.
    size = np.sqrt(np.diag(inner))
    scaled = np.linalg.lstsq(inner / np.outer(size, size), wanted / size, rcond=1e-14)[0]
    weights = scaled / size
    weights = weights / weights.sum()
    own = gram([target], [target])[0, 0]
    left = own - 2 * weights @ wanted + weights @ inner @ weights
    return Recipe(weights, float(np.sqrt(max(left, 0.0) / own)))


def synthesise(run: Path, width: float, at: int | None = None) -> tuple[dict[str, Tensor], Recipe]:
    """Make the average of a run with a width of one's choice.

    Args:
        run: Folder of a run that stored snapshots.
        width: Relative width ``sigma_rel`` of the profile.
        at: Samples of the run at which the profile ends; by default the last snapshot.

    Returns:
        Averaged weights with the buffers of the network, in float32, and how they were made.

    Raises:
        WeightsError: If there are no snapshots, or none as late as ``at``.
    """
    files = sorted((run / FOLDER).glob("*.safetensors"))
    named = [(path, found) for path in files if (found := _NAME.fullmatch(path.name))]
    times = {int(found[1]) for _, found in named}
    if not times:
        raise WeightsError(
            f"{run}: has no snapshots to average; train with power_ema in the pipeline."
        )
    end = max(times) if at is None else at
    if not min(times) <= end <= max(times):
        raise WeightsError(
            f"{run}: has no snapshots for an average that ends at {end} samples; they reach from "
            f"{min(times)} to {max(times)}."
        )
    used = [(path, found) for path, found in named if int(found[1]) <= end]
    stored = [(exponent(float(found[2])), float(found[1])) for _, found in used]
    recipe = solve(stored, (exponent(width), float(end)))
    total = combine((load_tensors(path) for path, _ in used), recipe.weights)
    whole = load_tensors(run / "ema.safetensors")
    return {name: total.get(name, value).to(value.dtype) for name, value in whole.items()}, recipe


def combine(parts: Iterable[Mapping[str, Tensor]], weights: np.ndarray) -> dict[str, Tensor]:
    """Return a weighted sum of weights, summed in float64."""
    total: dict[str, Tensor] = {}
    for part, weight in zip(parts, weights.tolist(), strict=True):
        for name, value in part.items():
            scaled = weight * value.double()
            total[name] = total[name] + scaled if name in total else scaled
    return total
