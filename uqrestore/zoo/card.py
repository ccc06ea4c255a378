"""Card of a prior: its network, the images it was trained on, and how it was trained."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from uqrestore.diffusion.posterior_mean import PURE_NOISE_SIGMA
from uqrestore.diffusion.preconditioning import Preconditioned
from uqrestore.scans import FixedScale, TrainingDomain

Count = Annotated[int, Field(ge=1)]
Length = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Part(BaseModel):
    """A frozen part of a card; fields that this version does not know are kept."""

    model_config = ConfigDict(extra="allow", frozen=True)

    @property
    def extra(self) -> Mapping[str, Any]:
        """Fields that this version does not know."""
        return self.__pydantic_extra__ or {}


class NetworkCard(_Part):
    """Name of a backbone and, as further fields, its keyword options."""

    name: str


class HeightClasses(_Part):
    """Number of classes that a network has for the height of a slice in the head."""

    height: Count


class ComponentsCard(_Part):
    """Training of the principal components: on the error of the own mean or of a frozen one."""

    base: Literal["own", "frozen"] = "own"


class LossCard(_Part):
    """Loss of the training."""

    pure_noise_sigma: Length = PURE_NOISE_SIGMA
    components: ComponentsCard = ComponentsCard()


class ProblemCard(_Part):
    """Random operators of the training of a conditional network, by name."""

    families: Mapping[str, Any] = Field(default_factory=dict)


class TrainingCard(_Part):
    """Configuration of the training run, as far as a restoration depends on it."""

    loss: LossCard = LossCard()
    problem: ProblemCard | None = None
    samples: int | None = None


class PriorCard(_Part):
    """What a prior is, what it was trained on and what it is for.

    Attributes:
        version: Version of the layout of the card, the key ``schema``.
        name: Name of the prior.
        kind: ``network`` or ``low_rank_gaussian``.
        title: One line for lists.
        sha256: Checksum of the file of weights.
        in_shape: ``(channel, row, column)`` of one image.
        network: Backbone and its options; None for a Gaussian prior.
        sigma_data: Data scale of the preconditioning, in network units.
        preconditioning: What the network puts out.
        voxel_size: In-plane size of a pixel in mm, one number or one a side.
        voxel_range: Smallest and largest in-plane size of a pixel in mm, for a prior of many sizes.
        range: Calibrated units of the images, such as HU; None scales every scan by itself.
        windows_of: ``(row, column)`` of the slices that the training windows were cut from; None
            for a prior of whole slices.
        classes: Classes by the height of a slice, for networks that have them.
        contrast: Such as ``T1w``; ``any`` where grey scales were random; None where the card does
            not say.
        skull_stripped: Whether the training images hold the brain alone; None where the card does
            not say.
        planes: Planes of the slices; None, as for images cut by the package, are axial ones.
        data: Name, number of slices, share and licence of each training set.
        known_limits: What the prior is not for.
        licence: Of the weights.
        errors: Tables of the error model of the denoiser
            (:class:`uqrestore.diffusion.error_model.ErrorModel`); None where it was not measured.
        bf16: Whether the network may be computed in bfloat16 where no derivative is wanted.
        training: Configuration of the training run.
    """

    version: int = Field(default=1, alias="schema")
    name: str = "a prior"
    kind: str = "network"
    title: str = ""
    sha256: str | None = None
    in_shape: tuple[Count, ...] | None = None
    network: NetworkCard | None = None
    sigma_data: Length | None = None
    preconditioning: Preconditioned = "edm"
    voxel_size: Length | tuple[Length, ...] | None = None
    voxel_range: tuple[Length, Length] | None = None
    range: FixedScale | None = None
    windows_of: tuple[Count, Count] | None = None
    classes: HeightClasses | None = None
    contrast: str | None = None
    skull_stripped: bool | None = None
    planes: tuple[Literal["axial", "sagittal", "coronal"], ...] | None = None
    data: tuple[Mapping[str, Any], ...] = ()
    known_limits: str = ""
    licence: str = ""
    errors: Mapping[str, Any] | None = None
    bf16: bool = False
    training: TrainingCard = TrainingCard()

    @property
    def pixel_mm(self) -> float | None:
        """Side of a pixel in mm; None where the card does not say.

        Raises:
            ValueError: If the pixels are not square; scans are only resampled to square pixels.
        """
        if self.voxel_size is None:
            return None
        size = self.voxel_size
        sides = set(size[:2] if isinstance(size, tuple) else (size,))
        if len(sides) != 1:
            raise ValueError(f"prior {self.name}: its pixels are not square ({size} mm).")
        return sides.pop()

    @property
    def of_windows(self) -> bool:
        """Whether the training images are windows cut anywhere, so that slices may be larger."""
        return self.windows_of is not None

    @property
    def domain(self) -> TrainingDomain:
        """Kind of scan that the prior was trained on."""
        known = TrainingDomain(
            self.voxel_size, self.contrast, self.skull_stripped, voxel_range=self.voxel_range
        )
        return known if self.planes is None else replace(known, planes=self.planes)

    @property
    def operator_families(self) -> tuple[str, ...]:
        """Random operators that a conditional network was trained on, by name."""
        problem = self.training.problem
        return () if problem is None else tuple(problem.families)
