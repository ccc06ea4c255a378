"""3-D Cartesian k-space as a stack of slices: decoded along its readout."""

import numpy as np
from jaxtyping import Bool, Complex

from uqrestore.scans.errors import ScanError


def decode_readout(
    kspace: Complex[np.ndarray, "partition coil phase readout"],
    sampled: Bool[np.ndarray, "partition phase readout"],
    pixels: int,
    name: str,
) -> Complex[np.ndarray, "pixel coil partition phase"]:
    """Transform the fully sampled readout, so that its pixels are slices that nothing couples.

    The transform is centred and orthonormal: noise stays what it was. Readout oversampling is cut.

    Args:
        kspace: Zero frequency in the middle, zero where nothing was measured.
        sampled: Which samples were measured.
        pixels: Pixels of the image along the readout.
        name: File name, for messages.

    Raises:
        ScanError: If a line was measured in part, as by an asymmetric echo.
    """
    lines = sampled.any(axis=-1)
    if not sampled[lines].all():
        raise ScanError(
            f"{name}: is 3-D, and {int((~sampled[lines]).sum(-1).max())} of "
            f"{sampled.shape[-1]} samples of its lines were not measured (asymmetric echo or "
            "discarded samples); only whole readouts of 3-D scans are read."
        )
    along = np.fft.ifft(np.fft.ifftshift(kspace, axes=-1), norm="ortho")
    image = np.fft.fftshift(along, axes=-1)
    first = image.shape[-1] // 2 - pixels // 2
    return np.ascontiguousarray(
        np.moveaxis(image[..., first : first + pixels], -1, 0).swapaxes(1, 2)
    )
