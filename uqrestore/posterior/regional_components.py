r"""Principal components of a region: what can vary inside it, and what goes with it elsewhere.

The components of a whole image share its variance among all that is uncertain, and the first may
hold 2 % of it. Those of a ventricle or of a sulcus hold far more of the variance there.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from uqrestore.posterior.components import components_from_gram


@dataclass(frozen=True, eq=False)
class RegionComponents:
    """Principal components of the draws inside a region, and the rest of the image with them.

    Attributes:
        steps: Change of the whole image by one standard deviation along each component.
        std: Standard deviation of the coefficient of each: the norm of its step in the region.
        explained: Share of the variance of the region along each.
        coefficients: Where each draw lies along them, in standard deviations.
        region: Pixels of the region.
    """

    steps: Float[np.ndarray, " component *shape"]
    std: Float[np.ndarray, " component"]
    explained: Float[np.ndarray, " component"]
    coefficients: Float[np.ndarray, "draw component"]
    region: Bool[np.ndarray, " *shape"]

    def of(
        self, image: Float[np.ndarray, " *shape"], mean: Float[np.ndarray, " *shape"]
    ) -> Float[np.ndarray, " component"]:
        """Return where an image lies along the components, in standard deviations.

        Args:
            image: Such as a reference.
            mean: Mean of the draws.
        """
        inside = self.steps[:, self.region]
        along = inside @ (image - mean)[self.region].astype(np.float64)
        return np.divide(along, self.std**2, out=np.zeros_like(along), where=self.std > 0)


def region_components(
    draws: Float[np.ndarray, " draw *shape"],
    region: Bool[np.ndarray, "..."],
    count: int,
) -> RegionComponents:
    r"""Find the directions along which draws vary most in a region.

    With :math:`u_k` the components of the draws restricted to the region and
    :math:`s_k = u_k \cdot (x - m)` their coefficients, each pixel :math:`v` follows by regression,
    :math:`f_k(v) = \mathrm{Cov}[x_v, s_k] / \mathrm{Var}[s_k]`, which is :math:`u_k` itself inside.
    Of L draws a pixel that has nothing to do with the region has a squared correlation of about
    :math:`1 / (L - 1)`; outside, :math:`f` is therefore multiplied by the share
    :math:`\max(0, 1 - (1 - r^2) / ((L - 2) r^2))` of the squared correlation that is not of chance.

    Args:
        draws: Independent draws of one image.
        region: Pixels of the region.
        count: Number of components; at most the number of draws less two.

    Raises:
        ValueError: If the region has another shape or no pixel, or there are too few draws.
    """
    if region.shape != draws.shape[1:] or not region.any():
        raise ValueError(
            f"the region has shape {region.shape} and {int(region.sum())} pixels; it must have "
            f"shape {draws.shape[1:]} and at least one."
        )
    centred = draws.astype(np.float64) - draws.mean(axis=0, dtype=np.float64)
    inside = centred[:, region]
    found = components_from_gram(inside @ inside.T, count)
    coefficients = inside @ (found.weights @ inside).T
    power = (coefficients**2).sum(axis=0)
    slopes = np.tensordot(coefficients / np.where(power > 0, power, 1), centred, (0, 0))
    std = np.sqrt(found.variance)
    total = (centred**2).sum(axis=0)
    columns = (count,) + (1,) * region.ndim
    square = slopes**2 * power.reshape(columns)  # r^2 times the variance of the pixel
    chance = np.divide(total - square, (len(draws) - 2) * square, where=square > 0,
                       out=np.full_like(square, np.inf))  # fmt: skip
    slopes = slopes * np.where(region, 1.0, np.clip(1 - chance, 0, 1))
    scale = np.where(std > 0, std, 1)
    return RegionComponents(
        steps=slopes * std.reshape(columns),
        std=std,
        explained=found.variance / max(found.total, np.finfo(float).tiny),
        coefficients=coefficients / scale,
        region=region,
    )
