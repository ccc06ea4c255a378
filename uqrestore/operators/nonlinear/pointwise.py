"""Nonlinear operators that act on every value, or pair of values, alone."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from uqrestore.operators._checks import Shape, require
from uqrestore.operators.nonlinear.base import NonlinearOperator


@dataclass(frozen=True, eq=False)
class Pointwise(NonlinearOperator):
    """An operator with a diagonal Jacobian.

    Args:
        shape: Shape of an image and of a measurement.
    """

    shape: Shape

    def slope(self, x: Tensor) -> Tensor:
        """Return the derivative at every value."""
        raise NotImplementedError

    @property
    def in_shape(self) -> Shape:
        return tuple(self.shape)

    @property
    def out_shape(self) -> Shape:
        return tuple(self.shape)

    def jvp(self, x: Tensor, v: Tensor) -> Tensor:
        return self.slope(x) * v

    def vjp(self, x: Tensor, v: Tensor) -> Tensor:
        return self.slope(x) * v


@dataclass(frozen=True, eq=False)
class Affine(Pointwise):
    r"""Network intensity to other units: -1 becomes ``low`` and 1 becomes ``high``.

    Args:
        shape: Shape of an image.
        low: Image intensity that -1 stands for.
        high: Image intensity that 1 stands for.

    Raises:
        ValueError: If ``low`` is not below ``high``.
    """

    name: ClassVar[str] = "affine"

    low: float | int
    high: float | int

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.low < self.high, self.name, f"low is {self.low} but high is {self.high}.")

    def forward(self, x: Tensor) -> Tensor:
        return self.low + (x + 1) * ((self.high - self.low) / 2)

    def slope(self, x: Tensor) -> Tensor:
        return torch.full_like(x, (self.high - self.low) / 2)


@dataclass(frozen=True, eq=False)
class BeerLambert(Pointwise):
    r"""Expected photon counts behind line integrals of attenuation, :math:`I_0 e^{-p}`.

    ``BeerLambert(A.out_shape, photons) @ A`` with projections ``A`` is a CT scan, whose noise is
    :class:`~uqrestore.noise.Poisson`.

    Args:
        shape: Shape of the line integrals.
        photons: :math:`I_0`, expected counts of an unattenuated ray.

    Raises:
        ValueError: If ``photons`` is not above 0.
    """

    name: ClassVar[str] = "beer_lambert"

    photons: float | int

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.photons > 0, self.name, f"photons must be above 0, got {self.photons}.")

    def forward(self, x: Tensor) -> Tensor:
        return self.photons * torch.exp(-x)

    def slope(self, x: Tensor) -> Tensor:
        return -self.forward(x)

    def logarithm(self, y: Tensor) -> Tensor:
        """Return the line integrals that counts stand for; 0 counts as half a photon."""
        return torch.log(self.photons / y.clamp(min=0.5))


@dataclass(frozen=True, eq=False)
class Saturation(Pointwise):
    r"""Values clipped to the range of a detector.

    Args:
        shape: Shape of an image.
        low: Lowest value.
        high: Highest value.

    Raises:
        ValueError: If ``low`` is not below ``high``.
    """

    name: ClassVar[str] = "saturation"

    low: float | int
    high: float | int

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.low < self.high, self.name, f"low is {self.low} but high is {self.high}.")

    def forward(self, x: Tensor) -> Tensor:
        return x.clamp(self.low, self.high)

    def slope(self, x: Tensor) -> Tensor:
        return ((x > self.low) & (x < self.high)).to(x.dtype)


@dataclass(frozen=True, eq=False)
class Magnitude(NonlinearOperator):
    r"""Magnitude of complex values, :math:`\sqrt{a^2 + b^2}` over the first axis.

    Args:
        shape: Shape of the values, ``(2, *rest)`` with real and imaginary part first, as Fourier
            operators measure them.
        squared: Return intensities :math:`a^2 + b^2` instead.

    Raises:
        ValueError: If the first axis is not of size 2.
    """

    name: ClassVar[str] = "magnitude"

    shape: Shape
    squared: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            len(self.shape) > 1 and self.shape[0] == 2,
            self.name,
            f"wants values of shape (2, ...), real and imaginary part first, got {self.shape}.",
        )

    @property
    def in_shape(self) -> Shape:
        return tuple(self.shape)

    @property
    def out_shape(self) -> Shape:
        return (1, *self.shape[1:])

    @property
    def homogeneous(self) -> bool:
        return not self.squared

    def forward(self, x: Tensor) -> Tensor:
        if self.squared:
            return x.square().sum(-len(self.shape), keepdim=True)
        return torch.linalg.vector_norm(x, dim=-len(self.shape), keepdim=True)

    def jvp(self, x: Tensor, v: Tensor) -> Tensor:
        return (self._slope(x) * v).sum(-len(self.shape), keepdim=True)

    def vjp(self, x: Tensor, v: Tensor) -> Tensor:
        return self._slope(x) * v

    def _slope(self, x: Tensor) -> Tensor:
        """Return the gradient of every magnitude; 0 at the origin, where there is none."""
        if self.squared:
            return 2 * x
        length = self.forward(x)
        return torch.where(length > 0, x / torch.where(length > 0, length, 1), 0)
