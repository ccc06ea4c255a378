"""Options of the linear estimate that a network starts from, and its estimator."""

from dataclasses import dataclass

from uqrestore.networks.linear.classes import ClasswiseEstimator
from uqrestore.networks.linear.low_rank import LowRankEstimator
from uqrestore.networks.linear.spectral import SpectralEstimator
from uqrestore.networks.linear.stationary import StationaryEstimator
from uqrestore.operators.base import Shape

IN_STATE = "linear_guess."
"""Part of the names of its tensors in a state dict: fitted to images, not trained."""

SizedEstimator = SpectralEstimator | LowRankEstimator | ClasswiseEstimator
LinearEstimator = SizedEstimator | StationaryEstimator


@dataclass(frozen=True)
class EstimateOptions:
    """Linear estimate of a conditional network, by the flat options of cards and pipelines.

    Args:
        guess: Conjugate gradient steps; 0 for no linear estimate.
        guess_rank: Principal directions of the Gaussian model; 0 for a spectrum alone.
        guess_classes: Classes of images with a model of their own; 0 for one model.
        pass_guess: Whether the estimate is added to the output as well.
        components: Principal components that the network puts out.
        component_rounds: Rounds of :func:`uqrestore.networks.linear.components.linear_components`
            for the components that the network refines; 0 for none.
        any_size: Whether images come in any size; the model is then the same everywhere.

    Raises:
        ValueError: If an option lacks another one that it depends on.
    """

    guess: int = 0
    guess_rank: int = 0
    guess_classes: int = 0
    pass_guess: bool = False
    components: int = 0
    component_rounds: int = 0
    any_size: bool = False

    def __post_init__(self) -> None:
        rank, classes = self.guess_rank, self.guess_classes
        if not self.guess and (rank or classes):
            raise ValueError(
                f"guess is 0 but guess_rank is {rank} and guess_classes {classes}, which describe "
                "the model of that estimate; give guess its number of conjugate gradient steps, "
                "such as 18, or leave all of them out."
            )
        if classes and not rank:
            raise ValueError(
                f"guess_classes is {classes} but guess_rank is 0: classes differ in the covariance "
                "of the principal directions; give guess_rank, such as 256."
            )
        if self.pass_guess and not self.guess:
            raise ValueError(
                "guess is 0 but pass_guess adds it to the output; give guess its number of "
                "conjugate gradient steps, such as 18."
            )
        if self.any_size and (rank or self.component_rounds):
            raise ValueError(
                f"any_size is on but guess_rank is {rank} and component_rounds "
                f"{self.component_rounds}, which describe images of one size; leave them 0."
            )
        if self.component_rounds and not (self.guess and self.components):
            raise ValueError(
                f"component_rounds is {self.component_rounds} but guess is {self.guess} and "
                f"components {self.components}; components of the linear model need both; give "
                "them, or leave component_rounds 0."
            )

    def make(self, image_shape: Shape) -> LinearEstimator | None:
        """Return the estimator, not fitted yet; None for no steps."""
        if self.any_size:
            return StationaryEstimator(self.guess) if self.guess else None
        if self.guess_classes:
            return ClasswiseEstimator(image_shape, self.guess, self.guess_rank, self.guess_classes)
        if self.guess_rank:
            return LowRankEstimator(image_shape, self.guess, self.guess_rank)
        return SpectralEstimator(image_shape, self.guess) if self.guess else None
