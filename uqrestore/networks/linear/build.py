"""Linear estimators that a network may start from, by its options."""

from uqrestore.networks.linear.classes import ClasswiseEstimator
from uqrestore.networks.linear.low_rank import LowRankEstimator
from uqrestore.networks.linear.spectral import SpectralEstimator
from uqrestore.operators.base import Shape

IN_STATE = "linear_guess."
"""Part of the names of its tensors in a state dict: fitted to images, not trained."""

LinearEstimator = SpectralEstimator | LowRankEstimator | ClasswiseEstimator


def make_estimator(
    image_shape: Shape, steps: int, rank: int, classes: int
) -> LinearEstimator | None:
    """Return the estimator of so many conjugate gradient steps; None for no steps.

    Args:
        image_shape: ``(channel, row, column)``.
        steps: Conjugate gradient steps, ``guess`` of a network.
        rank: Principal directions of the model, ``guess_rank``; 0 for a spectrum alone.
        classes: Classes of images with a model of their own, ``guess_classes``; 0 for one model.

    Raises:
        ValueError: If there are directions or classes but no steps, or classes of no directions.
    """
    if not steps and (rank or classes):
        raise ValueError(
            f"guess is 0 but guess_rank is {rank} and guess_classes {classes}, which describe the "
            "model of that estimate; give guess its number of conjugate gradient steps, such as "
            "18, or leave all of them out."
        )
    if classes and not rank:
        raise ValueError(
            f"guess_classes is {classes} but guess_rank is 0: classes differ in the covariance of "
            "the principal directions; give guess_rank, such as 256."
        )
    if classes:
        return ClasswiseEstimator(image_shape, steps, rank, classes)
    if rank:
        return LowRankEstimator(image_shape, steps, rank)
    return SpectralEstimator(image_shape, steps) if steps else None
