"""Single-coil compressed sensing: an orthonormal 2-D Fourier transform, then a mask."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from jaxtyping import Bool, Complex, Float, Inexact
from torch import Tensor

from uqrestore.operators._checks import Shape, full_precision, require
from uqrestore.operators._fourier import (
    as_complex,
    as_pairs,
    centre_sign,
    fft2c,
    fold_sign,
    ifft2c,
    reflect,
    times,
)
from uqrestore.operators.base import SHARED, LinearOperator
from uqrestore.operators.inpainting import check_mask
from uqrestore.operators.spectrum import Spectrum

Image = Float[Tensor, "*batch channel row column"]
KSpace = Float[Tensor, "*batch 2 row column"]


@dataclass(frozen=True, eq=False)
class MaskedFourier(LinearOperator):
    r"""Sample the k-space of an image on a mask.

    .. math:: A x = M \odot F x

    with :math:`F` the orthonormal DFT and :math:`M` the sampling mask.

    Complex images (two channels): the kept rows of :math:`F` are orthonormal, so
    :math:`A^+ = A^T`. Real images (one channel): frequencies :math:`k` and :math:`-k` are
    redundant, :math:`X(-k) = \overline{X(k)}`, so :math:`A^T A` multiplies each frequency by
    :math:`S(k) = (M(k) + M(-k)) / 2` and

    .. math:: A^+ y = \mathrm{Re}\, F^H (M / S) \odot y,

    which fills in the conjugate where one of the two was sampled and averages where both were.

    Args:
        mask: Sampled locations, zero frequency at the centre. Leading dimensions make the
            operator a batch of operators.
        channels: 2 for complex images (real, imaginary), 1 for real images.

    Raises:
        ValueError: If the mask samples nothing, or there are neither one nor two channels.

    References:
        Lustig, Donoho & Pauly, "Sparse MRI", Magn. Reson. Med. 58:1182-1195, 2007.
        doi:10.1002/mrm.21391
    """

    name: ClassVar[str] = "masked_fourier"
    shapes: ClassVar[str] = "(1 or 2, row, column) -> (2, row, column), zeros off the mask"
    axes: ClassVar[tuple[str, ...]] = ("ri", "ky", "kx")

    mask: Bool[Tensor, "*problem row column"]
    channels: Literal[1, 2] = 2
    _sign: Inexact[Tensor, "row column"] | None = field(init=False, repr=False, metadata=SHARED)
    _sample: Complex[Tensor, "*problem row column"] = field(init=False, repr=False)
    _fill: Complex[Tensor, "*problem row column"] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_mask(self.name, self.mask, 2)
        object.__setattr__(self, "mask", self.mask.bool())
        require(
            self.channels in (1, 2),
            self.name,
            f"channels must be 1 (real images) or 2 (real, imaginary), got {self.channels}.",
        )
        sign = centre_sign(*self.mask.shape[-2:])
        if sign is not None:
            kind = torch.complex64 if self.channels == 2 else torch.float32
            sign = sign.to(self.mask.device, kind)
        sample = fold_sign(self.mask.float(), sign)
        seen_twice = self.mask & reflect(self.mask)
        fill = sample if self.channels == 2 else torch.where(seen_twice, sample, 2 * sample)
        object.__setattr__(self, "_sign", sign)
        object.__setattr__(self, "_sample", sample)
        object.__setattr__(self, "_fill", fill)

    @property
    def in_shape(self) -> Shape:
        return (self.channels, *self.mask.shape[-2:])

    @property
    def out_shape(self) -> Shape:
        return (2, *self.mask.shape[-2:])

    @property
    def problem_shape(self) -> Shape:
        return tuple(self.mask.shape[:-2])

    @property
    def row_mask(self) -> Tensor:
        return self.mask.unsqueeze(-3)

    @property
    def singular_value(self) -> float | None:
        equal = self.channels == 2 or bool((self.mask == reflect(self.mask)).all())
        return 1.0 if equal else None

    @full_precision
    def forward(self, x: Image) -> KSpace:
        return as_pairs(times(self._to_kspace(x), self._sample))

    @full_precision
    def adjoint(self, y: KSpace) -> Image:
        return self._to_image(times(as_complex(y), self._sample))

    @full_precision
    def pinv(self, y: KSpace) -> Image:
        return self._to_image(times(as_complex(y), self._fill))

    def spectral(self) -> Spectrum:
        if self.channels == 2:
            sampled = self.mask.unsqueeze(-3).expand(*self.problem_shape, *self.out_shape)
            scale = s = sampled.to(self.dtype)
        else:
            scale, s = self._real_modes()
        kept = (s > 0).flatten(-3)
        inverse = torch.where(kept, 1 / torch.where(kept, s.flatten(-3), 1), 0)
        weight = fold_sign(scale, self._sign).real

        def vt(x: Tensor) -> Tensor:
            return times(as_pairs(self._to_kspace(x)), weight).flatten(-3)

        def v(c: Tensor) -> Tensor:
            return self._to_image(as_complex(times(c.unflatten(-1, self.out_shape), weight)))

        def ut(y: Tensor) -> Tensor:
            return inverse.to(y.dtype) * vt(self.adjoint(y))

        def u(c: Tensor) -> Tensor:
            return self.forward(v(inverse.to(c.dtype) * c))

        return Spectrum(s.flatten(-3), vt, v, ut, u)

    def _real_modes(self) -> tuple[Tensor, Tensor]:
        r"""Return scale and singular value of each cosine and sine, ``(*problem, 2, row, column)``.

        A pair of opposite frequencies is stored at the first of the two, where
        :math:`\sqrt 2 (\mathrm{Re}, \mathrm{Im}) X(k)` are coordinates in an orthonormal basis;
        a frequency that is its own opposite has a real part alone, and no factor.
        """
        row, column = self.mask.shape[-2:]
        order = torch.arange(row * column, device=self.mask.device).reshape(row, column)
        opposite = reflect(order)
        first = torch.stack([order <= opposite, order < opposite])
        density = (self.mask.double() + reflect(self.mask).double()) / 2
        s = first * density.sqrt().unsqueeze(-3)
        scale = torch.where(order == opposite, density.new_tensor(1), density.new_tensor(2).sqrt())
        return ((s > 0) * scale).to(self.dtype), s.to(self.dtype)

    def _to_kspace(self, x: Image) -> Tensor:
        """Transform, up to the folded sign."""
        z = as_complex(x) if self.channels == 2 else x.squeeze(-3)
        return fft2c(times(z, self._sign), self._sign)

    def _to_image(self, z: Tensor) -> Image:
        z = ifft2c(z, self._sign)
        if self.channels == 2:
            return as_pairs(times(z, self._sign))
        return times(z.real, self._sign).unsqueeze(-3)
