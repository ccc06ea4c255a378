"""Coil maps that are known up to smooth errors."""

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from uqrestore.operators._checks import Index, Shape
from uqrestore.operators.coil_fourier import CoilFourier
from uqrestore.operators.joint_maps import MODES, SPREAD, cosines, mode_std
from uqrestore.operators.nonlinear.uncertain import (
    OfPart,
    Products,
    UncertainOperator,
    check_positive,
)


@dataclass(frozen=True, eq=False)
class UncertainMaps(OfPart, UncertainOperator):
    r"""Multi-coil Fourier sampling whose coil maps differ smoothly from a first estimate.

    .. math:: f(x, a) = M F (s(a) \odot x), \quad s(a) = |s| \frac{s + d}{|s + d|}, \quad
        d = B a - s \frac{s^H B a}{|s|^2}

    with the products :math:`B` of a few cosines along rows and columns, and independent Gaussian
    coefficients for each coil, as in :func:`~uqrestore.operators.joint_maps.refine_maps`; norms and
    products are over the coils of a pixel. An image twice as bright with maps half as large gives
    the same measurement, and so do phases of image and maps that cancel. Therefore the size of the
    maps is that of the first estimate, and their error is orthogonal to it: what is drawn is the
    image combined with maps of known norm and phase. Of a real image, the phase of the maps is
    free. Where all maps of the first estimate are 0 they stay 0.

    Args:
        part: Fourier sampling with the first estimate ``s``, such as that of ESPIRiT.
        std: Prior standard deviation of real and of imaginary part of the error of a map, where
            the estimate has unit norm over the coils, before what changes the norm is removed.

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

    def products_at(self, x: Tensor, theta: Tensor) -> Products:
        unit, norm = self._direction(theta)
        along, back = self.part.products_changed(x, self._size * unit - self.part.maps)
        dual = unit.conj().resolve_conj()
        factor = (self._size / norm).to(unit.dtype)

        def turned(v: Tensor) -> Tensor:
            """Derivative of maps of constant norm; it is its own transpose."""
            return factor * (v - unit * (dual * v).sum(-3, keepdim=True).real)

        def transposed(y: Tensor) -> tuple[Tensor, Tensor]:
            image, changed = back(y)
            return image, self._error_transposed(self._across(turned(changed)))

        return lambda v, t: along(v, turned(self._across(self._error(t)))), transposed

    def values(self, theta: Tensor) -> Mapping[str, Tensor]:
        """Return the maps, ``(*batch, 2, coil, row, column)``, real and imaginary part first."""
        maps = self.part.maps + self._change(theta)
        return {"maps": torch.view_as_real(maps).movedim(-1, -4)}

    def _change(self, theta: Tensor) -> Tensor:
        """Return how maps of these parameters differ from the first estimate."""
        return self._size * self._direction(theta)[0] - self.part.maps

    def _direction(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Return maps of unit norm, and the norm before; where there are no maps, 1."""
        moved = self.part.maps + self._across(self._error(theta))
        norm = torch.where(self._size > 0, _norm(moved), 1)
        return moved / norm, norm

    def _across(self, error: Tensor) -> Tensor:
        """Project errors on what changes neither norm nor, of complex images, phase."""
        along = (self._dual * error).sum(-3, keepdim=True)
        return error - self.part.maps * (along.real if self.in_shape[0] == 1 else along)

    @functools.cached_property
    def _size(self) -> Tensor:
        return _norm(self.part.maps)

    @functools.cached_property
    def _dual(self) -> Tensor:
        """Conjugate maps over the square of their norm."""
        size = torch.where(self._size > 0, self._size, 1)
        return self.part.maps.conj().resolve_conj() / size.square()

    def _error(self, theta: Tensor) -> Tensor:
        """Return the product with :math:`B`."""
        down, across, std = self._basis
        real, imaginary = theta.unflatten(-1, (2, *self._modes)).unbind(-4)
        return down @ (std * torch.complex(real, imaginary)) @ across.mT

    def _error_transposed(self, error: Tensor) -> Tensor:
        down, across, std = self._basis
        found = std * (down.mT @ error @ across)
        return torch.stack([found.real, found.imag], -4).flatten(-4)

    @functools.cached_property
    def _basis(self) -> tuple[Tensor, Tensor, Tensor]:
        """Cosines along rows and columns, and the standard deviation of their coefficients."""
        maps = self.part.maps
        down, across = (cosines(side).to(maps) for side in maps.shape[-2:])
        std = mode_std()[: down.shape[1], : across.shape[1]].to(maps)
        return down, across, std * (self.std / SPREAD * math.prod(maps.shape[-2:]) ** 0.5)

    @property
    def _modes(self) -> Shape:
        coils, *sides = self.part.maps.shape[-3:]
        return (coils, *(min(MODES, side) for side in sides))

    def to(self, target: torch.device | torch.dtype | str) -> "UncertainMaps":
        return replace(self, part=self.part.to(target))

    def select(self, index: Index) -> "UncertainMaps":
        return replace(self, part=self.part.select(index)) if self.problem_shape else self


def _norm(maps: Tensor) -> Tensor:
    """Return the norm over the coils of every pixel, kept as an axis."""
    return torch.view_as_real(maps).square().sum((-4, -1)).sqrt().unsqueeze(-3)
