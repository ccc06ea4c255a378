"""Storage of draws in a finished file: all, some or none of them, and how many of their bits.

Draws are noise to a compressor: lossless filters save a fifth. What the summaries were computed
from is every draw, whole, whatever is kept.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from uqrestore.posterior import _layout as layout
from uqrestore.posterior._hdf5 import Group
from uqrestore.posterior._partial import Slabs
from uqrestore.posterior.errors import PosteriorError
from uqrestore.posterior.plan import PosteriorPlan

THIN = 8  # draws
MANTISSA = 23  # bits of float32
FEWEST_BITS = 3


@dataclass(frozen=True)
class Storage:
    """Choice of the draws that a finished file keeps, and of their precision.

    Attributes:
        keep: ``all``; ``thin``, eight of them; or ``none``. With the last two the moments and
            the inner products of all draws are kept, so that further draws can be added to the
            mean, the spread and the components exactly.
        keepbits: Bits of the mantissa that are kept (BitRound); None keeps all 23. The rounding
            error is at most ``2 ** -(keepbits + 1)`` of a value.

    Raises:
        PosteriorError: If either is not allowed.
    """

    keep: str = "all"
    keepbits: int | None = None

    def __post_init__(self) -> None:
        if self.keep not in ("all", "thin", "none"):
            raise PosteriorError(f"keep {self.keep!r}: it can be all, thin or none.")
        if self.keepbits is not None and not FEWEST_BITS <= self.keepbits <= MANTISSA:
            raise PosteriorError(
                f"keepbits {self.keepbits}: it can be {FEWEST_BITS} to {MANTISSA}; 7 keeps a draw "
                "to 0.4 %, 10 to 0.05 %."
            )

    def kept(self, draws: int) -> list[int]:
        """Return the indices of the draws that are kept, spread evenly."""
        if self.keep == "all" or (self.keep == "thin" and draws <= THIN):
            return list(range(draws))
        if self.keep == "none":
            return []
        return np.linspace(0, draws - 1, THIN).round().astype(int).tolist()

    def attributes(self) -> dict[str, Any]:
        """Return the attributes of the rounded variable, in the words of netCDF."""
        if self.keepbits is None:
            return {}
        return {
            "quantization": "BitRound",
            "_QuantizeBitRoundNumberOfSignificantBits": np.int32(self.keepbits),
        }


def bit_round(
    values: Float[np.ndarray, "*shape"], keepbits: int | None
) -> Float[np.ndarray, "*shape"]:
    """Round float32 to so many bits of mantissa, ties to even.

    References:
        Klöwer et al., "Compressing atmospheric data into its real information content", Nature
        Computational Science 1:713-724, 2021 (round bitwise). doi:10.1038/s43588-021-00156-2
    """
    if keepbits is None or keepbits >= MANTISSA:
        return values
    drop = MANTISSA - keepbits
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    half = np.uint32((1 << (drop - 1)) - 1)
    odd = (bits >> np.uint32(drop)) & np.uint32(1)
    mask = np.uint32(0xFFFFFFFF >> drop << drop)
    return ((bits + half + odd) & mask).view(np.float32)


def write_moments(group: Group, slabs: Slabs, plan: PosteriorPlan) -> None:
    """Write mean, sum of squared deviations and inner products of all draws, a slice at a time."""
    image = (len(plan.slices), plan.channels, plan.rows, plan.columns)
    mean, squares = np.empty(image), np.empty(image)
    gram = np.empty((len(plan.slices), plan.draws, plan.draws))
    for k in range(len(plan.slices)):
        draws = np.stack([slabs.read(d, k) for d in range(plan.draws)]).astype(np.float64)
        mean[k] = draws.mean(axis=0)
        draws -= mean[k]
        squares[k] = (draws**2).sum(axis=0)
        flat = draws.reshape(plan.draws, -1)
        gram[k] = flat @ flat.T
    group.attrs["draws"] = plan.draws
    dims = plan.image_dims
    put, volume = layout.put, plan.to_volume
    put(group, "mean", dims, volume(mean), units=plan.unit, long_name="mean of all draws")
    put(group, "squares", dims, volume(squares), long_name="sum over draws of (x - mean) squared")
    put(
        group, "gram", ("z", "of", "with"), gram,
        long_name="inner products of the draws of a slice, less their mean",
    )  # fmt: skip
