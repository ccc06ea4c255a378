"""Distances between sets of images under a fixed feature map; blind to the spread of draws."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from uqrestore.metrics._checks import check_images
from uqrestore.metrics.features import Features

Square = Float[np.ndarray, "feature feature"]


@dataclass(frozen=True)
class FrechetDistance:
    """Frechet distance of two Gaussian fits, beside the value for equal distributions.

    Attributes:
        value: The distance, too large by about ``floor``.
        floor: Expected value for equal distributions with these numbers of images and Gaussian
            features.
        images: Numbers of images.
        features: Number of features.
        extractor: Name of the feature map.
    """

    value: float
    floor: float
    images: tuple[int, int]
    features: int
    extractor: str

    @property
    def enough_images(self) -> bool:
        """Whether there are 50 images per feature; below, quote the kernel distance."""
        return min(self.images) >= 50 * self.features


def frechet_distance(first: Features, second: Features) -> FrechetDistance:
    r"""Return :math:`\|\mu_1 - \mu_2\|^2 + \mathrm{tr}(S_1 + S_2 - 2 (S_1 S_2)^{1/2})`.

    Raises:
        ValueError: If the extractors differ, there are not more images than features, or a
            feature is NaN.

    References:
        Heusel et al., "GANs Trained by a Two Time-Scale Update Rule", NeurIPS 2017, eq. 6.
        arXiv:1706.08500. Floor: see ``docs/maths-calibration.md``.
    """
    _check_pair(first, second)
    count = first.values.shape[1]
    if min(len(first), len(second)) <= count:
        raise ValueError(
            f"the covariance of {count} features needs more than {count} images of each kind, "
            f"got {len(first)} and {len(second)}; use kernel_distance or fewer features."
        )
    a, b = _covariance(first.values), _covariance(second.values)
    root = _root(a)
    overlap = np.sqrt(np.linalg.eigvalsh(root @ b @ root).clip(min=0)).sum()
    shift = np.square(first.values.mean(0) - second.values.mean(0)).sum()
    value = shift + np.trace(a) + np.trace(b) - 2 * overlap
    weight = 1 / len(first) + 1 / len(second)
    eigenvalues = np.linalg.eigvalsh((a + b) / 2).clip(min=1e-300)
    product = np.outer(eigenvalues, eigenvalues) / np.add.outer(eigenvalues, eigenvalues)
    floor = weight * (eigenvalues.sum() + (product.sum() + np.trace(product)) / 2)
    return FrechetDistance(
        float(max(value, 0.0)), float(floor), (len(first), len(second)), count, first.extractor
    )


@dataclass(frozen=True)
class KernelDistance:
    """Kernel distance: unbiased, so it is about 0, or just below, for equal distributions.

    Attributes:
        value: The squared maximum mean discrepancy.
        p_value: Permutation p-value of equal distributions.
        images: Numbers of images.
        extractor: Name of the feature map.
    """

    value: float
    p_value: float
    images: tuple[int, int]
    extractor: str


def kernel_distance(
    first: Features, second: Features, *, permutations: int = 499, seed: int = 0
) -> KernelDistance:
    r"""Return the unbiased squared MMD with the kernel :math:`(1 + a^T b / D)^3`.

    Args:
        first: Features of independent images; one draw per scene, else the p-value is wrong.
        second: Features of the others.
        permutations: Of the test.
        seed: Of the permutations.

    Raises:
        ValueError: If the extractors differ, there are fewer than two images of a kind, or a
            feature is NaN.

    References:
        Binkowski et al., "Demystifying MMD GANs", ICLR 2018, eq. 4 (KID). arXiv:1801.01401
    """
    _check_pair(first, second)
    n, m = len(first), len(second)
    if min(n, m) < 2:
        raise ValueError(f"the kernel distance needs 2 images of each kind, got {n} and {m}.")
    rows = np.concatenate([first.values, second.values])
    kernel = (1 + rows @ rows.T / rows.shape[1]) ** 3
    np.fill_diagonal(kernel, 0)

    def discrepancy(chosen: Float[np.ndarray, "repeat image"]) -> Float[np.ndarray, " repeat"]:
        other = 1 - chosen
        inside = ((chosen @ kernel) * chosen).sum(1) / (n * (n - 1))
        outside = ((other @ kernel) * other).sum(1) / (m * (m - 1))
        across = ((chosen @ kernel) * other).sum(1) / (n * m)
        return inside + outside - 2 * across

    labels = np.concatenate([np.ones(n), np.zeros(m)])
    rng = np.random.default_rng(seed)
    shuffled = np.stack([rng.permutation(labels) for _ in range(permutations)])
    value = discrepancy(labels[None])[0]
    above = int((discrepancy(shuffled) >= value - 1e-12 * abs(value)).sum())
    p_value = (1 + above) / (1 + permutations)
    return KernelDistance(float(value), p_value, (n, m), first.extractor)


def _check_pair(first: Features, second: Features) -> None:
    if first.extractor != second.extractor or first.values.shape[1] != second.values.shape[1]:
        raise ValueError(
            f"features of different extractors cannot be compared: {first.extractor!r} "
            f"({first.values.shape[1]}) and {second.extractor!r} ({second.values.shape[1]})."
        )
    check_images("the features", first.values)
    check_images("the features", second.values)


def _covariance(values: Float[np.ndarray, "image feature"]) -> Square:
    return np.atleast_2d(np.cov(values, rowvar=False))


def _root(matrix: Square) -> Square:
    values, vectors = np.linalg.eigh(matrix)
    return vectors * np.sqrt(values.clip(min=0)) @ vectors.T
