r"""Operators with parameters that are known up to a prior, drawn together with the image.

A gain or a width is :math:`c\, e^{r \theta}` with :math:`\theta \sim N(0, 1)`: positive, known to
the fraction ``r`` about its centre ``c``.
"""

import abc
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from uqrestore.operators._checks import Index, Shape, require
from uqrestore.operators.base import LinearOperator
from uqrestore.operators.nonlinear.base import (
    NonlinearOperator,
    Product,
    is_homogeneous,
    jvp,
    vjp,
)

Products = tuple[Callable[[Tensor, Tensor], Tensor], Callable[[Tensor], tuple[Tensor, Tensor]]]
"""Products of a Jacobian: with changes of image and parameters, and back with a measurement."""


class UncertainOperator(NonlinearOperator):
    """An operator with parameters to draw with the image; :meth:`forward` is at their centre.

    Attributes:
        parameters: Names of the parameters.
        units: Unit of each of them; empty for pure numbers.
    """

    parameters: ClassVar[tuple[str, ...]]
    units: ClassVar[tuple[str, ...]]

    @property
    def count(self) -> int:
        """Number of standard normal coordinates; one for each parameter unless overridden."""
        return len(self.parameters)

    @property
    def linear_in_image(self) -> bool:
        """Whether :meth:`forward_at` is linear in the image; False where nothing is stated."""
        return False

    @abc.abstractmethod
    def forward_at(self, x: Tensor, theta: Float[Tensor, "*batch parameter"]) -> Tensor:
        """Measure images with parameters in their standard normal coordinates."""

    def products_at(self, x: Tensor, theta: Tensor) -> Products | None:  # noqa: ARG002
        """Return the Jacobian by image and parameters, and its transpose, if written down."""
        return None

    @abc.abstractmethod
    def values(self, theta: Float[Tensor, "*batch parameter"]) -> Mapping[str, Tensor]:
        """Return each parameter in its unit, ``(*batch, *parameter)``."""

    def forward(self, x: Tensor) -> Tensor:
        batch = x.shape[: x.ndim - len(self.in_shape)]
        return self.forward_at(x, x.new_zeros(*batch, self.count))


class OfPart(NonlinearOperator):
    """An operator that measures as its part does."""

    part: LinearOperator | NonlinearOperator

    @property
    def out_shape(self) -> Shape:
        return self.part.out_shape

    @property
    def problem_shape(self) -> Shape:
        return self.part.problem_shape

    @property
    def row_mask(self) -> Tensor | None:
        return self.part.row_mask

    @property
    def homogeneous(self) -> bool:
        return is_homogeneous(self.part)

    @property
    def linear_in_image(self) -> bool:
        """Whether the measurement is linear given its parameters, as its part is."""
        return isinstance(self.part, LinearOperator)


@dataclass(frozen=True, eq=False)
class UncertainGain(OfPart, UncertainOperator):
    """A multiple of an operator whose factor is known up to a fraction.

    Args:
        part: The operator, linear or not.
        gain: Centre of the factor.
        relative_std: Standard deviation of its logarithm.

    Raises:
        ValueError: If either number is not above 0.
    """

    name: ClassVar[str] = "uncertain_gain"
    parameters: ClassVar[tuple[str, ...]] = ("gain",)
    units: ClassVar[tuple[str, ...]] = ("",)

    part: LinearOperator | NonlinearOperator
    gain: float | int = 1.0
    relative_std: float | int = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(self.name, gain=self.gain, relative_std=self.relative_std)

    @property
    def in_shape(self) -> Shape:
        return self.part.in_shape

    def forward_at(self, x: Tensor, theta: Tensor) -> Tensor:
        factor = self.values(theta)["gain"]
        return factor.reshape(*factor.shape, *[1] * len(self.out_shape)) * self.part.forward(x)

    def values(self, theta: Tensor) -> Mapping[str, Tensor]:
        return {"gain": self.gain * torch.exp(self.relative_std * theta[..., 0])}

    def to(self, target: torch.device | torch.dtype | str) -> "UncertainGain":
        return replace(self, part=self.part.to(target))

    def select(self, index: Index) -> "UncertainGain":
        return replace(self, part=self.part.select(index)) if self.problem_shape else self


