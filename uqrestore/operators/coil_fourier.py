"""Multi-coil compressed sensing (SENSE): coil maps, a Fourier transform, a mask."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from jaxtyping import Bool, Complex, Float
from torch import Tensor

from uqrestore.operators._cg import conjugate_gradient, expand_to
from uqrestore.operators._checks import Shape, full_precision, require
from uqrestore.operators._fourier import (
    as_complex,
    as_pairs,
    centre_sign,
    fft2c,
    fold_sign,
    ifft2c,
    times,
)
from uqrestore.operators.base import SHARED
from uqrestore.operators.inpainting import check_mask
from uqrestore.operators.iterative import IterativeOperator, check_iteration

Image = Float[Tensor, "*batch channel row column"]
KSpace = Float[Tensor, "*batch 2 coil row column"]


@dataclass(frozen=True, eq=False)
class CoilFourier(IterativeOperator):
    r"""Weigh an image by each coil's sensitivity, transform, sample on a mask.

    .. math:: A x = \left( M \odot F (S_c \odot x) \right)_c

    With a phase map :math:`\phi` the unknown image is real, one channel, and enters as
    :math:`x \odot e^{i \phi}`: half the unknowns for the same measurement.

    Where the mask leaves out whole rows or columns, the lines along the other axis are independent
    systems, solved by conjugate gradients line by line with short transforms. The power of the
    coils is the preconditioner where samples outnumber unknowns: there the least-squares image is
    unique, so that a preconditioner cannot change it.

    Args:
        mask: Sampled locations, zero frequency at the centre, shape ``(*problem, row, column)``.
        maps: Coil sensitivities, shape ``(*problem, coil, row, column)``; 0 outside the body.
        phase: Phase of the image in radians, shape ``(*problem, row, column)``; None for a
            complex image of two channels.
        tol: Relative residual of the normal equations at which the pseudo-inverse stops.
        max_iter: Maximum number of iterations of the pseudo-inverse.

    Raises:
        ValueError: If the mask samples nothing, the maps are all zero or NaN, or shapes differ.

    References:
        Pruessmann et al., "SENSE: Sensitivity Encoding for Fast MRI", Magn. Reson. Med.
        42:952-962, 1999; Pruessmann et al., "Advances in Sensitivity Encoding with Arbitrary
        k-Space Trajectories", Magn. Reson. Med. 46:638-651, 2001 (conjugate gradients).
    """

    name: ClassVar[str] = "coil_fourier"
    shapes: ClassVar[str] = "(2, or 1 with phase, row, column) -> (2, coil, row, column)"
    axes: ClassVar[tuple[str, ...]] = ("ri", "coil", "ky", "kx")

    mask: Bool[Tensor, "*problem row column"]
    maps: Complex[Tensor, "*problem coil row column"]
    phase: Float[Tensor, "*problem row column"] | None = None
    tol: float = 1e-5
    max_iter: int = 500
    _sign: Float[Tensor, "row column"] | None = field(init=False, repr=False, metadata=SHARED)
    _sample: Complex[Tensor, "*problem row column"] = field(init=False, repr=False)
    _maps: Complex[Tensor, "*problem coil row column"] = field(init=False, repr=False)
    _conjugate: Complex[Tensor, "*problem coil row column"] = field(init=False, repr=False)
    _power: Float[Tensor, "*problem row column"] = field(init=False, repr=False)
    _unique: Bool[Tensor, "*problem"] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_mask(self.name, self.mask, 2)
        object.__setattr__(self, "mask", self.mask.bool())
        check_iteration(self.name, self.tol, self.max_iter)
        coils = self.maps.shape[-3:-2] or ("coil",)
        want = (*self.mask.shape[:-2], *coils, *self.mask.shape[-2:])
        require(
            self.maps.shape == want and (self.phase is None or self.phase.shape == self.mask.shape),
            self.name,
            f"a mask {tuple(self.mask.shape)} wants maps {tuple(want)} and a phase of the shape "
            f"of the mask, but got maps {tuple(self.maps.shape)}"
            + ("." if self.phase is None else f" and phase {tuple(self.phase.shape)}."),
        )
        require(
            torch.isfinite(self.maps)
            if self.phase is None
            else torch.isfinite(self.maps).all() & torch.isfinite(self.phase).all(),
            self.name,
            "the coil maps or the phase hold NaN or infinity; set maps to 0 outside the body.",
        )
        power = self.maps.abs().square().sum(-3)
        require(
            (power > 0).flatten(-2).any(-1),
            self.name,
            f"the {self.maps.shape[-3]} coil maps of a problem are all zero, so nothing "
            "is measured; was the calibration region empty?",
        )
        sign = centre_sign(*self.mask.shape[-2:])
        sign = None if sign is None else sign.to(self.maps.device, self.maps.real.dtype)
        maps = self.maps if sign is None else self.maps * sign
        if self.phase is not None:
            maps = maps * torch.exp(1j * self.phase).unsqueeze(-3).to(maps.dtype)
        object.__setattr__(self, "_sign", sign)
        object.__setattr__(self, "_sample", fold_sign(self.mask.to(maps.real.dtype), sign))
        object.__setattr__(self, "_maps", maps)
        object.__setattr__(self, "_conjugate", maps.conj().resolve_conj())
        density = self.mask.to(power.dtype).mean((-2, -1))
        object.__setattr__(self, "_power", power * expand_to(density, 2))
        object.__setattr__(self, "_unique", self._is_overdetermined(power))

    def _is_overdetermined(self, power: Tensor) -> Bool[Tensor, "*problem"]:
        """Return whether every system has more independent measurements than unknowns."""
        coils = self.maps.flatten(-2)
        independent = torch.linalg.matrix_rank(coils @ coils.mH, hermitian=True, rtol=1e-3)
        (axis, *others), _ = self._encoded_axes
        if others:
            samples, unknowns = self.mask.sum((-2, -1)), (power > 0).sum((-2, -1))
        else:
            samples, unknowns = self.mask.sum(axis).amax(-1), (power > 0).sum(axis).amax(-1)
        return (independent if self.phase is None else 2 * independent) * samples > unknowns

    @property
    def in_shape(self) -> Shape:
        return (2 if self.phase is None else 1, *self.mask.shape[-2:])

    @property
    def out_shape(self) -> Shape:
        return (2, *self.maps.shape[-3:])

    @property
    def problem_shape(self) -> Shape:
        return tuple(self.mask.shape[:-2])

    @functools.cached_property
    def largest_power(self) -> Float[Tensor, " *problem"]:
        """Largest power of the coils at a pixel, an upper bound of the eigenvalues of ``A^H A``."""
        return torch.view_as_real(self.maps).square().sum((-4, -1)).amax((-2, -1))

    @property
    def row_mask(self) -> Tensor:
        return self.mask[..., None, None, :, :]

    @full_precision
    def forward(self, x: Image) -> KSpace:
        return self._measure(self._see(self._unpack(x)))

    def forward_changed(
        self, x: Image, change: Complex[Tensor, "*batch coil row column"]
    ) -> KSpace:
        """Measure with the coil maps ``maps + change``."""
        maps = self._maps + self._carrier * change
        return self._measure(maps * self._unpack(x).unsqueeze(-3))

    def products_changed(
        self, x: Image, change: Complex[Tensor, "*batch coil row column"]
    ) -> tuple[Callable[[Image, Tensor], KSpace], Callable[[KSpace], tuple[Image, Tensor]]]:
        """Return the Jacobian of :meth:`forward_changed` by image and change, and its transpose."""
        carrier, image = self._carrier, self._unpack(x).unsqueeze(-3)
        maps, seen = self._maps + carrier * change, carrier * image

        def along(moved: Image, changed: Tensor) -> KSpace:
            return self._measure(maps * self._unpack(moved).unsqueeze(-3) + seen * changed)

        def back(y: KSpace) -> tuple[Image, Tensor]:
            kspace = as_complex(y.movedim(-4, -3))
            coils = ifft2c(times(kspace, self._sample.unsqueeze(-3)), self._sign)
            combined = (maps.conj() * coils).sum(-3)
            combined = combined if self.phase is None else combined.real
            return self._pack(combined), seen.conj() * coils

        return along, back

    @functools.cached_property
    def _carrier(self) -> Tensor:
        """What maps are multiplied by besides the image: signs of the transform, and the phase."""
        carrier = torch.ones_like(self.mask, dtype=self.maps.dtype)
        carrier = carrier if self._sign is None else carrier * self._sign
        if self.phase is not None:
            carrier = carrier * torch.exp(1j * self.phase).to(carrier.dtype)
        return carrier.unsqueeze(-3)

    def _measure(self, coils: Tensor) -> KSpace:
        """Transform and sample coil images."""
        sampled = times(fft2c(coils, self._sign), self._sample.unsqueeze(-3))
        return torch.view_as_real(sampled).movedim(-1, -4)

    @full_precision
    def adjoint(self, y: KSpace) -> Image:
        kspace = as_complex(y.movedim(-4, -3))
        coils = ifft2c(times(kspace, self._sample.unsqueeze(-3)), self._sign)
        return self._pack(self._combine(coils))

    @full_precision
    def normal(self, x: Image) -> Image:
        return self._pack(self._normal(self._unpack(x), *self._encoding))

    @functools.cached_property
    def _encoding(self) -> tuple[tuple[int, ...], Tensor]:
        """Encoded axes, and the mask as it multiplies the uncentred transform."""
        mask = self.mask if self._sign is not None else torch.fft.ifftshift(self.mask, dim=(-2, -1))
        return self._encoded_axes[0], mask.unsqueeze(-3).to(self._maps.dtype)

    def _normal(self, z: Tensor, axes: tuple[int, ...], weight: Tensor) -> Tensor:
        """Apply ``A^H A`` to a complex image by transforms along the encoded axes alone.

        One coil after another: what is at work at a time then fits the processor's cache.
        """
        dtype = z.dtype.to_complex()
        z, weight = z.to(dtype), weight.squeeze(-3).to(dtype)
        combined = torch.zeros_like(z)
        for see, back in zip(self._maps.unbind(-3), self._conjugate.unbind(-3), strict=True):
            kspace = torch.fft.fftn(z * see.to(dtype), dim=axes)
            kspace *= weight
            combined.addcmul_(torch.fft.ifftn(kspace, dim=axes), back.to(dtype))
        return combined if self.phase is None else combined.real

    def _solve_normal(
        self, y: Tensor, variance: Tensor, tol: float, max_iter: int
    ) -> tuple[Tensor, int]:
        # In complex numbers, with the sign patterns of the centred transform cancelled.
        dims = self._encoded_axes[1]
        axes, weight = self._encoding
        z = self._unpack(self.adjoint(y))
        shift = expand_to(variance, 2).to(z.dtype) if variance.any() else None

        def normal(z: Tensor) -> Tensor:
            aliased = self._normal(z, axes, weight)
            return aliased if shift is None else aliased + shift * z

        allowed = expand_to(self._unique | (variance > 0), 2) & (self._power > 0)
        power = self._power.to(y.dtype) + expand_to(variance, 2)
        inverse = torch.where(allowed, 1 / power.clamp(min=1e-12), 1).to(z.dtype)

        transposed = axes == (-2,)
        if transposed:
            z, inverse = z.mT.contiguous(), inverse.mT.contiguous()
        z, iterations = conjugate_gradient(
            (lambda p: normal(p.mT).mT.contiguous()) if transposed else normal,
            z,
            dims=dims,
            precondition=lambda r: inverse * r,
            tol=tol,
            max_iter=max_iter,
        )
        return self._pack(z.mT if transposed else z), iterations

    @functools.cached_property
    def _encoded_axes(self) -> tuple[tuple[int, ...], int]:
        """Axes along which the mask varies, and the dimensions of one system."""
        if bool((self.mask == self.mask[..., :1, :]).all()):
            return (-1,), 1
        if bool((self.mask == self.mask[..., :, :1]).all()):
            return (-2,), 1
        return (-2, -1), 2

    def _unpack(self, x: Image) -> Tensor:
        return as_complex(x) if self.phase is None else x.squeeze(-3)

    def _pack(self, z: Tensor) -> Image:
        return as_pairs(z) if self.phase is None else z.unsqueeze(-3)

    def _see(self, z: Tensor) -> Tensor:
        return times(z.unsqueeze(-3), self._maps)

    def _combine(self, coils: Tensor) -> Tensor:
        z = times(coils, self._conjugate).sum(-3)
        return z if self.phase is None else z.real
