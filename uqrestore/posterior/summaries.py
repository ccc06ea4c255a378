"""Mean, spread, quantiles and components of the draws, one slice at a time.

The draws of one slice are read once for the moments and quantiles and once more for the
directions of the components; a slice too large for memory goes through in bands of rows.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from uqrestore.posterior.components import align_signs, components_from_gram

BAND_BYTES = 16 * 2**20

ReadRows = Callable[[int, slice], np.ndarray]
"""Return draws (draw, channel, row, column) of a slice (by position) and a band of rows."""


@dataclass(frozen=True, eq=False)
class Summary:
    """What is kept of the draws beside the draws, in the file's units.

    Attributes:
        mmse: The posterior mean.
        mmse_source: ``"mean of draws"``, or ``"network"`` where the model predicts it directly.
        std: Standard deviation over draws, per pixel.
        levels: Levels of ``quantiles``, between 0 and 1.
        quantiles: Quantiles over draws, per pixel.
        pc: Principal components, of unit norm in each slice.
        pc_std: Debiased standard deviation along each component in each slice.
        explained: Share of the variance of all slices along each component.
        draws: Number of draws behind the numbers.
    """

    mmse: Float[np.ndarray, "slice channel row column"]
    mmse_source: str
    std: Float[np.ndarray, "slice channel row column"]
    levels: tuple[float, ...]
    quantiles: Float[np.ndarray, "q slice channel row column"]
    pc: Float[np.ndarray, "component slice channel row column"]
    pc_std: Float[np.ndarray, "component slice"]
    explained: Float[np.ndarray, " component"]
    draws: int


def summarise(
    read: ReadRows,
    shape: tuple[int, int, int, int, int],
    *,
    components: int,
    levels: tuple[float, ...],
    mmse: Float[np.ndarray, "slice channel row column"] | None = None,
) -> Summary:
    """Summarise the draws of every slice.

    Args:
        read: Gives the draws of a slice, or of some of its rows.
        shape: (draw, slice, channel, row, column).
        components: Number of principal components wanted; fewer come out if there are fewer
            than ``components + 2`` draws.
        levels: Levels of the quantiles.
        mmse: The mean as the network predicts it; None takes the mean of the draws.

    Returns:
        float32 arrays. With one draw the standard deviation is NaN: it cannot be known.
    """
    draws, slices, channels, rows, columns = shape
    count = max(0, min(components, draws - 2))
    image = (slices, channels, rows, columns)
    mean, std = np.empty(image, np.float32), np.full(image, np.nan, np.float32)
    quantiles = np.empty((len(levels), *image), np.float32)
    pc, variance = np.zeros((count, *image), np.float32), np.zeros((count, slices))
    total = 0.0
    bands = _bands(rows, draws * channels * columns * 8)
    for k in range(slices):
        gram = np.zeros((draws, draws))
        for band in bands:
            x = read(k, band).astype(np.float64)
            centre = x.mean(axis=0)
            mean[k, :, band] = centre
            if levels:
                quantiles[:, k, :, band] = np.quantile(x, levels, axis=0)
            x -= centre
            if draws > 1:
                std[k, :, band] = np.sqrt((x**2).sum(axis=0) / (draws - 1))
            flat = x.reshape(draws, -1)
            gram += flat @ flat.T
        if not count:
            continue
        found = components_from_gram(gram, count)
        variance[:, k], total = found.variance, total + found.total
        for band in bands:
            x = read(k, band).astype(np.float64)
            pc[:, k, :, band] = np.tensordot(found.weights, x, axes=1)
    return Summary(
        mmse=mean if mmse is None else np.asarray(mmse, np.float32),
        mmse_source="mean of draws" if mmse is None else "network",
        std=std,
        levels=tuple(levels),
        quantiles=quantiles,
        pc=align_signs(pc, variance),
        pc_std=np.sqrt(variance).astype(np.float32),
        explained=(variance.sum(axis=1) / max(total, np.finfo(float).tiny)).astype(np.float32),
        draws=draws,
    )


def _bands(rows: int, bytes_per_row: int) -> list[slice]:
    size = max(1, BAND_BYTES // max(bytes_per_row, 1))
    return [slice(start, min(start + size, rows)) for start in range(0, rows, size)]
