"""What to rank truth and draws by: each statistic sees faults that others miss."""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float

from uqrestore.diagnostics.scenes import Scenes
from uqrestore.problem import Problem

Values = Float[np.ndarray, "candidate scene"]
Images = Float[np.ndarray, "candidate scene *image"]

# A noise-free measurement is explained once the misfit is below this share of it: less is
# rounding, and would rank the arithmetic, not the sampler.
EXPLAINED = 1e-4


@dataclass(frozen=True, eq=False)
class Pool:
    """The truth and the draws of each scene, as candidates that a statistic must treat identically.

    Anything computed from *all* candidates of a scene (their mean, their leading component) is
    blind to which one is the truth, so ranks stay exactly uniform without setting draws aside.

    Attributes:
        images: Candidates, the truth first.
        problem: The measurements, one per scene, if there are any.
        seed: Where random references come from.
    """

    images: Images
    problem: Problem | None = None
    seed: int = 0

    @classmethod
    def of(cls, scenes: Scenes, *, seed: int = 0) -> "Pool":
        """Put the truths in front of the draws."""
        images = np.concatenate([scenes.truth[None], scenes.draws])
        return cls(images, scenes.problem, seed)

    @functools.cached_property
    def deviations(self) -> Images:
        """Candidates minus the mean of all of the scene, float64.

        The distance to the mean of the *others* is the same up to the factor ``(L + 1) / L``.
        """
        return self.images - self.images.mean(0, dtype=np.float64)

    @functools.cached_property
    def rows(self) -> Float[np.ndarray, "candidate scene pixel"]:
        """Deviations as rows of pixels."""
        return self.deviations.reshape(*self.images.shape[:2], -1)

    def require_problem(self, name: str) -> Problem:
        """Return the measurements.

        Raises:
            ValueError: If there are none.
        """
        if self.problem is None:
            raise ValueError(f"the statistic {name!r} needs the measurements; give a problem.")
        return self.problem


Statistic = Callable[[Pool], Values]


def region(mask: Bool[np.ndarray, "*image"] | None = None) -> Statistic:
    """Mean intensity of a region, the whole image if none is given. One pixel: PIT, classic SBC.

    Raises:
        ValueError: If the region is empty or does not fit the images.
    """
    if mask is not None and not mask.any():
        raise ValueError("the region is empty; a mean needs at least one pixel.")

    def values(pool: Pool) -> Values:
        image = pool.images.shape[2:]
        if mask is not None and mask.shape != image:
            raise ValueError(f"the region has shape {mask.shape} but images are {image}.")
        inside = np.ones(image, bool) if mask is None else mask
        return pool.images[:, :, inside].mean(-1, dtype=np.float64)

    return values


def data_fit(pool: Pool) -> Values:
    r"""Squared misfit :math:`\|A x - y\|^2`. Draws that ignore the measurement cannot pass it."""
    problem = pool.require_problem("data fit")
    operator = problem.operator
    y = problem.y.double()
    dims = tuple(range(-len(operator.out_shape), 0))
    values = np.empty(pool.images.shape[:2])
    for candidate, images in enumerate(pool.images):
        x = torch.from_numpy(np.ascontiguousarray(images, np.float64))
        values[candidate] = (operator.forward(x) - y).square().sum(dims).numpy()
    size = y.square().sum(dims).numpy()
    noise_free = np.broadcast_to(torch.as_tensor(problem.noise_std).cpu().numpy() == 0, size.shape)
    return np.where(noise_free & (values <= EXPLAINED**2 * size), 0.0, values)


def component(pool: Pool) -> Values:
    """Projection on the leading principal component of truth and draws together.

    Each direction is signed so that its largest entry is positive.
    """
    values = np.empty(pool.rows.shape[:2])
    for scene in range(pool.rows.shape[1]):
        rows = pool.rows[:, scene]
        if rows.shape[1] <= len(rows):
            direction = np.linalg.eigh(rows.T @ rows)[1][:, -1]
        else:
            direction = rows.T @ np.linalg.eigh(rows @ rows.T)[1][:, -1]
            direction /= np.linalg.norm(direction) or 1
        values[:, scene] = rows @ direction * np.sign(direction[np.abs(direction).argmax()])
    return values


