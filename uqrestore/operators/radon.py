"""Computed tomography: parallel-beam projections with an exact transpose."""

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from uqrestore.operators._checks import Shape, full_precision, require
from uqrestore.operators._rays import (
    MOST_ROWS,
    MOST_SAMPLES,
    cast,
    sample_places,
    solve_gram,
)
from uqrestore.operators.iterative import (
    IterativeOperator,
    check_iteration,
    linear_map,
    scaled_to_fit,
)

Image = Float[Tensor, "*batch channel row column"]
Sinogram = Float[Tensor, "*batch channel angle detector"]
# Ray samples handled at once; bounds the memory of a projection to some ten megabytes.
CHUNK = 2_000_000


@dataclass(frozen=True, eq=False)
class Radon(IterativeOperator):
    r"""Integrate an image along parallel rays under several angles.

    .. math:: (A x)_{\theta s} = \sum_t x(s \cos\theta + t \sin\theta,\ t \cos\theta - s \sin\theta)

    with (column, row) counted from the middle of the image, steps of one pixel, bilinear
    interpolation, and zero outside. The unit of a projection is intensity times pixel.
    The rays are a sparse matrix, built once for a set of angles and cached (too many samples, and
    batches of different sets, are interpolated in every call). Up to 8192 measurements,
    conjugate gradients start from the noise-free solution by a Cholesky factor of :math:`A A^T`,
    which is usually exact; beyond, and with noise, from the filtered back-projection.

    Args:
        angles: Degrees, shape ``(*problem, angle)``; at 0 the rays run down the columns.
        shape: Image shape ``(channel, row, column)``.
        detectors: Length of a projection in pixels; by default the diagonal of the image.
        tol: Relative residual of the normal equations at which the pseudo-inverse stops.
        max_iter: Maximum number of iterations of the pseudo-inverse.

    Raises:
        ValueError: If there are no angles, or they are NaN, or there are no detectors.

    References:
        Kak & Slaney, "Principles of Computerized Tomographic Imaging", IEEE Press 1988, chapter 3.
    """

    name: ClassVar[str] = "radon"
    shapes: ClassVar[str] = "(channel, row, column) -> (channel, angle, detector)"

    angles: Float[Tensor, "*problem angle"]
    shape: Shape
    detectors: int | None = None
    tol: float = 1e-5
    max_iter: int = 300

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            self.angles.ndim in (1, 2)
            and self.angles.shape[-1] > 0
            and bool(torch.isfinite(self.angles).all()),
            self.name,
            "wants finite angles in degrees, shape (angle,), or one row per problem, but got "
            f"shape {tuple(self.angles.shape)}.",
        )
        spread = (self.angles.amax(-1) - self.angles.amin(-1)).max()
        require(
            not 2.5 < float(spread) < 6.3 or self.angles.shape[-1] < 3,
            self.name,
            f"{self.angles.shape[-1]} angles over {float(spread):.3g} degrees look like radians "
            "over a half or a full turn; give degrees, such as angles.rad2deg().",
        )
        check_iteration(self.name, self.tol, self.max_iter)
        detectors = self.detectors or math.ceil(math.hypot(*self.shape[-2:]))
        require(
            len(self.shape) == 3 and detectors > 0,
            self.name,
            f"wants an image (channel, row, column) and at least one detector, but got "
            f"{self.shape} and {self.detectors}.",
        )
        object.__setattr__(self, "detectors", detectors)

    @classmethod
    def sparse_view(
        cls,
        shape: Shape,
        *,
        views: Annotated[int, Field(ge=1)],
        detectors: Annotated[int, Field(ge=1)] | None = None,
        tol: Annotated[float, Field(gt=0, lt=1)] = 1e-4,
    ) -> "Radon":
        """Project along few directions, spread evenly over half a turn.

        Args:
            shape: Image shape.
            views: Number of directions.
            detectors: Length of a projection in pixels; by default the diagonal of the image.
            tol: Relative residual at which the iterative inverse stops.
        """
        return cls(torch.arange(views) * (180.0 / views), shape, detectors, tol)

    @property
    def in_shape(self) -> Shape:
        return self.shape

    @property
    def out_shape(self) -> Shape:
        return (self.shape[0], self.angles.shape[-1], int(self.detectors or 0))

    @property
    def problem_shape(self) -> Shape:
        return tuple(self.angles.shape[:-1])

    @full_precision
    def forward(self, x: Image) -> Sinogram:
        return linear_map(self._project, self._back, x)

    @full_precision
    def adjoint(self, y: Sinogram) -> Image:
        return linear_map(self._back, self._project, y)

    # In float64: small singular values amplify the rounding of a float32 sinogram to 1e-3 of the
    # image, and that rounding depends on the batch size and the number of threads.
    def pinv(self, y: Sinogram) -> Image:
        return super().pinv(y.double()).to(y.dtype)

    def row_part(self, x: Image) -> Image:
        return super().row_part(x.double()).to(x.dtype)

    def project(self, x: Tensor, y: Tensor) -> Tensor:
        return super().project(x.double(), y.double()).to(x.dtype)

    def _start(self, y: Sinogram, variance: Tensor) -> Image:
        large = self.out_shape[1] * self.out_shape[2] > MOST_ROWS
        if self.problem_shape or large or bool(variance.any()):
            return scaled_to_fit(self, self.fbp(y), y)
        # Float64 up to the end: along redundant rays z is large, and A^T cancels it.
        z = solve_gram(y.double().flatten(-2).flatten(0, -2), *self._rays_of(self.angles))
        return self.adjoint(z.reshape(y.shape)).to(y.dtype)

    @full_precision
    def fbp(self, y: Sinogram) -> Image:
        """Reconstruct by filtered back-projection with the ramp filter.

        Exact up to discretisation for angles spread evenly over 180 degrees.
        """
        count, angles = y.shape[-1], self.angles.shape[-1]
        offset = torch.arange(-count, count, device=y.device, dtype=y.dtype)
        ramp = -(offset % 2) / (math.pi * torch.where(offset == 0, 1, offset)) ** 2
        ramp[count] = 0.25
        response = torch.fft.rfft(ramp.roll(-count)).real
        filtered = torch.fft.irfft(torch.fft.rfft(y, n=2 * count) * response, n=2 * count)
        return self.adjoint(filtered[..., :count]) * (math.pi / angles)

    def _project(self, x: Image) -> Sinogram:
        if not self.problem_shape:
            return self._project_one(x, self.angles)
        rows = zip(x.unbind(-4), self.angles, strict=True)
        return torch.stack([self._project_one(part, angles) for part, angles in rows], -4)

    def _back(self, y: Sinogram) -> Image:
        if not self.problem_shape:
            return self._back_one(y, self.angles)
        rows = zip(y.unbind(-4), self.angles, strict=True)
        return torch.stack([self._back_one(part, angles) for part, angles in rows], -4)

    def _rays_of(self, angles: Tensor) -> tuple[tuple[float, ...], tuple[int, int], int]:
        return tuple(angles.tolist()), (self.shape[-2], self.shape[-1]), self.out_shape[-1]

    def _kept(self, angles: Tensor, like: Tensor, *, transposed: bool) -> Tensor | None:
        """Return the matrix of the rays, or None where it is not worth building.

        That is for a batch with different angles for every problem, which may be used only once,
        where the matrix would be too large, and on the meta device.
        """
        samples = len(angles) * self.out_shape[-1] ** 2
        if self.problem_shape or angles.is_meta or samples > MOST_SAMPLES:
            return None
        return cast(*self._rays_of(angles), transposed, like.dtype, like.device)

    def _project_one(self, x: Image, angles: Tensor) -> Sinogram:
        matrix = self._kept(angles, x, transposed=False)
        if matrix is not None:
            y = (matrix @ x.flatten(-2).reshape(-1, matrix.shape[1]).mT).mT
            return y.reshape(*x.shape[:-2], len(angles), -1)
        flat = x.reshape(1, -1, *self.shape[-2:])
        parts = []
        for some in angles.split(self._angles_at_once(flat.shape[1])):
            grid = self._rays(some.to(x.dtype))
            rays = torch.nn.functional.grid_sample(flat, grid, align_corners=False)
            parts.append(rays.sum(-1).unflatten(-1, (len(some), -1)))
        return torch.cat(parts, -2).reshape(*x.shape[:-2], len(angles), -1)

    def _back_one(self, y: Sinogram, angles: Tensor) -> Image:
        matrix = self._kept(angles, y, transposed=True)
        if matrix is not None:
            x = (matrix @ y.flatten(-2).reshape(-1, matrix.shape[1]).mT).mT
            return x.reshape(*y.shape[:-2], *self.shape[-2:])
        flat = y.reshape(1, -1, *y.shape[-2:])
        image = flat.new_zeros(1, flat.shape[1], *self.shape[-2:])
        size = self._angles_at_once(flat.shape[1])
        for some, part in zip(angles.split(size), flat.split(size, -2), strict=True):
            grid = self._rays(some.to(y.dtype))
            rays = part.flatten(-2)[..., None].expand(*part.shape[:2], *grid.shape[1:3])
            # The transpose of grid_sample, as autograd runs it: bilinear, zero outside.
            spread, _ = torch.ops.aten.grid_sampler_2d_backward(
                rays, image, grid, 0, 0, False, (True, False)
            )
            image = image + spread
        return image.reshape(*y.shape[:-2], *self.shape[-2:])

    def _angles_at_once(self, images: int) -> int:
        return max(1, CHUNK // (images * self.out_shape[-1] ** 2))

    def _rays(self, angles: Tensor) -> Float[Tensor, "1 ray sample 2"]:
        """Return sample positions of each ray in the units of grid_sample: -1 to 1 edge to edge."""
        column, row = sample_places(angles, self.out_shape[-1])
        rows, columns = self.shape[-2:]
        grid = torch.stack([column * 2 / columns, row * 2 / rows], -1)
        return grid.flatten(0, 1)[None]
