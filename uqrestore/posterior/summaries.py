"""Mean, spread, quantiles and components of the draws, one slice at a time.

The draws of one slice are read once for the moments and quantiles and once more for the
directions of the components; a slice too large for memory goes through in bands of rows.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from uqrestore.posterior._scratch import NewArray, in_memory, let_go
from uqrestore.posterior.components import align_signs, components_from_gram
from uqrestore.posterior.intervals import exact_level
from uqrestore.posterior.intervals import quantiles as quantiles_of

BAND_BYTES = 4 * 2**20

ReadRows = Callable[[int, slice], np.ndarray]
"""Return draws (draw, channel, row, column) of a slice (by position) and a band of rows."""


@dataclass(frozen=True, eq=False)
class Predicted:
    """Posterior mean and components predicted by a network without draws, in the file's units.

    Attributes:
        mmse: The posterior mean.
        pc: Principal components of unit norm in each slice; perhaps none.
        pc_std: Standard deviation along each component in each slice.
    """

    mmse: Float[np.ndarray, "slice channel row column"]
    pc: Float[np.ndarray, "component slice channel row column"]
    pc_std: Float[np.ndarray, "component slice"]


@dataclass(frozen=True, eq=False)
class Interval:
    """Intervals with a guarantee.

    Attributes:
        lower: Lower ends, in the file's units.
        upper: Upper ends.
        guarantee: JSON of a ``conformal.guarantee.Guarantee``.
    """

    lower: Float[np.ndarray, "slice channel row column"]
    upper: Float[np.ndarray, "slice channel row column"]
    guarantee: str


@dataclass(frozen=True, eq=False)
class ComponentBox:
    """Region of whole images with a guarantee: a box along components, a ball for the rest.

    Attributes:
        half_width: Half-width of the box along each component in each slice, in the file's units.
        radius: Largest norm of what lies outside of the components, in each slice.
        guarantee: JSON of a ``conformal.guarantee.Guarantee``.
    """

    half_width: Float[np.ndarray, "component slice"]
    radius: Float[np.ndarray, " slice"]
    guarantee: str


@dataclass(frozen=True, eq=False)
class Summary:
    """Summary of the draws, in the file's units.

    Attributes:
        mmse: The posterior mean.
        mmse_source: ``"mean of draws"``, or ``"network"`` where the model predicts it directly.
        std: Standard deviation over draws, per pixel.
        levels: Levels of ``quantiles``: the probability that a truth exchangeable with the draws
            lies below, ``k / (draws + 1)`` for the ``k``-th smallest draw.
        quantiles: Quantiles over draws, per pixel; never interpolated but for the median.
        pc: Principal components, of unit norm in each slice.
        pc_std: Standard deviation along each component in each slice; debiased if of the draws.
        explained: Share of the variance of the draws of all slices along each component.
        draws: Number of draws behind the numbers.
        pc_source: ``"draws-crossfit"``, or ``"nppc"`` where the network predicts the components.
        pc_scope: ``"slice"``, or ``"volume"`` where the slices of a component are parts of one
            direction of the volume: then ``pc_std`` times ``pc`` is its part in each slice.
        mean_gap: Mean of the draws minus ``mmse``, where that is the network's.
        guaranteed: Intervals or a box with a guarantee, if there is one.
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
    pc_source: str = "draws-crossfit"
    pc_scope: str = "slice"
    mean_gap: Float[np.ndarray, "slice channel row column"] | None = None
    guaranteed: Interval | ComponentBox | None = None

    @property
    def mean(self) -> Float[np.ndarray, "slice channel row column"]:
        """Mean of the draws, whatever ``mmse`` is."""
        return self.mmse if self.mean_gap is None else self.mmse + self.mean_gap