def along(directions: Float[np.ndarray, " scene *image"]) -> Statistic:
    """Projection on given directions, which must come from the measurement alone (as NPPC's do).

    Directions from the very draws that are judged make right draws look too narrow; see
    :func:`component`.
    """

    def values(pool: Pool) -> Values:
        if directions.shape != pool.images.shape[1:]:
            raise ValueError(
                f"directions are one image per scene, {pool.images.shape[1:]}, but have shape "
                f"{directions.shape}."
            )
        flat = directions.reshape(len(directions), -1)
        return np.einsum("csp,sp->cs", pool.rows, flat)

    return values


def spread(pool: Pool) -> Values:
    """Squared distance to the mean of the others."""
    return np.square(pool.rows).sum(-1)


def energy(pool: Pool) -> Values:
    """Mean distance to the others."""
    values = np.empty(pool.rows.shape[:2])
    for scene in range(pool.rows.shape[1]):
        rows = pool.rows[:, scene]
        gram = rows @ rows.T
        square = np.diag(gram)
        distances = np.sqrt(np.maximum(square[:, None] + square - 2 * gram, 0))
        np.fill_diagonal(distances, 0)
        values[:, scene] = distances.sum(1) / (len(rows) - 1)
    return values


def reference(pool: Pool) -> Values:
    r"""Squared distance to a random point near the linear estimate of the scene: TARP.

    The point is :math:`A^T (A A^T + s^2)^{-1} y` plus white noise as large as the candidates'
    own deviations. References that know nothing of the measurement let prior draws pass.

    References:
        Lemos et al., "Sampling-Based Accuracy Testing of Posterior Estimators", ICML 2023,
        theorem 3. arXiv:2302.03026
    """
    problem = pool.require_problem("reference")
    noise_std = float(torch.as_tensor(problem.noise_std).double().square().mean().sqrt())
    centre, _ = problem.operator.solve(problem.y.double(), noise_std=noise_std or None)
    scale = np.sqrt(np.square(pool.rows).mean((0, 2)))
    white = np.random.default_rng([pool.seed, 1]).standard_normal(pool.rows.shape[1:])
    points = centre.numpy().reshape(white.shape) + scale[:, None] * white
    flat = pool.images.reshape(pool.rows.shape)
    return np.stack([np.square(images - points).sum(-1) for images in flat])


def roughness(pool: Pool) -> Values:
    """Energy of the neighbour differences of a deviation, as a share of its own energy.

    Independent of the size of the deviations: measures only whether neighbouring pixels deviate
    together.
    """
    values = np.zeros(pool.images.shape[:2])
    for axis in _space(pool):
        steps = np.diff(pool.deviations, axis=axis)
        values += np.square(steps).reshape(*values.shape, -1).sum(-1)
    size = np.square(pool.rows).sum(-1)
    return values / np.where(size > 0, size, 1)


def detail(pool: Pool) -> Values:
    """Energy of an image above half the band (a quarter of a cycle per pixel)."""
    axes = _space(pool)
    grids = [np.fft.fftfreq(pool.images.shape[axis]) for axis in axes]
    radius = np.sqrt(sum(np.square(f) for f in np.meshgrid(*grids, indexing="ij")))
    fine = radius > 0.25
    values = np.empty(pool.images.shape[:2])
    for candidate, images in enumerate(pool.images):
        spectrum = np.fft.fftn(images, axes=[axis - 1 for axis in axes])
        values[candidate] = (
            np.square(np.abs(spectrum))
            .reshape(len(images), -1, fine.size)[..., fine.ravel()]
            .sum((-2, -1))
        )
    return values


def density(log_prob: Callable[[Images], Values]) -> Statistic:
    """Log density of the claimed posterior, where there is one: coverage of its densest regions.

    Args:
        log_prob: Log density of images ``(candidate, scene, *image)`` given each measurement.
    """
    return lambda pool: log_prob(pool.images)


def _space(pool: Pool) -> tuple[int, ...]:
    """Axes of space: all of the image's but the channel."""
    axes = tuple(range(3, pool.images.ndim))
    if not axes:
        raise ValueError(
            f"texture needs images (channel, *space) but these have shape {pool.images.shape[2:]}."
        )
    return axes
