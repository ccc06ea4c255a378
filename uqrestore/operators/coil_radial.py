"""Multi-coil non-Cartesian k-space: coil maps, then the non-uniform FFT."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from uqrestore.operators._checks import Shape, full_precision, require
from uqrestore.operators._fourier import as_complex, as_pairs
from uqrestore.operators.base import SHARED, LinearOperator
from uqrestore.operators.iterative import (
    IterativeOperator,
    check_iteration,
    linear_map,
    scaled_to_fit,
)
from uqrestore.operators.radial_fourier import density_weights, library, to_grid, to_points

Image = Float[Tensor, "*batch channel row column"]
Samples = Float[Tensor, "*batch 2 coil point"]


@dataclass(frozen=True, eq=False)
class CoilRadial(IterativeOperator):
    r"""Weigh an image by each coil's sensitivity, then sample its k-space along a trajectory.

    .. math:: A x = \left( F_k (S_c \odot x) \right)_c

    :class:`RadialFourier` for several coils. With a phase map :math:`\phi` the unknown image is
    real and enters as :math:`x \odot e^{i \phi}`. Conjugate gradients start from the
    density-compensated adjoint. Needs the extra ``mri``.

    Args:
        trajectory: Points (row, column) in radians per pixel, shape ``(point, 2)``; the same for
            every problem.
        maps: Coil sensitivities, shape ``(*problem, coil, row, column)``.
        phase: Phase of the image in radians, shape ``(*problem, row, column)``; None for a
            complex image of two channels.
        eps: Relative accuracy of the transform.
        tol: Relative residual of the normal equations at which the pseudo-inverse stops.
        max_iter: Maximum number of iterations of the pseudo-inverse.

    Raises:
        ImportError: If finufft (cufinufft on CUDA) is not installed.
        ValueError: If a point lies outside ``[-pi, pi]``, or shapes do not fit.

    References:
        Pruessmann et al., "Advances in Sensitivity Encoding with Arbitrary k-Space
        Trajectories", Magn. Reson. Med. 46:638-651, 2001.
    """

    name: ClassVar[str] = "coil_radial"
    shapes: ClassVar[str] = "(2, or 1 with phase, row, column) -> (2, coil, point)"
    axes: ClassVar[tuple[str, ...]] = ("ri", "coil", "point")

    trajectory: Float[Tensor, "point 2"] = field(metadata=SHARED)
    maps: Complex[Tensor, "*problem coil row column"]
    phase: Float[Tensor, "*problem row column"] | None = None
    eps: float = 1e-6
    tol: float = 1e-5
    max_iter: int = 300
    _maps: Complex[Tensor, "*problem coil row column"] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_iteration(self.name, self.tol, self.max_iter)
        shape = (*self.maps.shape[:-3], *self.maps.shape[-2:])
        require(
            self.trajectory.ndim == 2 and self.trajectory.shape[-1] == 2,
            self.name,
            f"wants a trajectory of shape (point, 2), but got {tuple(self.trajectory.shape)}.",
        )
        require(
            self.maps.ndim in (3, 4) and (self.phase is None or self.phase.shape == shape),
            self.name,
            f"wants maps ([problem,] coil, row, column), got {tuple(self.maps.shape)}"
            + ("." if self.phase is None else f" and a phase {tuple(self.phase.shape)}."),
        )
        reach = self.trajectory.abs().max().item()
        require(
            reach <= torch.pi * (1 + 1e-6),
            self.name,
            f"the trajectory must lie in [-pi, pi] radians per pixel but reaches {reach:.4g}.",
        )
        library(self.trajectory)
        maps = self.maps
        if self.phase is not None:
            maps = maps * torch.exp(1j * self.phase).unsqueeze(-3).to(maps.dtype)
        object.__setattr__(self, "_maps", maps)

    @property
    def in_shape(self) -> Shape:
        return (2 if self.phase is None else 1, *self.maps.shape[-2:])

    @property
    def out_shape(self) -> Shape:
        return (2, self.maps.shape[-3], len(self.trajectory))

    @property
    def problem_shape(self) -> Shape:
        return tuple(self.maps.shape[:-3])

    @functools.cached_property
    def density(self) -> Float[Tensor, " point"]:
        """Density compensation weights; computed at first use, for they are slow."""
        rows, columns = self.maps.shape[-2:]
        return density_weights(self.trajectory, (rows, columns))

    @full_precision
    def forward(self, x: Image) -> Samples:
        return linear_map(self._measure, self._back, x)

    @full_precision
    def adjoint(self, y: Samples) -> Image:
        return linear_map(self._back, self._measure, y)

    @classmethod
    def concatenate(cls, parts: Sequence[Any]) -> LinearOperator:
        """Join batches of one trajectory along the problem axis.

        Raises:
            ValueError: If the trajectories differ.
        """
        first = parts[0].trajectory
        require(
            all(part.trajectory.shape == first.shape for part in parts)
            and all(bool((part.trajectory == first).all()) for part in parts),
            cls.name,
            "a batch has one trajectory for all its problems, but they differ.",
        )
        return super().concatenate(parts)

    def gridding(self, y: Samples) -> Image:
        """Return the density-compensated adjoint (gridding reconstruction)."""
        return self.adjoint(self.density.to(y.dtype) * y)

    def _start(self, y: Samples, variance: Tensor) -> Image:  # noqa: ARG002
        return scaled_to_fit(self, self.gridding(y), y)

    def _measure(self, x: Image) -> Samples:
        z = as_complex(x) if self.phase is None else x.squeeze(-3).to(x.dtype.to_complex())
        coils = z.unsqueeze(-3) * self._maps.to(z.dtype)
        return torch.view_as_real(to_points(coils, self.trajectory, self.eps)).movedim(-1, -3)

    def _back(self, y: Samples) -> Image:
        rows, columns = self.maps.shape[-2:]
        samples = torch.complex(*y.unbind(-3))
        coils = to_grid(samples, self.trajectory, (rows, columns), self.eps)
        z = (self._maps.to(coils.dtype).conj() * coils).sum(-3)
        return as_pairs(z) if self.phase is None else z.real.unsqueeze(-3)