@dataclass(frozen=True, eq=False)
class UncertainBlur(UncertainOperator):
    r"""Gaussian blur on a periodic image, of a width known up to a fraction.

    Args:
        shape: Shape of an image, ``(channel, row, column)``.
        width: Centre of the standard deviation of the kernel, in pixels.
        relative_std: Standard deviation of its logarithm.

    Raises:
        ValueError: If either number is not above 0.
    """

    name: ClassVar[str] = "uncertain_blur"
    parameters: ClassVar[tuple[str, ...]] = ("width",)
    units: ClassVar[tuple[str, ...]] = ("pixel",)

    shape: Shape
    width: float | int = 1.0
    relative_std: float | int = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(self.name, width=self.width, relative_std=self.relative_std)

    @property
    def in_shape(self) -> Shape:
        return tuple(self.shape)

    @property
    def out_shape(self) -> Shape:
        return tuple(self.shape)

    @property
    def homogeneous(self) -> bool:
        return True

    @property
    def linear_in_image(self) -> bool:
        return True

    def forward_at(self, x: Tensor, theta: Tensor) -> Tensor:
        rows, columns = self.shape[-2:]
        down = torch.fft.fftfreq(rows, dtype=x.dtype, device=x.device)[:, None]
        across = torch.fft.rfftfreq(columns, dtype=x.dtype, device=x.device)
        power = 2 * math.pi**2 * (down.square() + across.square())
        width = self.values(theta)["width"].reshape(*theta.shape[:-1], 1, 1, 1)
        spectrum = torch.fft.rfft2(x) * torch.exp(-power * width.square())
        return torch.fft.irfft2(spectrum, s=(rows, columns))

    def values(self, theta: Tensor) -> Mapping[str, Tensor]:
        return {"width": self.width * torch.exp(self.relative_std * theta[..., 0])}


@dataclass(frozen=True, eq=False)
class Joint(OfPart):
    """An operator on the image and its parameters in one vector ``(pixel + parameter,)``.

    Args:
        part: The operator; one without parameters acts on the flattened image.
    """

    name: ClassVar[str] = "joint"

    part: LinearOperator | NonlinearOperator

    @property
    def count(self) -> int:
        """Number of coordinates of the parameters."""
        return self.part.count if isinstance(self.part, UncertainOperator) else 0

    @property
    def in_shape(self) -> Shape:
        return (torch.Size(self.part.in_shape).numel() + self.count,)

    @property
    def has_derivatives(self) -> bool:
        return isinstance(self.part, LinearOperator) or self.part.has_derivatives

    def split(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Return images and parameters."""
        image, theta = u.tensor_split([u.shape[-1] - self.count], -1)
        return image.unflatten(-1, self.part.in_shape), theta

    def forward(self, x: Tensor) -> Tensor:
        image, theta = self.split(x)
        if isinstance(self.part, UncertainOperator):
            return self.part.forward_at(image, theta)
        return self.part.forward(image)

    def products(self, x: Tensor) -> tuple[Product, Product]:
        image, theta = self.split(x)
        found = None
        if isinstance(self.part, UncertainOperator):
            found = self.part.products_at(image, theta)
        if found is None:
            return super().products(x)
        along, back = found

        def transposed(v: Tensor) -> Tensor:
            moved, turned = back(v)
            return torch.cat([moved.flatten(-len(self.part.in_shape)), turned], -1)

        return lambda v: along(*self.split(v)), transposed

    def jvp(self, x: Tensor, v: Tensor) -> Tensor:
        if self.count:
            return super().jvp(x, v)
        return jvp(self.part, self.split(x)[0], self.split(v)[0])

    def vjp(self, x: Tensor, v: Tensor) -> Tensor:
        if self.count:
            return super().vjp(x, v)
        back = vjp(self.part, self.split(x)[0], v)
        return back.flatten(back.ndim - len(self.part.in_shape))


def check_positive(name: str, **values: float | int) -> None:
    """Raise unless every number is above 0."""
    for key, value in values.items():
        require(0 < value < math.inf, name, f"{key} must be finite and above 0, got {value}.")
