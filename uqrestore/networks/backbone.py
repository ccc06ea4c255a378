"""Interface of a network that can be trained, wrapped into a denoiser and named by a card."""

from abc import ABC, abstractmethod
from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor, nn

from uqrestore.networks.linear.build import LinearEstimator
from uqrestore.networks.measurement import Measurement
from uqrestore.problem import Problem


class Backbone(nn.Module, ABC):
    """A network from noisy images and their noise level to images.

    A subclass sets ``image_shape`` and defines :meth:`forward`; the other members have the values
    of an unconditional network without labels.

    Attributes:
        image_shape: ``(channel, row, column)`` of the images.
        conditional: Whether the network takes a measurement.
        components: Principal components of the posterior that it puts out after the image, each of
            the channels of the image.
        labels: Number of class labels; 0 for none.
        takes_augmentation: Whether the parameters of the augmentation are an input, nine numbers
            that are 0 for an image as it was.
        inverts: Whether a conditional network is given ``A^+ y``, which may take many iterations,
            rather than ``A^T y``.
        any_size: Whether it makes images of any size; ``image_shape`` is then one of them.
    """

    image_shape: tuple[int, int, int]
    conditional: bool = False
    components: int = 0
    labels: int = 0
    takes_augmentation: bool = False
    inverts: bool = True
    any_size: bool = False

    @property
    def linear_estimate(self) -> LinearEstimator | None:
        """Linear estimate that is an input of a conditional network; fitted, not trained."""
        return None

    @property
    def linear_components(self) -> Callable[[Problem], Tensor] | None:
        """Function of a problem that returns the components which a network refines."""
        return None

    @abstractmethod
    def forward(
        self,
        x: Float[Tensor, "batch channel row column"],
        c_noise: Float[Tensor, " batch"],
        label: Tensor | None = None,
        measurement: Measurement | None = None,
        *,
        augment: Tensor | None = None,
    ) -> Float[Tensor, "batch out row column"]:
        """Run the network.

        Args:
            x: Noisy images, scaled to unit variance.
            c_noise: Scaled noise level, ``ln(sigma) / 4``.
            label: Class index; None, or the number of labels, for no class.
            measurement: Conditioning inputs; None runs the network as a prior.
            augment: Parameters of the augmentation of training images; None for none.

        Returns:
            The image of the preconditioned denoiser, and after it its components, if any.
        """
