"""How well draws explain the measurement, worked out again from the operator in the file."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from uqrestore.posterior._hdf5 import UNREADABLE, dimensions, reading, short
from uqrestore.posterior.errors import PosteriorError
from uqrestore.posterior.open import read_operator
from uqrestore.reports.contents import Contents


@dataclass(frozen=True, eq=False)
class DataFit:
    r"""Misfits between images and the measurement.

    With noise the number is :math:`\chi^2 = \|A x - y\|^2 / \sigma^2` over the count of real
    measurements, about 1 for draws of the posterior, since (draw, y) has the law of (truth, y).
    See docs/maths.md, eq. (10). Without noise it is :math:`\|A x - y\| / \|y\|`, which should be
    zero to rounding.

    Attributes:
        noisy: Which of the two it is.
        draws: Of every draw, over all slices.
        gram: For every slice, inner products of :math:`A m - y` and of :math:`A v_k \sigma_k`, so
            that the misfit of :math:`m + \sum_k a_k \sigma_k v_k` is a quadratic form of
            :math:`(1, a)`; docs/maths.md, eq. (9).
        scale: What the quadratic form is divided by, of every slice.
        measurements: Count of real measurements, all slices.
        chance: Probability of a chi-square as far from its mean as the first draw's, with noise.
        residual: Size of :math:`A m - y` where it was measured, an image of every slice, or None
            if the measurement is no image.
    """

    noisy: bool
    draws: Float[np.ndarray, " draw"]
    gram: Float[np.ndarray, "z n n"]
    scale: Float[np.ndarray, " z"]
    measurements: int
    chance: float | None
    residual: Float[np.ndarray, "z row column"] | None

    @property
    def typical(self) -> float:
        """Of a draw: the median with noise, the largest without."""
        return float(np.median(self.draws) if self.noisy else self.draws.max())

    @property
    def words(self) -> str:
        """The number with its meaning."""
        if self.noisy:
            return f"chi-square per measurement {self.typical:.3g} (1 is right)"
        return f"||Ax - y|| / ||y|| at most {self.typical:.1e} (0 is right)"

    @property
    def grade(self) -> str:
        """``good``, ``fair`` or ``poor``."""
        if not self.noisy:
            return "good" if self.typical < 1e-4 else "fair" if self.typical < 1e-2 else "poor"
        ratio = self.typical
        return "good" if 0.9 < ratio < 1.1 else "fair" if 0.75 < ratio < 1.33 else "poor"


def measure_data_fit(contents: Contents, draws: Sequence[int]) -> DataFit | str:
    """Apply the operator of the file to its mean, its components and its draws.

    Args:
        contents: Of the file.
        draws: Which draws.

    Returns:
        The misfits, or why they cannot be worked out.
    """
    import torch

    if not draws or not contents.slices.size:
        return "There is no draw to compare with the measurement."
    with reading(contents.path) as file:
        images = file["/posterior/image"]
        if "channel" in dimensions(images):
            return "The fit of images with several channels is not worked out here."
    try:
        operator = read_operator(contents.path)
        y, rows = _measurement(contents)
    except (PosteriorError, LookupError, *UNREADABLE) as error:
        return f"The operator of the file cannot be applied ({short(error)})."

    if operator.problem_shape:
        operator = operator.select(list(rows))
    measured = torch.as_tensor(y)
    axes = tuple(range(1, measured.ndim))

    def forward(volume: np.ndarray) -> torch.Tensor:
        return operator(torch.as_tensor(np.ascontiguousarray(volume))[:, None])

    try:
        mean = forward(contents.maps["mean"]) - measured
    except (ValueError, RuntimeError) as error:
        return f"The operator of the file cannot be applied ({short(error)})."
    steps = contents.components * contents.component_std[..., None, None].astype(np.float32)
    vectors = torch.stack([mean, *(forward(step) for step in steps)], dim=1).flatten(2).double()
    gram = (vectors @ vectors.mT).numpy()
    misfit = np.stack(
        [(forward(contents.draw(j)) - measured).double().square().sum(axes).numpy() for j in draws]
    )

    weights = operator.row_mask
    count = torch.ones_like(measured) if weights is None else weights.expand_as(measured).float()
    per_slice = count.sum(axes).numpy()
    noise = np.broadcast_to(_noise(contents, rows).astype(np.float64), len(rows))
    noisy = bool((noise > 0).all())
    if noisy:
        scale = noise**2 * per_slice
        total = (misfit / noise**2).sum(axis=1)
        values = total / per_slice.sum()
        chance = _chance(float(total[0]), float(per_slice.sum()))
    else:
        scale = measured.double().square().sum(axes).numpy().clip(min=np.finfo(np.float64).tiny)
        values = np.sqrt(misfit.sum(axis=1) / scale.sum())
        chance = None
    return DataFit(
        noisy=noisy,
        draws=values,
        gram=gram,
        scale=scale,
        measurements=int(per_slice.sum()),
        chance=chance,
        residual=_as_image(mean.numpy()),
    )


def _measurement(contents: Contents) -> tuple[np.ndarray, np.ndarray]:
    """Return ``y`` of the slices shown, and which slices of the file they are."""
    with reading(contents.path) as file:
        every = np.asarray(file["/slice"][...])
        rows = np.flatnonzero(np.isin(every, contents.slices))
        return np.asarray(file["/observed_data/y"][...])[rows], rows


def _noise(contents: Contents, rows: np.ndarray) -> np.ndarray:
    noise = np.zeros(()) if contents.noise_std is None else contents.noise_std
    return noise[rows] if noise.ndim else noise


def _chance(chi_square: float, count: float) -> float:
    from scipy.stats import chi2

    below = float(chi2.cdf(chi_square, count))
    return 2 * min(below, 1 - below)


def _as_image(residual: np.ndarray) -> np.ndarray | None:
    """Return the size of a residual as one image a slice, if its last two axes are an image."""
    if residual.ndim < 3 or min(residual.shape[-2:]) < 2:
        return None
    over = tuple(range(1, residual.ndim - 2))
    return np.sqrt((residual.astype(np.float64) ** 2).sum(axis=over)).astype(np.float32)
