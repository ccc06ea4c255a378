"""Configuration of a training run; a training pipeline holds these fields."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, model_validator

from uqrestore._shared.named import name_by_import
from uqrestore.training.data_config import Count, DataConfig, Part, Positive, Share
from uqrestore.training.loss_config import LossConfig


class NetworkConfig(Part):
    """A backbone of ``uqrestore.networks.BACKBONES`` and its keyword options.

    ``python: package.module:name`` instead of the name takes a backbone of the user.
    """

    model_config = ConfigDict(extra="allow", frozen=True)
    name: str = "hdit"

    @model_validator(mode="before")
    @classmethod
    def _by_import(cls, raw: object) -> object:
        return name_by_import(raw, "name") if isinstance(raw, dict) else raw

    @property
    def options(self) -> dict[str, Any]:
        """Everything but the name."""
        return dict(self.__pydantic_extra__ or {})


class OptimiserConfig(Part):
    """Adam, and how its step size moves (Karras et al., CVPR 2024, arXiv:2312.02696).

    Args:
        lr: Largest step size.
        warmup: Samples over which the step size rises from 0.
        decay_from: Samples after which it falls as one over the square root of the samples.
        clip: Largest norm of the gradient.
    """

    lr: Positive = 1e-3
    warmup: Annotated[int, Field(ge=0)] = 20_000
    decay_from: Count = 100_000
    clip: Positive = 1.0

    def rate(self, seen: int) -> float:
        """Step size after ``seen`` samples."""
        ramp = min(seen / self.warmup, 1.0) if self.warmup else 1.0
        return self.lr * ramp / max(seen / self.decay_from, 1.0) ** 0.5


class PowerEmaConfig(Part):
    """Snapshots from which an average of any width can be made after the training.

    Every snapshot is two files of the size of the weights in half precision, one a width
    (:mod:`uqrestore.training.power_ema`); ``state.safetensors`` grows by both averages.

    Args:
        widths: Relative widths ``sigma_rel`` of the averages that are kept while training.
        every: Samples between two snapshots.
    """

    widths: tuple[Positive, Positive] = (0.05, 0.1)
    every: Count = 50_000


class FamilyConfig(Part):
    """Share of one random operator in a training, and beside it the options of that operator."""

    model_config = ConfigDict(extra="allow", frozen=True)
    share: Positive

    @property
    def options(self) -> dict[str, Any]:
        """Everything but the share."""
        return dict(self.__pydantic_extra__ or {})


class DataFacts(Part):
    """One data set of a training, for the card.

    Args:
        name: Name and source.
        licence: Licence of the images.
        slices: Number of slices.
        share: Share of the training images.
    """

    name: str
    licence: str
    slices: Annotated[int, Field(ge=1)] | None = None
    share: Share | None = None


class CardConfig(Part):
    """Facts for the card of the prior that the run cannot know.

    Args:
        contrast: Such as ``T1w``, and scans of another contrast are out of scope; ``any`` where
            grey scales are random.
        voxel_range: Smallest and largest size of a pixel in mm, where data are of many sizes.
        skull_stripped: Whether the images hold the brain alone.
        planes: Planes of the slices: ``axial``, ``sagittal``, ``coronal``; axial where not given.
        units: What the numbers of an image mean.
        data: Training sets and their licences.
        validation_data: What was validated on.
        licence: Of the weights.
        known_limits: What the prior is not for.
    """

    contrast: str | None = None
    voxel_range: tuple[float, float] | None = None
    skull_stripped: bool | None = None
    planes: tuple[Literal["axial", "sagittal", "coronal"], ...] | None = None
    units: str | None = None
    data: tuple[DataFacts, ...] = ()
    validation_data: str | None = None
    licence: str | None = None
    known_limits: str | None = None


class ProblemConfig(Part):
    """The measurements that a conditional network is trained on.

    Args:
        families: Random operators of ``uqrestore.operators.random.mixture`` by name; every training
            image gets an operator of its own. ``nothing`` is the unconditional share.
        noise_std: Range of the measurement noise, in network units; drawn per image, evenly.
        noise_free: Share of images measured without noise.
    """

    families: dict[str, FamilyConfig]
    noise_std: tuple[float, float] = (0.0, 0.0)
    noise_free: Share = 1.0


class RestorationConfig(NetworkConfig):
    """A restoration method of ``uqrestore.methods.METHODS`` and its options."""

    name: str = "moment_matching"


class SimulateConfig(NetworkConfig):
    """A study of learning from measurements: images are measured once, then forgotten.

    Args:
        name: Random operator of ``uqrestore.operators.random.mixture``; its options stand beside
            it.
        noise_std: Measurement noise in network units; above 0.
        count: Measurements.
    """

    name: str = "cartesian_kspace"
    noise_std: Positive
    count: Count


class MeasurementsConfig(Part):
    """Learning from measurements, without ground truth.

    See :func:`uqrestore.training.measurements.learn_from_measurements`.

    Args:
        scans: Patterns of raw scans below the folder; the run then begins with the prior that
            ``start`` names.
        simulate: Instead of scans, measurements of the images of ``data``: how well a prior would
            do without them.
        rounds: How often images are drawn and learned from.
        method: How they are drawn.
        gaussian_rounds: Rounds for the Gaussian prior that is the first.
        rank: Principal directions of that prior.
    """

    scans: tuple[str, ...] = ()
    simulate: SimulateConfig | None = None
    rounds: Count = 4
    method: RestorationConfig = RestorationConfig()
    gaussian_rounds: Count = 20
    rank: Count = 100

    @model_validator(mode="after")
    def _from_one_place(self) -> "MeasurementsConfig":
        if self.scans and self.simulate is not None:
            raise ValueError("measurements: give scans or simulate, not both")
        return self


class TrainConfig(Part):
    """One training run.

    Args:
        network: Backbone and its options.
        data: What to train on.
        problem: What a conditional network sees of each image; None trains a prior.
        measurements: Learn from measurements instead of images; None learns from images.
        loss: Noise levels and data scale.
        optimiser: Step size.
        batch: Slices a step, over all processes.
        samples: Slices to see before stopping.
        ema: Half-life of the average of the weights, in samples.
        power_ema: Keep snapshots of averages of other widths; None keeps none.
        precision: ``bf16`` runs the network under autocast; ``fp32`` does not.
        validate_every: Samples between two validations.
        seed: Seed of initial weights, order, augmentation and noise.
        start: File of weights to start from (:func:`uqrestore.training.warm_start.start_from`)
            where the folder holds no run yet; in a pipeline, a name of the zoo will do.
        compile: Backend of ``torch.compile``, such as ``inductor``, that runs the network in
            training; None runs it as it is. Weights are the same to rounding.
        card: Facts for the card of the prior that the run cannot know.
    """

    newer = frozenset({"card", "measurements"})

    network: NetworkConfig = NetworkConfig()
    data: DataConfig = DataConfig()
    problem: ProblemConfig | None = None
    measurements: MeasurementsConfig | None = None
    loss: LossConfig = LossConfig()
    optimiser: OptimiserConfig = OptimiserConfig()
    batch: Count = 32
    samples: Count
    ema: Positive = 20_000
    power_ema: PowerEmaConfig | None = None
    precision: Literal["bf16", "fp32"] = "fp32"
    validate_every: Count = 20_000
    seed: Annotated[int, Field(ge=0)] = 0
    start: str | None = None
    compile: str | None = None
    card: CardConfig = CardConfig()

    @model_validator(mode="after")
    def _has_what_the_loss_needs(self) -> "TrainConfig":
        if self.measurements is not None and self.problem is not None:
            raise ValueError(
                "measurements: learns a prior, without a problem; learn it first, and train a "
                "conditional network on its draws."
            )
        kind = self.loss.kind
        if kind == "bridge" and self.problem is None:
            raise ValueError(
                "loss.kind is 'bridge', which starts at a measurement, but there is no problem; "
                "give a problem and a conditional network, or use kind: edm or flow."
            )
        if kind != "edm" and self.network.options.get("final_steps"):
            raise ValueError(
                f"loss.kind is {kind!r} but network.final_steps, a step towards the measurement, "
                "is for the output of kind: edm; leave one of them out."
            )
        return self
