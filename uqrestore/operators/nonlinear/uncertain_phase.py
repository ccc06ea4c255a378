"""Phase of an image that is known up to a low-order polynomial."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor

from uqrestore.operators._checks import Index, Shape, require
from uqrestore.operators.base import LinearOperator
from uqrestore.operators.nonlinear.uncertain import OfPart, UncertainOperator, check_positive


@dataclass(frozen=True, eq=False)
class UncertainPhase(OfPart, UncertainOperator):
    r"""A real image behind a phase that is constant, linear or quadratic over the field.

    .. math:: f(x, \theta) = A (x\, e^{i \phi}), \qquad \phi = \phi_0 + s \sum_k \theta_k P_k

    with products :math:`P_k` of Legendre polynomials of row and column, each between -1 and 1.

    Args:
        part: ``A``, of complex images ``(2, row, column)``.
        order: Largest order of a polynomial: 0 has one, 1 has three, 2 has six.
        std: ``s``, in radians.
        phase: :math:`\phi_0` in radians, ``(row, column)``; None for 0.

    Raises:
        ValueError: If ``A`` does not act on complex images, or the phase is of another shape.
    """

    name: ClassVar[str] = "uncertain_phase"
    parameters: ClassVar[tuple[str, ...]] = ("phase",)
    units: ClassVar[tuple[str, ...]] = ("radian",)

    part: LinearOperator  # type: ignore[assignment] - of fewer kinds
    order: Literal[0, 1, 2] = 0
    std: float | int = 1.0
    phase: Tensor | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(self.name, std=self.std)
        require(
            len(self.part.in_shape) == 3 and self.part.in_shape[0] == 2,
            self.name,
            f"wants an operator on complex images (2, row, column), but {self.part.name} acts on "
            f"{self.part.in_shape}.",
        )
        side = self.part.in_shape[1:]
        require(
            self.phase is None or tuple(self.phase.shape) == side,
            self.name,
            f"phase must be of shape {side}.",
        )

    @property
    def in_shape(self) -> Shape:
        return (1, *self.part.in_shape[1:])

    @property
    def dtype(self) -> torch.dtype:
        return self.part.dtype

    @property
    def count(self) -> int:
        return (self.order + 1) * (self.order + 2) // 2

    def forward_at(self, x: Tensor, theta: Tensor) -> Tensor:
        phase = self.values(theta)["phase"].unsqueeze(-3)
        return self.part.forward(torch.cat([x * phase.cos(), x * phase.sin()], -3))

    def values(self, theta: Tensor) -> Mapping[str, Tensor]:
        """Return the phase, ``(*batch, row, column)``."""
        rows, columns = self.in_shape[1:]
        v = torch.linspace(-1, 1, rows).to(theta)[:, None].expand(rows, columns)
        u = torch.linspace(-1, 1, columns).to(theta).expand(rows, columns)
        bowl = [(3 * v**2 - 1) / 2, u * v, (3 * u**2 - 1) / 2]
        basis = torch.stack([torch.ones_like(u), v, u, *bowl][: self.count])
        phase = self.std * torch.einsum("...k,krc->...rc", theta, basis)
        return {"phase": phase if self.phase is None else phase + self.phase}

    def to(self, target: torch.device | torch.dtype | str) -> "UncertainPhase":
        phase = None if self.phase is None else self.phase.to(target)
        return replace(self, part=self.part.to(target), phase=phase)

    def select(self, index: Index) -> "UncertainPhase":
        return replace(self, part=self.part.select(index)) if self.problem_shape else self