def summarise(
    read: ReadRows,
    shape: tuple[int, int, int, int, int],
    *,
    components: int,
    levels: tuple[float, ...],
    predicted: Predicted | None = None,
    scope: str = "slice",
    new: NewArray = in_memory,
) -> Summary:
    """Summarise the draws of every slice.

    Args:
        read: Function that returns the draws of a slice, or of some of its rows.
        shape: (draw, slice, channel, row, column).
        components: Number of principal components wanted; fewer come out if there are fewer
            than ``components + 2`` draws.
        levels: Levels wanted of the quantiles; the nearest that this number of draws has come
            out, see :mod:`uqrestore.posterior.intervals`.
        predicted: Moments predicted by a network; its components, if any, replace those of the
            draws, and ``explained`` is their share of the variance of the draws.
        scope: ``"volume"`` finds components of the volume as a whole, for draws that are
            coherent along the axis; they have one sign and one order in all slices.
        new: Function that makes the arrays that are as large as the volume.

    Returns:
        float32 arrays. With one draw the standard deviation is NaN: it cannot be known.
    """
    draws, slices, channels, rows, columns = shape
    levels = tuple(exact_level(level, draws) for level in levels)
    network = None if predicted is None or not len(predicted.pc) else predicted
    count = max(0, min(components, draws - 2)) if network is None else 0
    image = (slices, channels, rows, columns)
    mean, std, quantiles = new(image), new(image), new((len(levels), *image))
    pc, variance = new((count, *image)), np.zeros((count, slices))
    along = np.zeros((0 if network is None else len(network.pc), slices))
    total, whole = 0.0, np.zeros((draws, draws))
    bands = _bands(rows, draws * channels * columns * 8)
    for k in range(slices):
        gram = np.zeros((draws, draws))
        scores = np.zeros((draws, len(along)))
        for band in bands:
            x = read(k, band).astype(np.float64)
            centre = x.mean(axis=0)
            mean[k, :, band] = centre
            if levels:
                quantiles[:, k, :, band] = quantiles_of(x, levels)
            x -= centre
            std[k, :, band] = _std(x)
            flat = x.reshape(draws, -1)
            gram += flat @ flat.T
            if network is not None:
                scores += flat @ network.pc[:, k, :, band].reshape(len(along), -1).T
        if network is not None and draws > 1:
            along[:, k] = (scores**2).sum(axis=0) / (draws - 1)
            total += np.trace(gram) / (draws - 1)
        whole += gram
        let_go(mean, std, quantiles, pc)
        if not count or scope == "volume":
            continue
        found = components_from_gram(gram, count)
        variance[:, k], total = found.variance, total + found.total
        for band in bands:
            x = read(k, band).astype(np.float64)
            pc[:, k, :, band] = np.tensordot(found.weights, x, axes=1)
    if count and scope == "volume":
        found = components_from_gram(whole, count)
        total = found.total
        for k in range(slices):
            for band in bands:
                x = read(k, band).astype(np.float64)
                pc[:, k, :, band] = np.tensordot(found.weights, x, axes=1)
            let_go(pc)
        variance = _split(pc, found.variance)
    elif network is None:
        align_signs(pc, variance)
    else:
        pc, variance = network.pc.astype(np.float32), along
        align_signs(pc, network.pc_std**2)
    return Summary(
        mmse=mean if predicted is None else np.asarray(predicted.mmse, np.float32),
        mmse_source="mean of draws" if predicted is None else "network",
        std=std,
        levels=levels,
        quantiles=quantiles,
        pc=pc,
        pc_std=(np.sqrt(variance) if network is None else network.pc_std).astype(np.float32),
        explained=(variance.sum(axis=1) / max(total, np.finfo(float).tiny)).astype(np.float32),
        draws=draws,
        pc_source="draws-crossfit" if network is None else "nppc",
        pc_scope=scope if network is None else "slice",
        mean_gap=None if predicted is None else mean - np.asarray(predicted.mmse, np.float32),
    )


def _split(
    pc: Float[np.ndarray, "component slice channel row column"],
    variance: Float[np.ndarray, " component"],
) -> Float[np.ndarray, "component slice"]:
    """Give each slice of volume components unit norm, in place; return its share of variance."""
    count, slices = pc.shape[:2]
    norm = np.zeros((count, slices))
    for k in range(slices):
        norm[:, k] = np.linalg.norm(pc[:, k].reshape(count, -1).astype(np.float64), axis=1)
        let_go(pc)
    for component, length in zip(pc, norm, strict=True):
        flat = component[int(length.argmax())].ravel()
        sign = -1 if flat[np.abs(flat).argmax()] < 0 else 1
        for k in range(slices):
            component[k] *= sign / (length[k] if length[k] > 0 else 1)
            let_go(pc)
    return variance[:, None] * norm**2


def _std(centred: Float[np.ndarray, "draw channel row column"]) -> np.ndarray:
    """Return the standard deviation over draws; that of one draw cannot be known."""
    if len(centred) == 1:
        return np.full(centred.shape[1:], np.nan)
    return np.sqrt(np.einsum("i...,i...->...", centred, centred) / (len(centred) - 1))


def _bands(rows: int, bytes_per_row: int) -> list[slice]:
    size = max(1, BAND_BYTES // max(bytes_per_row, 1))
    return [slice(start, min(start + size, rows)) for start in range(0, rows, size)]
