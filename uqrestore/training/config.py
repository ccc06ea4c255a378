"""What a training run is made of; a training pipeline holds these fields."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]


class Part(BaseModel):
    """A frozen piece of a configuration that refuses unknown names."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class NetworkConfig(Part):
    """A backbone of ``uqrestore.networks.BACKBONES`` and its keyword options."""

    model_config = ConfigDict(extra="allow", frozen=True)
    name: str = "hdit"

    @property
    def options(self) -> dict[str, Any]:
        """Everything but the name."""
        return dict(self.__pydantic_extra__ or {})


class RangeConfig(Part):
    """What 0 and 1 of training slices stand for, where a number means the same in every patient.

    Args:
        low: Value of 0, such as -1000 (HU).
        high: Value of 1.
        unit: Of both.
    """

    low: float
    high: float
    unit: str

    @model_validator(mode="after")
    def _rises(self) -> "RangeConfig":
        if not self.low < self.high:
            raise ValueError(f"low {self.low:g} must be below high {self.high:g}")
        return self


class DataConfig(Part):
    """Which images to train on, inside the folder that ``--data`` names.

    Args:
        files: HDF5 files of slices in [0, 1], read from their groups ``train`` and ``val``.
        variable: Name of the slices in those groups.
        labels: HDF5 file of label maps (groups ``train/PERSON/label``) to draw fresh slices from.
        labels_share: Share of training slices drawn fresh from the label maps.
        shape: ``(channel, row, column)`` of one training image.
        windows_of: ``(row, column)`` of the slices, if training images are windows cut from them
            at random places; None trains on whole slices.
        scans: Patterns of scans below the folder, such as ``train/*.nii.gz``: volumes in any format
            that ``uqrestore`` reads, cut into axial slices of ``voxel_mm``.
        val_scans: Patterns of the scans to validate on, of other people.
        voxel_mm: Pixel size of the slices, in mm.
        range: For calibrated units, such as HU: scans are put on this scale in training and in
            use, and cut to it. None scales every scan by its own brightest tissue.
        augment: ``brain`` (left-right flips, small affine and intensity changes, of stored slices),
            ``edm`` (:func:`uqrestore.training.augmentation.augment_conditioned`, with the
            parameters as conditioning where the network has ``augment_labels``) or ``none``.
        augment_share: Share of images that each change of ``edm`` is applied to.
        heights: Number of class labels, bins of the height of a slice between the bottom (0) and
            the top of its brain; 0 for no labels. The network wants as many ``labels``.
        label_dropout: Share of training images whose label is hidden, without which there is no
            guidance.
    """

    files: tuple[str, ...] = ()
    variable: str = "brain"
    labels: str | None = None
    labels_share: Share = 0.0
    shape: tuple[Count, Count, Count] = (1, 64, 64)
    windows_of: tuple[Count, Count] | None = None
    scans: tuple[str, ...] = ()
    val_scans: tuple[str, ...] = ()
    voxel_mm: Positive = 3.0
    range: RangeConfig | None = None
    augment: Literal["brain", "edm", "none"] = "brain"
    augment_share: Share = 0.12
    heights: Annotated[int, Field(ge=0)] = 0
    label_dropout: Share = 0.1

    @property
    def slice_shape(self) -> tuple[int, int, int]:
        """``(channel, row, column)`` of one whole slice."""
        return self.shape if self.windows_of is None else (self.shape[0], *self.windows_of)


class ComponentsConfig(Part):
    """Losses of the principal components that a network puts out besides the mean.

    They are measured where the network sees pure noise, so ``loss.pure_noise`` must not be 0.

    Args:
        direction: Weight of the directions.
        variance: Weight of the variances.
        ramp: Samples over which the weight of the variances rises from 0: a variance along a
            direction that still turns is not worth learning.
        lengths: How variances are learned: by ``likelihood``, or by the ``squared`` distance of
            variances, as published.
        error_norm: What squared errors are divided by (:class:`ErrorScale`).
        base: Whose error they describe: of the network's ``own`` mean, which is trained along, or
            of the mean that the weights of ``start`` put out, which stay as they are (``frozen``);
            :func:`uqrestore.diffusion.posterior_mean.posterior_moments` then needs those weights as
            well.
    """

    direction: Positive = 1.0
    variance: Positive = 1.0
    ramp: Annotated[int, Field(ge=0)] = 5_000
    lengths: Literal["likelihood", "squared"] = "likelihood"
    error_norm: Literal["running", "per_image", "none"] = "running"
    base: Literal["own", "frozen"] = "own"


class LossConfig(Part):
    """EDM denoising loss.

    Args:
        sigma_data: Data scale of the preconditioning, in network units.
        log_mean: Mean of ``ln sigma``.
        log_std: Standard deviation of ``ln sigma``.
        pure_noise: Share of training samples at ``pure_noise_sigma``, where a conditional network
            learns the posterior mean in one call; 1 trains for the mean alone.
        pure_noise_sigma: Noise level that drowns every image.
        choose_pure_noise: Choose that level from the training images, ten times the root of their
            largest variance (:func:`uqrestore.training.sources.pure_noise_level`).
        components: How the components of a network that puts some out are trained.
        project: Bring what the network says to the measurement before it is compared, where that
            has no noise, as samplers do: what the measurement leaves open is all that is learned.
        regression: Train the posterior mean alone, by the plain squared error of one call at pure
            noise; the other noise levels are never seen and ``pure_noise`` counts as 1.
    """

    sigma_data: Positive = 0.5
    log_mean: float = -0.8
    log_std: Positive = 1.6
    pure_noise: Share = 0.0
    pure_noise_sigma: Positive = 100.0
    choose_pure_noise: bool = False
    components: ComponentsConfig = ComponentsConfig()
    project: bool = False
    regression: bool = False


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
    """How often a law over operators is drawn, and the law's own options beside it."""

    model_config = ConfigDict(extra="allow", frozen=True)
    share: Positive

    @property
    def options(self) -> dict[str, Any]:
        """Everything but the share."""
        return dict(self.__pydantic_extra__ or {})


class ProblemConfig(Part):
    """The measurements that a conditional network is trained on.

    Args:
        families: Laws of ``uqrestore.operators.random.mixture`` by name; every training image
            gets an operator of its own. ``nothing`` is the unconditional share.
        noise_std: Range of the measurement noise, in network units; drawn per image, evenly.
        noise_free: Share of images measured without noise.
    """

    families: dict[str, FamilyConfig]
    noise_std: tuple[float, float] = (0.0, 0.0)
    noise_free: Share = 1.0


class TrainConfig(Part):
    """One training run.

    Args:
        network: Backbone and its options.
        data: What to train on.
        problem: What a conditional network sees of each image; None trains a prior.
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
    """

    network: NetworkConfig = NetworkConfig()
    data: DataConfig = DataConfig()
    problem: ProblemConfig | None = None
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
