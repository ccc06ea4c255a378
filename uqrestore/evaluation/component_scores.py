"""Whether predicted components and their standard deviations are right, over scenes."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from uqrestore.evaluation.bootstrap import Estimate, mean_over_scenes, ratio_over_scenes
from uqrestore.evaluation.component_box import ComponentPredictions


@dataclass(frozen=True, eq=False)
class ComponentScores:
    """How components fare against the truth.

    Attributes:
        mean: Mean of ``z = v (x - m) / std`` of each component; 0 is right.
        variance: Mean of ``z^2``; 1 is right, above 1 the std is too short.
        largest_correlation: Largest correlation of two components' ``z`` over scenes, absolute.
        correlation_limit: What 95 % of uncorrelated pairs stay below.
        captured: Share of the squared error inside the first 1, 2, ... components.
        residual: Mean norm of the error outside of all components over its whole norm.
    """

    mean: tuple[Estimate, ...]
    variance: tuple[Estimate, ...]
    largest_correlation: float
    correlation_limit: float
    captured: tuple[Estimate, ...]
    residual: Estimate


def score_components(components: ComponentPredictions) -> ComponentScores:
    """Compare errors along the components with the predicted standard deviations.

    The directions must come from the measurement alone (NPPC), or from other draws than those
    of the centre and the std: directions that a few draws prefer by chance look too wide.

    Raises:
        ValueError: If a scene has no error at all.
    """
    z = components.z
    error = np.square(components.truth - components.centre).reshape(len(z), -1).sum(1)
    if not (error > 0).all():
        raise ValueError("a scene has no error at all; is the centre the truth itself?")
    along = np.square(z * components.std)
    outside = components.outside * components.residual
    pairs = np.corrcoef(z.T) - np.eye(z.shape[1]) if z.shape[1] > 1 else np.zeros((1, 1))
    return ComponentScores(
        mean=tuple(mean_over_scenes(column) for column in z.T),
        variance=tuple(mean_over_scenes(np.square(column)) for column in z.T),
        largest_correlation=float(np.abs(pairs).max()),
        correlation_limit=float(1.96 / np.sqrt(len(z))),
        captured=tuple(ratio_over_scenes(part, error) for part in np.cumsum(along, axis=1).T),
        residual=ratio_over_scenes(outside, np.sqrt(error)),
    )


def orthonormal(
    directions: Float[np.ndarray, "scene component *image"],
) -> Float[np.ndarray, "scene component *image"]:
    """Return unit directions, made orthogonal in the order in which they come."""
    rows = directions.reshape(*directions.shape[:2], -1).astype(np.float64)
    q, r = np.linalg.qr(rows.swapaxes(-1, -2))
    signs = np.sign(np.diagonal(r, axis1=-2, axis2=-1))
    return (q * signs[..., None, :]).swapaxes(-1, -2).reshape(directions.shape)
