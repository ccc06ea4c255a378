"""Coil maps that are known up to smooth errors."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from uqrestore.operators._checks import Index, Shape
from uqrestore.operators.coil_fourier import CoilFourier
from uqrestore.operators.joint_maps import SPREAD, cosines, mode_std
from uqrestore.operators.nonlinear.uncertain import OfPart, UncertainOperator, check_positive


@dataclass(frozen=True, eq=False)
class UncertainMaps(OfPart, UncertainOperator):
    r"""Multi-coil Fourier sampling whose coil maps differ smoothly from a first estimate.

    .. math:: f(x, a) = M F ((s + B a) \odot x)

    with the products :math:`B` of a few cosines along rows and columns, and independent Gaussian
    coefficients for each coil, as in :func:`~uqrestore.operators.joint_maps.refine_maps`. Where all
    maps of the first estimate are 0 they stay 0. Maps in the draws are not of unit norm: an image
    twice as bright with maps half as large gives the same measurement.

    Args:
        part: Fourier sampling with the first estimate ``s``, such as that of ESPIRiT.
        std: Prior standard deviation of real and of imaginary part of the error of a map, where
            the estimate has unit norm over the coils.

    Raises:
        ValueError: If ``std`` is not above 0.
    """

    name: ClassVar[str] = "uncertain_maps"
    parameters: ClassVar[tuple[str, ...]] = ("maps",)
    units: ClassVar[tuple[str, ...]] = ("",)

    part: CoilFourier  # type: ignore[assignment] - of fewer kinds
    std: float | int = SPREAD

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(self.name, std=self.std)

    @property
    def in_shape(self) -> Shape:
        return self.part.in_shape

    @property
    def dtype(self) -> torch.dtype:
        return self.part.dtype

    @property
    def count(self) -> int:
        return 2 * math.prod(self._modes)

    def forward_at(self, x: Tensor, theta: Tensor) -> Tensor:
        return self.part.forward_changed(x, self._change(theta))

    def values(self, theta: Tensor) -> Mapping[str, Tensor]:
        """Return the maps, ``(*batch, 2, coil, row, column)``, real and imaginary part first."""
        maps = self.part.maps + self._change(theta)
        return {"maps": torch.view_as_real(maps).movedim(-1, -4)}

    def _change(self, theta: Tensor) -> Tensor:
        maps = self.part.maps
        down, across = (cosines(side).to(maps) for side in maps.shape[-2:])
        real, imaginary = theta.unflatten(-1, (2, *self._modes)).unbind(-4)
        std = mode_std()[: down.shape[1], : across.shape[1]].to(maps)
        std = std * (self.std / SPREAD * math.prod(maps.shape[-2:]) ** 0.5)
        change = down @ (std * torch.complex(real, imaginary)) @ across.mT
        return change * (maps.abs().amax(-3, keepdim=True) > 0)

    @property
    def _modes(self) -> Shape:
        coils, rows, columns = self.part.maps.shape[-3:]
        return (coils, cosines(rows).shape[1], cosines(columns).shape[1])

    def to(self, target: torch.device | torch.dtype | str) -> "UncertainMaps":
        return replace(self, part=self.part.to(target))

    def select(self, index: Index) -> "UncertainMaps":
        return replace(self, part=self.part.select(index)) if self.problem_shape else self
