"""Data fit of the draws, computed again from the operator and the measurement in the file."""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64

from uqrestore.posterior._hdf5 import UNREADABLE, short
from uqrestore.posterior.data_fit import fit_grade
from uqrestore.posterior.errors import PosteriorError
from uqrestore.reports.contents import Contents

AT_ONCE = 2**22  # numbers measured: memory then grows neither with slices nor with coils
RINGS = 10  # of equal width, from the centre of k-space to its edge
TINY = np.finfo(np.float64).tiny


@dataclass(frozen=True, eq=False)
class DataFit:
    r"""Misfits between images and the measurement.

    With noise the number is :math:`\chi^2 = \|A x - y\|^2 / \sigma^2` over the count of real
    measurements, about 1 for draws of the posterior, since (draw, y) and (truth, y) have one
    distribution. See docs/maths.md, eq. (10). Without noise it is :math:`\|A x - y\| / \|y\|`,
    which is zero to rounding. Squares are of float64, so images of any unit are safe.

    Attributes:
        noisy: True for a chi-square, False for a relative misfit.
        draws: Number of every draw, over all slices.
        gram: For every slice, inner products of :math:`A m - y` and of :math:`A v_k \sigma_k`, so
            that the misfit of :math:`m + \sum_k a_k \sigma_k v_k` is a quadratic form of
            :math:`(1, a)`; docs/maths.md, eq. (9). Divided so that the form is the chi-square per
            measurement, or the square of the relative misfit.
        measurements: Count of real measurements, all slices.
        p_value: Probability of a chi-square as far from its mean as that of the first draw; None
            without noise.
        residual: Size of :math:`A m - y` where it was measured, an image of every slice, or None
            if the measurement is no image.
        coils: Chi-square per measurement of every coil, mean over draws; empty if there are none.
        rings: Chi-square per measurement in rings around the centre of k-space, mean over draws;
            NaN in a ring without samples, empty if the measurement is no Cartesian k-space.
    """

    noisy: bool
    draws: Float[np.ndarray, " draw"]
    gram: Float64[np.ndarray, "z n n"]
    measurements: int
    p_value: float | None
    residual: Float[np.ndarray, "z row column"] | None
    coils: Float[np.ndarray, " coil"]
    rings: Float[np.ndarray, " ring"]

    @property
    def typical(self) -> float:
        """Number of a typical draw with noise, of the worst draw without."""
        return float(np.median(self.draws) if self.noisy else self.draws.max())

    @property
    def summary(self) -> str:
        """The number and its target."""
        if self.noisy:
            return f"chi-square per measurement {self.typical:.3g} (target 1)"
        return f"relative misfit ||Ax - y|| / ||y|| at most {self.typical:.1e} (target 0)"

    @property
    def grade(self) -> str:
        """``good``, ``fair`` or ``poor``."""
        if not self.noisy:
            return "good" if self.typical < 1e-4 else "fair" if self.typical < 1e-2 else "poor"
        return fit_grade(self.typical)


def measure_data_fit(contents: Contents, draws: Sequence[int]) -> DataFit | str:
    """Apply the operator of the file to its mean, its components and its draws.

    Args:
        contents: Contents of the file.
        draws: Draws to measure.

    Returns:
        The misfits, or why they cannot be computed.
    """
    if not draws or not contents.slices.size:
        return "There is no draw to compare with the measurement."
    try:
        blocks = list(_blocks(contents, draws))
    except (PosteriorError, LookupError, *UNREADABLE) as error:
        return f"The operator of the file cannot be applied ({short(error)})."
    noisy = all(block.noisy for block in blocks)
    count = np.concatenate([block.count for block in blocks])
    size = np.concatenate([block.size for block in blocks])
    weight = count if noisy else (size / max(size.max(), TINY)) ** 2
    squares = np.concatenate([block.squares for block in blocks], axis=1)
    values = (squares * weight).sum(axis=1) / max(weight.sum(), TINY)
    measurements = int(count.sum())
    residuals = [block.residual for block in blocks if block.residual is not None]
    return DataFit(
        noisy=noisy,
        draws=values if noisy else np.sqrt(values),
        gram=np.concatenate([block.gram for block in blocks]),
        measurements=measurements,
        p_value=_p_value(float(values[0]) * measurements, measurements) if noisy else None,
        residual=np.concatenate(residuals) if len(residuals) == len(blocks) else None,
        coils=_per_measurement([block.coils for block in blocks], noisy),
        rings=_per_measurement([block.rings for block in blocks], noisy),
    )


def _per_measurement(parts: Sequence[np.ndarray], noisy: bool) -> np.ndarray:
    """Return chi-squares per measurement from sums and counts of some slices."""
    total, count = np.sum(parts, axis=0) if noisy else np.zeros((2, 0))
    return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)


