"""Batch of one training step: images, noise levels, noise, measurements."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from uqrestore._shared.text import did_you_mean
from uqrestore.diffusion.losses import draw_sigma
from uqrestore.operators.base import LinearOperator, Shape
from uqrestore.operators.random.base import OperatorDistribution
from uqrestore.operators.random.mixture import DISTRIBUTIONS, Mixture
from uqrestore.problem import Problem
from uqrestore.training.augmentation import augment_conditioned
from uqrestore.training.config import (
    DataConfig,
    FamilyConfig,
    LossConfig,
    ProblemConfig,
    TrainConfig,
)
from uqrestore.training.data import Drawn, Heights, Images, Source

DrawOperator = Callable[[int, Generator], LinearOperator]
"""``(count, generator) -> a batch of count operators``."""


def build_distribution(name: str, family: FamilyConfig, shape: Shape) -> OperatorDistribution:
    """Build one random operator of a training from its name and options.

    Raises:
        ValueError: If the name or an option is unknown; the nearest is named.
    """
    if name not in DISTRIBUTIONS or name == Mixture.name:
        raise ValueError(
            f"problem.families: {_unknown(name, sorted(set(DISTRIBUTIONS) - {Mixture.name}))}"
        )
    kind = DISTRIBUTIONS[name]
    known = [field.name for field in dataclasses.fields(kind) if field.name != "shape"]
    for option in family.options:
        if option not in known:
            raise ValueError(f"problem.families.{name}: {_unknown(option, known)}")
    plain = {k: tuple(v) if isinstance(v, list) else v for k, v in family.options.items()}
    return kind(shape, **plain)


def operators_of(config: ProblemConfig, shape: Shape) -> DrawOperator:
    """Return a function that draws one operator for every image of a batch.

    Args:
        config: Families and their shares.
        shape: ``(channel, row, column)`` of the images.
    """
    families = config.families.items()
    parts = tuple(build_distribution(name, family, shape) for name, family in families)
    mixture = Mixture(shape, parts, tuple(family.share for _, family in families))

    def draw(count: int, generator: Generator) -> LinearOperator:
        return mixture.draw(generator, count)

    return draw


def _unknown(name: str, known: list[str]) -> str:
    return f"{name!r} is unknown; it can be {', '.join(known)}.{did_you_mean(name, known)}"


@dataclass(frozen=True, eq=False)
class Batch:
    """The images of one step.

    Attributes:
        truth: Clean images in network units.
        sigma: Noise level of each.
        noise: Unit noise.
        problem: One measurement for each image; None trains a prior.
        label: Class of each image, the number of classes where it is hidden or not known; None
            where there are no classes.
        augmentation: Parameters of the augmentation of each image, ``(image, 9)``; None where
            there are none.
    """

    truth: Images
    sigma: Tensor
    noise: Images
    problem: Problem | None
    label: Tensor | None = None
    augmentation: Tensor | None = None

    @property
    def x_t(self) -> Images:
        """The noisy images."""
        return self.truth + self.sigma[:, None, None, None] * self.noise

    def pick(self, rows: slice) -> "Batch":
        """Return some of the images."""
        return self._map(lambda t: t[rows], lambda problem: problem.select(rows))

    def to(self, device: torch.device) -> "Batch":
        """Move everything."""
        return self._map(lambda t: t.to(device), lambda problem: problem.to(device))

    def _map(
        self, tensor: Callable[[Tensor], Tensor], problem: Callable[[Problem], Problem]
    ) -> "Batch":
        return Batch(
            tensor(self.truth),
            tensor(self.sigma),
            tensor(self.noise),
            None if self.problem is None else problem(self.problem),
            None if self.label is None else tensor(self.label),
            None if self.augmentation is None else tensor(self.augmentation),
        )


def draw_batch(
    config: TrainConfig,
    source: Source,
    draw_operator: DrawOperator | None,
    generator: torch.Generator,
) -> Batch:
    """Draw the batch of one step, always the same from the same stream."""
    drawn = Drawn.of(source(config.batch, generator))
    truth, augmentation = drawn.images, None
    if config.data.augment == "edm":
        truth, augmentation = augment_conditioned(truth, generator, config.data.augment_share)
    sigma = _draw_sigma(config.loss, config.batch, generator)
    noise = torch.randn(truth.shape, generator=generator)
    problem = None
    if config.problem is not None and draw_operator is not None:
        problem = _draw_problem(config.problem, truth, draw_operator, generator)
    label = _draw_label(config.data, drawn.height, generator) if config.data.heights else None
    return Batch(truth, sigma, noise, problem, label, augmentation)


def height_label(height: Heights, bins: int) -> Tensor:
    """Return the class of slices by their height; ``bins``, no class, where it is not known."""
    known = torch.isfinite(height)
    label = (height.nan_to_num(0).clamp(0, 1) * bins).long().clamp(max=bins - 1)
    return label.masked_fill(~known, bins)


def _draw_label(data: DataConfig, height: Heights, generator: torch.Generator) -> Tensor:
    """Return the class of every image, hidden from some."""
    hidden = torch.rand(len(height), generator=generator) < data.label_dropout
    return height_label(height, data.heights).masked_fill(hidden, data.heights)


def _draw_sigma(loss: LossConfig, count: int, generator: torch.Generator) -> Tensor:
    """Draw the noise level of every image of a batch."""
    if loss.regression:
        return torch.full((count,), loss.pure_noise_sigma)
    sigma = draw_sigma(count, generator, mean=loss.log_mean, std=loss.log_std)
    pure = torch.rand(count, generator=generator) < loss.pure_noise
    return sigma.masked_fill(pure, loss.pure_noise_sigma)


def _draw_problem(
    config: ProblemConfig, truth: Images, draw_operator: DrawOperator, generator: torch.Generator
) -> Problem:
    """Measure every image by an operator and with noise of its own."""
    operator = draw_operator(len(truth), generator)
    low, high = config.noise_std
    noise_std = low + (high - low) * torch.rand(len(truth), generator=generator)
    noise_free = torch.rand(len(truth), generator=generator) < config.noise_free
    noise_std = noise_std.masked_fill(noise_free, 0.0)
    problem = Problem(operator, operator(truth), noise_std)
    noise = torch.randn(problem.y.shape, generator=generator)
    if operator.row_mask is not None:
        noise = noise * operator.row_mask
    return Problem(operator, problem.y + problem.noise_std_like(noise) * noise, noise_std)
