"""Configuration of the training losses."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from uqrestore.training.data_config import Part, Positive, Share

if TYPE_CHECKING:
    from uqrestore.diffusion.preconditioning import Preconditioning


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


LEVELS: Mapping[object, Mapping[str, float]] = {
    "flow": {"log_mean": 0.0, "log_std": 1.0},  # t / (1 - t) for a logit-normal t
    "bridge": {"log_mean": -0.7, "log_std": 0.9},  # sqrt(t / (1 - t)) / 2 for an even t
}
"""Noise levels of published trainings."""


class LossConfig(Part):
    """Denoising loss.

    Args:
        kind: What the network puts out (:class:`uqrestore.diffusion.preconditioning
            .Preconditioning`) and what is summed: ``edm`` weighs noise levels by a learned
            uncertainty; ``flow`` is the squared error of the velocity, ``bridge`` that of the
            scaled distance to the image, as published. Their noise levels follow the published
            times, a logit-normal and an even one, where none are given.
        sigma_data: Data scale of the preconditioning, in network units.
        log_mean: Mean of ``ln sigma``.
        log_std: Standard deviation of ``ln sigma``.
        pure_noise: Share of training samples at ``pure_noise_sigma``, where a conditional network
            learns the posterior mean in one call; 1 trains for the mean alone.
        pure_noise_sigma: Noise level at which nothing of an image is left to see.
        choose_pure_noise: Choose that level from the training images, ten times the root of their
            largest variance (:func:`uqrestore.training.sources.pure_noise_level`).
        components: Losses of the components, for a network with components.
        project: Project the output onto the measurement before it is compared, where that has no
            noise, as samplers do: only the null space of the operator is then learned.
        regression: Train the posterior mean alone, by the plain squared error of one call at pure
            noise; the other noise levels are never seen and ``pure_noise`` counts as 1.
        by_difficulty: Weigh images by how much their measurement leaves open
            (:mod:`uqrestore.training.difficulty`), so that problems of all kinds count; for
            networks with a linear estimate.
    """

    newer = frozenset({"kind", "by_difficulty"})

    kind: Literal["edm", "flow", "bridge"] = "edm"
    sigma_data: Positive = 0.5
    log_mean: float = -0.8
    log_std: Positive = 1.6
    pure_noise: Share = 0.0
    pure_noise_sigma: Positive = 100.0
    choose_pure_noise: bool = False
    components: ComponentsConfig = ComponentsConfig()
    project: bool = False
    regression: bool = False
    by_difficulty: bool = False

    @model_validator(mode="before")
    @classmethod
    def _published_levels(cls, raw: object) -> object:
        return {**LEVELS.get(raw.get("kind"), {}), **raw} if isinstance(raw, dict) else raw

    @property
    def preconditioning(self) -> "Preconditioning":
        """Scalings of input and output of the network."""
        from uqrestore.diffusion.preconditioning import Preconditioning  # with torch

        return Preconditioning(self.sigma_data, self.kind)
