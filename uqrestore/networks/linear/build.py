"""The linear estimate that a network may start from, by its options."""

from uqrestore.networks.linear.classes import ClasswiseEstimator
from uqrestore.networks.linear.low_rank import LowRankEstimator
from uqrestore.networks.linear.spectral import SpectralEstimator
from uqrestore.operators.base import Shape

IN_STATE = "linear_guess."
"""In the names of its tensors among those of a network: fitted to images, not trained."""

Guess = SpectralEstimator | LowRankEstimator | ClasswiseEstimator


def make_estimator(image_shape: Shape, steps: int, rank: int, classes: int) -> Guess | None:
    """Return the guess of so many conjugate gradient steps; none for none.

    Args:
        image_shape: ``(channel, row, column)``.
        steps: ``guess`` of a network.
        rank: ``guess_rank``, the widest directions of the law; 0: its forerunner without any.
        classes: ``guess_classes``, each with a law of its own; 0: one law.

    Raises:
        ValueError: If there are directions or classes but no steps, or classes of no directions.
    """
    if not steps and (rank or classes):
        raise ValueError(
            f"guess is 0 but guess_rank is {rank} and guess_classes {classes}, which say how the "
            "guess is made; give guess its steps, such as 18, or leave all of them out."
        )
    if classes and not rank:
        raise ValueError(
            f"guess_classes is {classes} but guess_rank is 0: classes differ in the covariance of "
            "the widest directions; give guess_rank, such as 256."
        )
    if classes:
        return ClasswiseEstimator(image_shape, steps, rank, classes)
    if rank:
        return LowRankEstimator(image_shape, steps, rank)
    return SpectralEstimator(image_shape, steps) if steps else None
