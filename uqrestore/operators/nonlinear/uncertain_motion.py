"""Rigid motion between the shots of a scan."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from uqrestore.operators._checks import Index, Shape, require
from uqrestore.operators.base import LinearOperator
from uqrestore.operators.nonlinear.uncertain import OfPart, UncertainOperator, check_positive


@dataclass(frozen=True, eq=False)
class UncertainMotion(OfPart, UncertainOperator):
    """Measurements in shots, between which a rigid object moves in the plane.

    Shot 0 sees the image; every other one sees it shifted and turned, under coils at rest.

    Args:
        part: The measurement without motion, such as ``CoilFourier`` or ``MaskedFourier``.
        shots: Number of the shot of every entry of the measurement, from 0; negative where
            nothing is measured. It broadcasts: ``(row, column)`` for Cartesian k-space.
        shift_std: Prior standard deviation of the shift along each axis, in pixels.
        turn_std: Prior standard deviation of the turn, in degrees.

    Raises:
        ValueError: If there is one shot alone, or the shots do not fit the measurement.
    """

    name: ClassVar[str] = "uncertain_motion"
    parameters: ClassVar[tuple[str, ...]] = ("shift", "turn")
    units: ClassVar[tuple[str, ...]] = ("pixel", "degree")

    part: LinearOperator  # type: ignore[assignment] - of fewer kinds
    shots: Int[Tensor, "..."]
    shift_std: float | int = 1.0
    turn_std: float | int = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(self.name, shift_std=self.shift_std, turn_std=self.turn_std)
        out, shape = self.part.out_shape, tuple(self.shots.shape)
        fits = len(shape) <= len(out) and all(
            have in (1, want) for have, want in zip(shape[::-1], out[::-1], strict=False)
        )
        require(fits, self.name, f"shots {shape} do not broadcast to the measurement {out}.")
        numbers = set(self.shots[self.shots >= 0].tolist())
        require(
            len(numbers) > 1 and numbers == set(range(len(numbers))),
            self.name,
            f"shots must be numbered 0, 1, ... without gaps, and at least two, got "
            f"{sorted(numbers)[:9]}.",
        )

    @property
    def in_shape(self) -> Shape:
        return self.part.in_shape

    @property
    def dtype(self) -> torch.dtype:
        return self.part.dtype

    @property
    def count(self) -> int:
        return 3 * int(self.shots.max())

    def forward_at(self, x: Tensor, theta: Tensor) -> Tensor:
        motion, rest = self.values(theta), self.part.forward(x)
        total = torch.where(self.shots == 0, rest, 0)
        for shot in range(int(self.shots.max())):
            moved = move_rigidly(x, motion["shift"][..., shot, :], motion["turn"][..., shot])
            total = total + torch.where(self.shots == shot + 1, self.part.forward(moved), 0)
        return total

    def values(self, theta: Tensor) -> Mapping[str, Tensor]:
        """Return shifts ``(*batch, shot, 2)``, down and across, and turns ``(*batch, shot)``.

        Of every shot but the first; a turn is from the column axis towards the row axis.
        """
        steps = theta.unflatten(-1, (-1, 3))
        return {"shift": self.shift_std * steps[..., :2], "turn": self.turn_std * steps[..., 2]}

    def to(self, target: torch.device | torch.dtype | str) -> "UncertainMotion":
        shots = self.shots if isinstance(target, torch.dtype) else self.shots.to(target)
        return replace(self, part=self.part.to(target), shots=shots)

    def select(self, index: Index) -> "UncertainMotion":
        return replace(self, part=self.part.select(index)) if self.problem_shape else self


def move_rigidly(
    x: Float[Tensor, "*batch channel row column"],
    shift: Float[Tensor, "*batch 2"],
    turn: Float[Tensor, " *batch"],
) -> Float[Tensor, "*batch channel row column"]:
    r"""Turn images about the centre of the field, then shift them.

    Three shears, each by phase ramps along rows or columns: exact for band-limited images on a
    periodic field, and differentiable. A Gaussian spot of a standard deviation of 1.5 pixels that
    keeps four of them from the edge is within 0.1 % of its height at turns up to 20 degrees.

    Args:
        x: Images.
        shift: Down and across, in pixels.
        turn: From the column axis towards the row axis, in degrees.

    References:
        Unser, Thevenaz & Yaroslavsky, "Convolution-based interpolation for fast, high-quality
        rotation of images", IEEE Trans. Image Process. 4:1371-1381, 1995 (three shears).
    """
    rows, columns = x.shape[-2:]
    angle = torch.deg2rad(turn)[..., None]
    lean, rise = -torch.tan(angle / 2), torch.sin(angle)
    y = torch.arange(rows).to(x) - (rows - 1) / 2
    across = torch.arange(columns).to(x) - (columns - 1) / 2
    x = _displace(x, lean * y)
    x = _displace(x.mT, rise * across + shift[..., :1]).mT
    return _displace(x, lean * (y - shift[..., :1]) + shift[..., 1:])


def _displace(x: Tensor, by: Tensor) -> Tensor:
    """Move each row along itself by ``(*batch, row)`` pixels."""
    size = x.shape[-1]
    frequency = torch.fft.rfftfreq(size, dtype=x.dtype, device=x.device)
    angle = (-2 * math.pi) * by[..., None, :, None] * frequency
    return torch.fft.irfft(torch.fft.rfft(x) * torch.polar(torch.ones_like(angle), angle), n=size)
