"""Non-Cartesian k-space along any trajectory, by the non-uniform FFT."""

import functools
import importlib
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from uqrestore.operators._checks import Shape, full_precision, require
from uqrestore.operators.iterative import (
    IterativeOperator,
    check_iteration,
    linear_map,
    scaled_to_fit,
)

Image = Float[Tensor, "*batch channel row column"]
Samples = Float[Tensor, "*batch 2 point"]


@dataclass(frozen=True, eq=False)
class RadialFourier(IterativeOperator):
    r"""Sample the k-space of an image at arbitrary points.

    .. math:: (A x)_p = \frac{1}{\sqrt{HW}} \sum_{n} x_n e^{-i k_p \cdot n}

    with :math:`n` counted from the middle of the image. The transforms of the two directions are
    transposes of one another to rounding, whatever ``eps``. Conjugate gradients start from the
    density-compensated adjoint. Needs the extra ``mri``.

    Args:
        trajectory: Points (row, column) in radians per pixel, shape ``(*problem, point, 2)``.
        shape: Rows and columns of the image.
        channels: 2 for complex images (real, imaginary), 1 for real images.
        eps: Relative accuracy of the transform.
        tol: Relative residual of the normal equations at which the pseudo-inverse stops.
        max_iter: Maximum number of iterations of the pseudo-inverse.

    Raises:
        ImportError: If finufft (cufinufft on CUDA) is not installed.
        ValueError: If a point lies outside ``[-pi, pi]`` or is NaN.

    References:
        Barnett, Magland & af Klinteberg, "A Parallel Nonuniform Fast Fourier Transform Library
        Based on an Exponential of Semicircle Kernel", SIAM J. Sci. Comput. 41:C479-C504, 2019.
    """

    name: ClassVar[str] = "radial_fourier"
    shapes: ClassVar[str] = "(1 or 2, row, column) -> (2, point)"

    trajectory: Float[Tensor, "*problem point 2"]
    shape: tuple[int, int]
    channels: Literal[1, 2] = 2
    eps: float = 1e-6
    tol: float = 1e-5
    max_iter: int = 300

    def __post_init__(self) -> None:
        super().__post_init__()
        trajectory = self.trajectory
        require(
            trajectory.ndim in (2, 3) and trajectory.shape[-1] == 2 and trajectory.shape[-2] > 0,
            self.name,
            "wants a trajectory of points (row, column), shape (point, 2), or one per problem, but "
            f"got {tuple(trajectory.shape)}.",
        )
        reach = trajectory.abs().max().item()
        require(
            reach <= torch.pi * (1 + 1e-6),
            self.name,
            f"the trajectory must lie in [-pi, pi] radians per pixel but reaches {reach:.4g}; "
            "divide cycles per field of view by the number of pixels and multiply by 2 pi.",
        )
        check_iteration(self.name, self.tol, self.max_iter)
        require(
            self.channels in (1, 2),
            self.name,
            f"channels must be 1 (real images) or 2 (real, imaginary), got {self.channels}.",
        )
        library(trajectory)

    @property
    def in_shape(self) -> Shape:
        return (self.channels, *self.shape)

    @property
    def out_shape(self) -> Shape:
        return (2, self.trajectory.shape[-2])

    @property
    def problem_shape(self) -> Shape:
        return tuple(self.trajectory.shape[:-2])

    @functools.cached_property
    def density(self) -> Float[Tensor, "*problem point"]:
        """Density compensation weights; computed at first use, for they are slow."""
        return density_weights(self.trajectory, self.shape)

    @full_precision
    def forward(self, x: Image) -> Samples:
        return linear_map(self._measure, self._back, x)

    @full_precision
    def adjoint(self, y: Samples) -> Image:
        return linear_map(self._back, self._measure, y)

    def _start(self, y: Samples, variance: Tensor) -> Image:  # noqa: ARG002
        return scaled_to_fit(self, self.gridding(y), y)

    def gridding(self, y: Samples) -> Image:
        """Return the density-compensated adjoint (gridding reconstruction)."""
        return self.adjoint(self.density.to(y.dtype).unsqueeze(-2) * y)

    def _measure(self, x: Image) -> Samples:
        real, imaginary = x.unbind(-3) if self.channels == 2 else (x[..., 0, :, :], None)
        z = torch.complex(real, torch.zeros_like(real) if imaginary is None else imaginary)
        if not self.problem_shape:
            y = to_points(z, self.trajectory, self.eps)
        else:
            rows = zip(z.unbind(-3), self.trajectory, strict=True)
            y = torch.stack([to_points(part, points, self.eps) for part, points in rows], -2)
        return torch.view_as_real(y).movedim(-1, -2)

    def _back(self, y: Samples) -> Image:
        samples = torch.complex(*y.unbind(-2))
        if not self.problem_shape:
            z = to_grid(samples, self.trajectory, self.shape, self.eps)
        else:
            rows = zip(samples.unbind(-2), self.trajectory, strict=True)
            images = [to_grid(part, points, self.shape, self.eps) for part, points in rows]
            z = torch.stack(images, -3)
        return torch.view_as_real(z).movedim(-1, -3) if self.channels == 2 else z.real.unsqueeze(-3)


