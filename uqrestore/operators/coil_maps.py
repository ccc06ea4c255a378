"""Coil sensitivities from the fully sampled centre of k-space (ESPIRiT)."""

import torch
from jaxtyping import Complex
from torch import Tensor

from uqrestore.operators._checks import require

KSpace = Complex[Tensor, "coil row column"]
POWER_ITERATIONS = 100


def espirit_maps(
    kspace: KSpace,
    *,
    center: int = 24,
    kernel: int = 6,
    threshold: float = 0.02,
    crop: float = 0.95,
) -> KSpace:
    r"""Estimate coil sensitivity maps by ESPIRiT.

    Neighbouring samples of all coils are linearly dependent, because every coil measures the same
    image. The singular vectors of small windows of the calibration region span these relations;
    in image space they become a small positive operator at each voxel, of which the true
    sensitivities are the eigenvector of eigenvalue 1.

    Args:
        kspace: Zero frequency at the centre; only its centre needs to be sampled.
        center: Side of the fully sampled square that is used.
        kernel: Side of the windows.
        threshold: Singular values kept, relative to the largest.
        crop: Voxels of a smaller eigenvalue are outside the body; their sensitivity is 0.

    Returns:
        Maps of unit norm over the coils, and real and positive in the first coil.

    Raises:
        ValueError: If the centre is smaller than the window, larger than k-space, or empty.

    References:
        Uecker et al., "ESPIRiT: An Eigenvalue Approach to Autocalibrating Parallel MRI",
        Magn. Reson. Med. 71:990-1001, 2014. doi:10.1002/mrm.24751
    """
    coils, rows, columns = kspace.shape
    require(
        kernel <= center <= min(rows, columns),
        "espirit_maps",
        f"the centre must hold a window of {kernel} and fit in k-space {(rows, columns)}, but it "
        f"is {center}.",
    )
    start = rows // 2 - center // 2, columns // 2 - center // 2
    region = kspace[:, start[0] : start[0] + center, start[1] : start[1] + center]
    empty = int((region == 0).all(0).sum())
    require(
        empty == 0,
        "espirit_maps",
        f"{empty} of the {center} x {center} samples of the centre are missing; give the side of "
        "the region that is fully sampled.",
    )
    windows = region.unfold(1, kernel, 1).unfold(2, kernel, 1)  # (coil, i, j, kernel, kernel)
    calibration = windows.permute(1, 2, 0, 3, 4).reshape(-1, coils * kernel * kernel)
    _, s, vh = torch.linalg.svd(calibration, full_matrices=False)
    kept = vh[s > threshold * s[0]].reshape(-1, coils, kernel, kernel)
    gram = _gram(kept, (rows, columns))
    vector = gram.new_ones(rows, columns, coils, 1)
    value = vector.abs()
    for _ in range(POWER_ITERATIONS):
        vector = gram @ vector
        value = torch.linalg.vector_norm(vector, dim=-2, keepdim=True)
        vector = vector / value.clamp(min=1e-30)
    maps, first = vector[..., 0].movedim(-1, 0), vector[..., 0, 0]
    maps = maps * torch.where(first == 0, 1, first.conj() / first.abs().clamp(min=1e-30))
    return maps * (value[..., 0, 0] > crop)


def _gram(kernels: Tensor, shape: tuple[int, int]) -> Complex[Tensor, "row column coil coil"]:
    r"""Return :math:`\sum_k a_k a_k^H` at each voxel, with :math:`a_k` the image of kernel k.

    A product of images is a correlation in k-space, which is short; so the kernels are summed up
    first and only pairs of coils, not kernels, are transformed to the full image.
    """
    _, coils, side, _ = kernels.shape
    wide = 2 * side
    spectra = torch.fft.fft2(kernels, s=(wide, wide))
    pairs = torch.einsum("kaij,kbij->abij", spectra, spectra.conj())
    correlation = torch.fft.ifft2(pairs)
    lag = torch.arange(wide, device=kernels.device)
    lag = torch.where(lag < side, lag, lag - wide)
    place = (lag % shape[0])[:, None] * shape[1] + lag % shape[1]
    padded = correlation.new_zeros(coils, coils, shape[0] * shape[1])
    padded.index_add_(-1, place.flatten(), correlation.flatten(-2))
    image = torch.fft.ifft2(padded.unflatten(-1, shape), norm="forward") / side**2
    return torch.fft.fftshift(image, dim=(-2, -1)).movedim((0, 1), (-2, -1)).contiguous()
