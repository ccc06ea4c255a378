"""How fast volumes change from slice to slice."""

import numpy as np
from jaxtyping import Bool, Float

LAGS = 3
"""Slices apart up to which volumes are compared: there the anatomy still hangs together."""


def variogram(
    volumes: Float[np.ndarray, "*volume slice row column"],
    mask: Bool[np.ndarray, "slice row column"],
    lags: int = LAGS,
) -> Float[np.ndarray, " lag"]:
    r"""Return half the mean square difference of slices that lie some slices apart.

    .. math:: \gamma(h) = \frac{1}{2} \left\langle (x_{k+h} - x_k)^2 \right\rangle

    over pairs of voxels that both lie in the mask, and over volumes.

    Args:
        volumes: Neighbouring slices; further axes in front are averaged over.
        mask: Where to look.
        lags: The largest :math:`h`; the smallest is 1.

    Returns:
        :math:`\gamma`, in squared intensity; NaN where no pair lies in the mask.

    References:
        Matheron, "Principles of Geostatistics", Economic Geology 58:1246-1266, 1963.
    """
    found = np.full(lags, np.nan)
    for h in range(1, min(lags, len(mask) - 1) + 1):
        pair = mask[h:] & mask[:-h]
        if pair.any():
            step = volumes[..., h:, :, :] - volumes[..., :-h, :, :]
            found[h - 1] = 0.5 * np.square(step[..., pair], dtype=np.float64).mean()
    return found
