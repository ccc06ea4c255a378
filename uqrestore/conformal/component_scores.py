"""Whether predicted components and their standard deviations are right, over scenes."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from uqrestore.conformal.component_box import ComponentPredictions
from uqrestore.diagnostics.bootstrap import Estimate, mean_over_scenes, ratio_over_scenes
from uqrestore.problem import Problem


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
        log_score: Mean negative log density of the errors along the components, were they Gaussian
            with the predicted std; lower is better, and lowest for the right std.
    """

    mean: tuple[Estimate, ...]
    variance: tuple[Estimate, ...]
    largest_correlation: float
    correlation_limit: float
    captured: tuple[Estimate, ...]
    residual: Estimate
    log_score: Estimate


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
    surprise = np.square(z) / 2 + np.log(components.std) + np.log(2 * np.pi) / 2
    pairs = np.corrcoef(z.T) - np.eye(z.shape[1]) if z.shape[1] > 1 else np.zeros((1, 1))
    return ComponentScores(
        mean=tuple(mean_over_scenes(column) for column in z.T),
        variance=tuple(mean_over_scenes(np.square(column)) for column in z.T),
        largest_correlation=float(np.abs(pairs).max()),
        correlation_limit=float(1.96 / np.sqrt(len(z))),
        captured=tuple(ratio_over_scenes(part, error) for part in np.cumsum(along, axis=1).T),
        residual=ratio_over_scenes(outside, np.sqrt(error)),
        log_score=mean_over_scenes(surprise.sum(1)),
    )


def measured_energy(
    directions: Float[np.ndarray, "scene component *image"],
    std: Float[np.ndarray, "scene component"],
    problem: Problem,
) -> Float[np.ndarray, "scene component"]:
    r"""Return :math:`\sigma_k^2 \|A v_k\|^2 / s^2`: how much of a component the data contradict.

    Where the prior is Gaussian, a right component has at most 1: the inverse of the posterior
    covariance is at least :math:`A^T A / s^2`. Components must live where the data are weak.

    Args:
        directions: Components of unit norm.
        std: Standard deviation along each.
        problem: One noisy measurement per scene.

    Raises:
        ValueError: If the measurements have no noise.
    """
    if not (torch.as_tensor(problem.noise_std) > 0).all():
        raise ValueError("measured_energy compares with the noise but noise_std is 0.")
    rows = torch.from_numpy(np.moveaxis(directions, 1, 0).astype(np.float64))
    seen = problem.operator(rows) / problem.noise_std_like(problem.y.double())
    return seen.square().flatten(2).sum(-1).T.numpy() * std**2


def orthonormal(
    directions: Float[np.ndarray, "scene component *image"],
) -> Float[np.ndarray, "scene component *image"]:
    """Return unit directions, made orthogonal in the order in which they come."""
    rows = directions.reshape(*directions.shape[:2], -1).astype(np.float64)
    q, r = np.linalg.qr(rows.swapaxes(-1, -2))
    signs = np.sign(np.diagonal(r, axis1=-2, axis2=-1))
    return (q * signs[..., None, :]).swapaxes(-1, -2).reshape(directions.shape)