@dataclass(frozen=True, eq=False)
class _Block:
    """Misfits of some slices, as multiples of ``size``.

    Attributes:
        noisy: True if every slice has noise.
        count: Real measurements of each slice.
        size: Expected norm of the noise of a slice; of its measurement where there is no noise.
        squares: Squared misfit of every draw of each slice.
        gram: Inner products of the misfit of the mean and of the measured components.
        residual: Size of the misfit of the mean as images, in the unit of the measurement.
        coils: Chi-square and count of measurements of every coil, mean over draws.
        rings: The same in rings around the centre of k-space.
    """

    noisy: bool
    count: Float64[np.ndarray, " z"]
    size: Float64[np.ndarray, " z"]
    squares: Float64[np.ndarray, "draw z"]
    gram: Float64[np.ndarray, "z n n"]
    residual: Float[np.ndarray, "z row column"] | None
    coils: Float64[np.ndarray, "2 coil"]
    rings: Float64[np.ndarray, "2 ring"]


def _blocks(contents: Contents, draws: Sequence[int]) -> Iterator[_Block]:
    """Measure a few slices at a time."""
    import torch

    from uqrestore.reports.measurement import Measurement

    whole = Measurement.of(contents)
    # As a plain variable: its name is also that of the coordinate of rows.
    measured = contents.file["observed_data/y"].variable
    noise = np.broadcast_to(_noise(contents), len(contents.slices))
    step = max(1, AT_ONCE // int(np.prod(measured.shape[1:])))
    for start in range(0, len(contents.slices), step):
        at = slice(start, min(start + step, len(contents.slices)))
        rows = contents.rows[at]
        measurement = whole.select(rows)
        y = torch.as_tensor(measured.isel(z=rows).values)

        mask = measurement.operator.row_mask
        sampled = torch.ones_like(y) if mask is None else mask
        sampled = sampled.expand_as(y).double().numpy()
        count = sampled.reshape(len(rows), -1).sum(axis=1)
        wanted = y.double().numpy()
        norm = np.linalg.norm(wanted.reshape(len(rows), -1), axis=1)
        noisy = bool((noise[at] > 0).all())
        std = noise[at] if measurement.noise is None else 1.0
        size = np.maximum(std * np.sqrt(count) if noisy else norm, TINY)
        axes = tuple(range(1, y.ndim))
        scale = size.reshape(-1, *[1] * len(axes))
        middle = contents.mean_images(at)
        mean = measurement.signal(middle) - wanted
        steps = contents.direction_images(at) * contents.component_std[:, at, None, None, None]
        vectors = np.stack(
            [
                measurement.misfit(middle, wanted) * sampled,
                *(measurement.change(middle, step) * sampled for step in steps),
            ],
            axis=1,
        )
        vectors = (vectors / scale[:, None]).reshape(len(rows), 1 + len(steps), -1)
        squares, spread = [], np.zeros(y.shape)
        for j in draws:
            drawn = contents.draw_images(j, at)
            square = (measurement.misfit(drawn, wanted, j) * sampled / scale) ** 2
            squares.append(square.sum(axis=axes))
            spread += square
        # In units of the noise; of what was not measured there is nothing to add.
        spread *= count.reshape(scale.shape) / len(draws)
        yield _Block(
            noisy=noisy,
            count=count,
            size=size,
            squares=np.stack(squares),
            gram=vectors @ vectors.swapaxes(1, 2),
            residual=_as_image(mean),
            coils=_by_coil(measured.dims, spread, sampled),
            rings=_by_ring(measured.dims, spread, sampled),
        )


def _by_coil(dims: Sequence[Hashable], spread: np.ndarray, sampled: np.ndarray) -> np.ndarray:
    """Sum chi-squares and measurements of every coil."""
    if "coil" not in dims:
        return np.zeros((2, 0))
    others = tuple(axis for axis, name in enumerate(dims) if name != "coil")
    return np.stack([spread.sum(axis=others), sampled.sum(axis=others)])


def _by_ring(dims: Sequence[Hashable], spread: np.ndarray, sampled: np.ndarray) -> np.ndarray:
    """Sum chi-squares and measurements in rings around the centre of Cartesian k-space."""
    if tuple(dims[-2:]) != ("ky", "kx"):
        return np.zeros((2, 0))
    half = [np.arange(size) - size // 2 for size in spread.shape[-2:]]
    ky, kx = np.meshgrid(*(axis / max(len(axis) / 2, 1) for axis in half), indexing="ij")
    ring = np.minimum((np.hypot(ky, kx) * RINGS).astype(int), RINGS - 1).ravel()
    over = tuple(range(spread.ndim - 2))
    sums = (values.sum(axis=over).ravel() for values in (spread, sampled))
    return np.stack([np.bincount(ring, values, RINGS) for values in sums])


def _noise(contents: Contents) -> Float64[np.ndarray, "..."]:
    noise = contents.noise_std
    if noise is None:
        return np.zeros(())
    return noise[contents.rows] if noise.ndim else noise


def _p_value(chi_square: float, count: int) -> float:
    from scipy.stats import chi2

    below = float(chi2.cdf(chi_square, count))
    return 2 * min(below, 1 - below)


def _as_image(residual: np.ndarray) -> np.ndarray | None:
    """Return the size of a residual as one image a slice, if its last two axes are an image."""
    if residual.ndim < 3 or min(residual.shape[-2:]) < 2:
        return None
    return np.sqrt((residual**2).sum(axis=tuple(range(1, residual.ndim - 2))))