def radial_trajectory(
    spokes: int, samples: int, *, generator: Generator | None = None
) -> Float[Tensor, "point 2"]:
    """Return radial spokes through the centre of k-space, rotated by the golden angle.

    Args:
        spokes: Number of spokes.
        samples: Points on each spoke, from ``-pi`` to just below ``pi``.
        generator: Draws the angle of the first spoke; without one it lies along the columns.

    References:
        Winkelmann et al., "An Optimal Radial Profile Order Based on the Golden Ratio for
        Time-Resolved MRI", IEEE Trans. Med. Imaging 26:68-76, 2007.
    """
    first = torch.pi * float(torch.rand((), generator=generator)) if generator else 0.0
    angle = first + torch.arange(spokes) * torch.pi * (5**0.5 - 1) / 2
    radius = torch.linspace(-torch.pi, torch.pi, samples + 1)[:-1]
    direction = torch.stack([angle.sin(), angle.cos()], -1)
    points = (direction[:, None, :] * radius[:, None]).flatten(0, 1)
    return points.clamp(-torch.pi, torch.pi)


def density_weights(
    trajectory: Float[Tensor, "*problem point 2"], shape: tuple[int, int], iterations: int = 12
) -> Float[Tensor, "*problem point"]:
    """Return density compensation weights of a trajectory.

    Weights are divided, iteration by iteration, by the density of the weighted points at each of
    them. The density kernel is the transform of a triangle twice as wide as the image, which is
    positive.

    References:
        Pipe & Menon, "Sampling Density Compensation in MRI: Rationale and an Iterative Numerical
        Solution", Magn. Reson. Med. 41:179-186, 1999.
    """
    wide = (2 * shape[0], 2 * shape[1])
    ramps = [1 - (torch.arange(n) - n // 2).abs() / (n / 2) for n in wide]
    triangle = (ramps[0][:, None] * ramps[1]).to(trajectory)
    rows = []
    for points in trajectory.reshape(-1, *trajectory.shape[-2:]):
        weight = torch.ones(len(points), dtype=points.dtype.to_complex(), device=points.device)
        for _ in range(iterations):
            blurred = to_grid(weight, points, wide, 1e-4) * triangle
            density = to_points(blurred, points, 1e-4).abs()
            weight = weight / density.clamp(min=1e-6 * float(density.max()))
        rows.append(weight.real)
    return torch.stack(rows).reshape(trajectory.shape[:-1])


def to_points(image: Tensor, points: Tensor, eps: float) -> Tensor:
    """Transform complex images ``(*batch, row, column)`` to k-space at ``(point, 2)``."""
    flat = image.reshape(-1, *image.shape[-2:])
    y = _transform("nufft2d2", points, flat, eps=eps, isign=-1)
    return y.reshape(*image.shape[:-2], len(points)) / (flat[0].numel() ** 0.5)


def to_grid(samples: Tensor, points: Tensor, shape: tuple[int, int], eps: float) -> Tensor:
    """Apply the transpose of :func:`to_points` to complex samples ``(*batch, point)``."""
    flat = samples.reshape(-1, samples.shape[-1])
    z = _transform("nufft2d1", points, flat, n_modes=shape, eps=eps, isign=1)
    return z.reshape(*samples.shape[:-1], *shape) / ((shape[0] * shape[1]) ** 0.5)


def _transform(name: str, points: Tensor, values: Tensor, **options: Any) -> Tensor:  # noqa: ANN401
    # modeord=0 puts zero frequency, here the middle of the image, in the middle; the torch
    # wrappers default to 1, which would silently shift the image.
    real = values.real.dtype
    row, column = points.to(real).unbind(-1)
    run = getattr(library(points), name)
    if values.is_cuda:
        return run(row.contiguous(), column.contiguous(), values.contiguous(), modeord=0, **options)
    arrays = [value.detach().cpu().contiguous().numpy() for value in (row, column, values)]
    found = run(*arrays, modeord=0, nthreads=torch.get_num_threads(), **options)
    return torch.from_numpy(found).to(values.device)


def library(like: Tensor) -> Any:  # noqa: ANN401 - a module
    """Return finufft, or cufinufft for tensors on CUDA.

    Raises:
        ImportError: If it is not installed.
    """
    name = "cufinufft" if like.is_cuda else "finufft"
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(
            f"radial_fourier needs {name}: pip install 'uqrestore[mri]'"
            + (" cufinufft." if like.is_cuda else ".")
        ) from error
