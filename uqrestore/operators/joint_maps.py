"""Coil sensitivities re-estimated from every sample, given an image."""

import torch
from jaxtyping import Bool, Complex, Float
from torch import Tensor

from uqrestore.operators._cg import conjugate_gradient, expand_to
from uqrestore.operators._fourier import fft2c, ifft2c

Maps = Complex[Tensor, "*problem coil row column"]
MODES = 10
"""Cosines along each axis of a correction: half a wave to five waves across the field of view."""
SPREAD = 0.3
"""Prior standard deviation of a correction; maps have unit norm over the coils."""
WIDTH, DECAY = 2.0, 3.0
"""Modes at which the prior standard deviation begins to fall, and its power."""
ITERATIONS, TOLERANCE = 200, 1e-4


@torch.no_grad()
def refine_maps(
    kspace: Complex[Tensor, "*problem coil row column"],
    mask: Bool[Tensor, "*problem row column"],
    maps: Maps,
    image: Complex[Tensor, "*problem row column"],
    noise_std: Float[Tensor, " *problem"],
) -> Maps:
    r"""Correct coil maps so that a given image explains all samples, not the centre alone.

    .. math:: \hat a = \arg\min_a \tfrac{1}{\sigma^2} \|M F ((s + B a) \odot x) - y\|^2
        + \|P^{-1} a\|^2

    for each coil, with products :math:`B` of a few cosines along rows and columns. Given the image
    the maps are linear in the measurement, so that this is their posterior mean under a Gaussian
    prior about ``maps`` that is smooth, as sensitivities are. Where there is no signal the maps
    stay as they are.

    Args:
        kspace: Samples, zero frequency at the centre, 0 where not measured.
        mask: Sampled locations.
        maps: First estimate, such as that of ESPIRiT.
        image: Image that the coils see.
        noise_std: Noise of a real component of the samples; larger where the image is uncertain.

    Returns:
        Maps of unit norm over the coils where ``maps`` have it, and 0 where they are 0.

    References:
        Uecker et al., "Image reconstruction by regularized nonlinear inversion - Joint estimation
        of coil sensitivities and image content", Magn. Reson. Med. 60:674-682, 2008 (joint
        estimation with smooth maps); here the image is that of a posterior.
    """
    rows, columns = maps.shape[-2:]
    down, across = cosines(rows).to(maps), cosines(columns).to(maps)
    prior = mode_std()[: down.shape[1], : across.shape[1]].to(maps) * (rows * columns) ** 0.5
    sampled, seen = mask.unsqueeze(-3).to(maps.dtype), image.unsqueeze(-3)
    weight = expand_to(noise_std.to(maps.real.dtype), 3).square().reciprocal()

    def correction(a: Tensor) -> Tensor:
        return down @ (prior * a) @ across.mT

    def back(residual: Tensor) -> Tensor:
        aliased = ifft2c(sampled * residual, None)
        return prior * (down.mT @ (weight * seen.conj() * aliased) @ across)

    def project(s: Tensor) -> Tensor:
        return sampled * fft2c(seen * s, None)

    found, _ = conjugate_gradient(
        lambda a: a + back(project(correction(a))),
        back(kspace - project(maps)),
        dims=2,
        tol=TOLERANCE,
        max_iter=ITERATIONS,
    )
    refined = maps + correction(found)
    norm, before = (torch.linalg.vector_norm(m, dim=-3, keepdim=True) for m in (refined, maps))
    return torch.where(before > 0, refined * before / norm.clamp(min=1e-12), 0)


def cosines(size: int) -> Float[Tensor, "size mode"]:
    """Return the first orthonormal cosines of an axis (DCT-II), as columns."""
    modes = torch.arange(min(MODES, size))
    place = torch.pi * (torch.arange(size)[:, None] + 0.5) * modes / size
    scale = torch.where(modes == 0, 1.0, 2.0).div(size).sqrt()
    return torch.cos(place) * scale


def mode_std() -> Float[Tensor, "row_mode column_mode"]:
    """Return the prior standard deviation of every mode, for a variance of 1 a pixel and part."""
    modes = torch.arange(MODES)
    square = modes[:, None].square() + modes.square()
    std = (1 + square / WIDTH**2) ** (-DECAY / 2)
    return SPREAD * std / torch.linalg.vector_norm(std)
