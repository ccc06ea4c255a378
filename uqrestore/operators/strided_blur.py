"""Periodic blur and subsampling with an exact pseudo-inverse by folding the aliases."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import torch
from jaxtyping import Complex, Float, Int
from pydantic import Field
from torch import Tensor

from uqrestore.operators._checks import Shape, check_per_problem, full_precision, require
from uqrestore.operators.base import LinearOperator
from uqrestore.operators.kernels import gaussian_kernel
from uqrestore.operators.spectrum import Spectrum

Image = Float[Tensor, "*batch channel row column"]


@dataclass(frozen=True, eq=False)
class StridedBlur(LinearOperator):
    r"""Convolve with a kernel, then keep every ``stride``-th row and column.

    With :math:`K` the transform of the kernel and :math:`M_s` the lattice of kept pixels,

    .. math:: A x = M_s \odot F^{-1} (K \odot F x).

    Subsampling adds up the :math:`s^2` aliases of each low frequency, so :math:`A A^T` is diagonal
    there, with the mean of :math:`|K|^2` over the aliases, :math:`G`. Hence the singular values
    are :math:`\sqrt G` and :math:`A^+ = F^{-1} (\bar K / G) F M_s`, at the price of one more blur.

    Low frequencies with :math:`\sqrt G \le` ``rcond`` of the largest are cut, in :math:`A` as in
    :math:`A^+`, so that all Penrose identities hold and noise is amplified at most ``1 / rcond``
    times more than in the best-kept frequency. The measurement keeps the layout of the image,
    with zeros off the lattice, so different strides share a batch.

    Args:
        kernel: Its centre is at ``(height // 2, width // 2)``; shape ``(*problem, height, width)``,
            no larger than the image.
        stride: One for all, or one per problem; divides rows and columns.
        shape: Image shape ``(channel, row, column)``.
        rcond: Smallest singular value kept, relative to the largest.
        normalize: Multiply the kernel by the stride, which keeps the largest singular value of a
            kernel of sum 1 near 1 for any stride.

    Raises:
        ValueError: If the kernel is NaN, zero or larger than the image, or a stride does not
            divide the image.

    References:
        Zhao et al., "Fast Single Image Super-Resolution Using a New Analytical Solution",
        IEEE Trans. Image Process. 25:3683-3697, 2016 (folding of the aliases).
    """

    name: ClassVar[str] = "strided_blur"
    shapes: ClassVar[str] = "(channel, row, column) -> the same, zeros off the lattice"

    kernel: Float[Tensor, "*problem height width"]
    stride: Int[Tensor, "*problem"] | int
    shape: Shape
    rcond: float = 0.02
    normalize: bool = False
    _lattice: Float[Tensor, "*problem 1 row column"] = field(init=False, repr=False)
    _response: Complex[Tensor, "*problem 1 row half"] = field(init=False, repr=False)
    _inverse: Complex[Tensor, "*problem 1 row half"] = field(init=False, repr=False)
    _s: Float[Tensor, "*problem 1 row column"] = field(init=False, repr=False)
    _common_stride: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check()
        problem = self.kernel.shape[:-2]
        stride = torch.as_tensor(self.stride, device=self.kernel.device)
        check_per_problem(self.name, "stride", stride, problem)
        stride = stride.expand(problem).clone()
        kernels = self.kernel.reshape(-1, *self.kernel.shape[-2:]).double()
        parts = [
            self._tables(kernel, int(s))
            for kernel, s in zip(kernels, stride.reshape(-1), strict=True)
        ]
        lattice, response, inverse, s = (
            torch.stack(table).reshape(*problem, 1, *table[0].shape)
            for table in zip(*parts, strict=True)
        )
        real = self.kernel.dtype
        object.__setattr__(self, "stride", stride)
        object.__setattr__(self, "_lattice", lattice.to(real))
        object.__setattr__(self, "_response", response.to(real.to_complex()))
        object.__setattr__(self, "_inverse", inverse.to(real.to_complex()))
        object.__setattr__(self, "_s", s.to(real))
        strides = stride.reshape(-1).tolist()
        object.__setattr__(self, "_common_stride", strides[0] if len(set(strides)) == 1 else 1)

    def _check(self) -> None:
        require(
            len(self.shape) == 3,
            self.name,
            f"wants an image (channel, row, column), but got shape {self.shape}.",
        )
        kernel, (_, row, column) = self.kernel, self.shape
        require(
            kernel.ndim in (2, 3) and kernel.shape[-2] <= row and kernel.shape[-1] <= column,
            self.name,
            f"wants a kernel (height, width), or one per problem, no larger than the image "
            f"({row}, {column}), but it has shape {tuple(kernel.shape)}.",
        )
        require(
            torch.isfinite(kernel),
            self.name,
            f"the kernel holds {int((~torch.isfinite(kernel)).sum())} values that are NaN or "
            "infinite.",
        )
        require(
            (kernel != 0).flatten(-2).any(-1),
            self.name,
            "a kernel is zero everywhere, so nothing would be measured; use the zero operator.",
        )
        strides = torch.as_tensor(self.stride).reshape(-1).tolist()
        bad = [s for s in strides if s < 1 or row % s or column % s]
        require(
            not bad,
            self.name,
            f"a stride must divide the image ({row}, {column}) but got {bad}; crop or pad the "
            "image, or choose another stride.",
        )
        require(0 < self.rcond < 1, self.name, f"rcond must lie between 0 and 1, got {self.rcond}.")

    def _tables(self, kernel: Tensor, stride: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return lattice, responses of A and A^+, and singular values of one problem."""
        _, row, column = self.shape
        height, width = kernel.shape
        padded = kernel.new_zeros(row, column)
        padded[:height, :width] = kernel * (stride if self.normalize else 1)
        response = torch.fft.fft2(torch.roll(padded, (-(height // 2), -(width // 2)), (0, 1)))

        low = row // stride, column // stride
        power = response.abs().square().reshape(stride, low[0], stride, low[1]).mean((0, 2))
        # |K|^2 is even but for rounding; a cut between k and -k would make the images complex.
        power = (power + power.flip(0, 1).roll((1, 1), (0, 1))) / 2
        keep = power > self.rcond**2 * power.max()
        response = response * keep.tile(stride, stride)
        inverse = torch.where(keep, 1 / power, 0).tile(stride, stride) * response.conj()

        lattice = kernel.new_zeros(row, column)
        lattice[::stride, ::stride] = 1
        s = kernel.new_zeros(row, column)
        s[: low[0], : low[1]] = keep * power.sqrt()
        half = column // 2 + 1
        return lattice, response[:, :half], inverse[:, :half], s

    def group_key(self) -> tuple[Any, ...]:
        return (self.name, self.shape, self.rcond, self.normalize)

    @classmethod
    def concatenate(cls, parts: Sequence[Any]) -> LinearOperator:
        size = tuple(max(part.kernel.shape[axis] for part in parts) for axis in (-2, -1))
        return super().concatenate(
            [dataclasses.replace(part, kernel=_grow(part.kernel, size)) for part in parts]
        )

    @classmethod
    def gaussian(
        cls,
        shape: Shape,
        *,
        std: Annotated[float, Field(gt=0)],
        stride: Annotated[int, Field(ge=1)] = 1,
        size: Annotated[int, Field(ge=1)] = 9,
    ) -> "StridedBlur":
        """Blur with a Gaussian kernel, then keep every ``stride``-th row and column.

        Args:
            shape: Image shape.
            std: Standard deviation of the kernel in pixels.
            stride: Step between the rows, and columns, that are kept.
            size: Side of the kernel in pixels.
        """
        return cls(gaussian_kernel((size, size), std).float(), stride, shape)

    @property
    def in_shape(self) -> Shape:
        return self.shape

    @property
    def out_shape(self) -> Shape:
        return self.shape

    @property
    def problem_shape(self) -> Shape:
        return tuple(self.kernel.shape[:-2])

    @property
    def row_mask(self) -> Tensor:
        return self._lattice.bool()

    @property
    def singular_value(self) -> float | None:
        s = self._s[self._s > 0]
        return float(s.mean()) if s.max() - s.min() <= 1e-6 * s.max() else None

    @full_precision
    def forward(self, x: Image) -> Image:
        return self._lattice.to(x.dtype) * self._filter(self._response, x)

    @full_precision
    def adjoint(self, y: Image) -> Image:
        return self._back(self._response.conj(), y)

    @full_precision
    def pinv(self, y: Image) -> Image:
        return self._back(self._inverse, y)

    def _back(self, response: Tensor, y: Image) -> Image:
        """Filter a measurement of the lattice up to an image."""
        stride = self._common_stride
        if stride == 1:
            return self._filter(response, self._lattice.to(y.dtype) * y)
        # The spectrum of a lattice repeats itself; a small transform gives one period.
        period = torch.fft.fft2(y[..., ::stride, ::stride])
        spectrum = period.tile(stride, stride // 2 + 1)[..., : response.shape[-1]]
        return torch.fft.irfft2(spectrum.mul_(response.to(spectrum.dtype)), s=self.shape[-2:])

    def _filter(self, response: Tensor, x: Image) -> Image:
        spectrum = torch.fft.rfft2(x)
        return torch.fft.irfft2(spectrum.mul_(response.to(spectrum.dtype)), s=self.shape[-2:])

    def spectral(self) -> Spectrum:
        # A A^T is circular on the lattice with an even spectrum, so the Hartley transform, real
        # and its own inverse, diagonalises it. On the full grid it is a tiling of the transform
        # of the lattice; the first tile holds the coefficients.
        count = (self._s.shape[-2] * self._s.shape[-1]) / self.stride_squared
        kept = self._s > 0
        scale = kept * count.rsqrt().to(self._s.dtype)
        inverse = torch.where(kept, 1 / torch.where(kept, self._s, 1), 0)

        def ut(y: Tensor) -> Tensor:
            return (scale.to(y.dtype) * _hartley(self._lattice.to(y.dtype) * y)).flatten(-3)

        def u(c: Tensor) -> Tensor:
            c = c.unflatten(-1, self.shape)
            return self._lattice.to(c.dtype) * _hartley(scale.to(c.dtype) * c)

        def vt(x: Tensor) -> Tensor:
            return (inverse.to(x.dtype) * ut(self.forward(x)).unflatten(-1, self.shape)).flatten(-3)

        def v(c: Tensor) -> Tensor:
            scaled = inverse.to(c.dtype) * c.unflatten(-1, self.shape)
            return self.adjoint(u(scaled.flatten(-3)))

        s = self._s.expand(*self.problem_shape, *self.shape).flatten(-3)
        return Spectrum(s, vt, v, ut, u)

    @property
    def stride_squared(self) -> Float[Tensor, "*problem 1 1 1"]:
        """Pixels of the image for each one kept."""
        return torch.as_tensor(self.stride).double().square()[..., None, None, None]


def _grow(kernel: Tensor, size: tuple[int, ...]) -> Tensor:
    """Pad kernels with zeros, keeping their centres at half their size."""
    pad: list[int] = []
    for axis in (-1, -2):
        before = size[axis] // 2 - kernel.shape[axis] // 2
        pad += [before, size[axis] - kernel.shape[axis] - before]
    return torch.nn.functional.pad(kernel, pad) if any(pad) else kernel


def _hartley(x: Tensor) -> Tensor:
    z = torch.fft.fft2(x)
    return z.real - z.imag
