"""What one training step sees: images, noise levels, noise, measurements."""

from dataclasses import dataclass

import torch
from torch import Tensor

from uqrestore.diffusion.losses import draw_sigma
from uqrestore.problem import Problem
from uqrestore.training.config import LossConfig, ProblemConfig, TrainConfig
from uqrestore.training.data import Images, Source
from uqrestore.training.problems import DrawOperator


@dataclass(frozen=True, eq=False)
class Batch:
    """The images of one step.

    Attributes:
        truth: Clean images in network units.
        sigma: Noise level of each.
        noise: Unit noise.
        problem: One measurement for each image; None trains a prior.
    """

    truth: Images
    sigma: Tensor
    noise: Images
    problem: Problem | None

    @property
    def x_t(self) -> Images:
        """The noisy images."""
        return self.truth + self.sigma[:, None, None, None] * self.noise

    def pick(self, rows: slice) -> "Batch":
        """Return some of the images."""
        problem = None if self.problem is None else self.problem.select(rows)
        return Batch(self.truth[rows], self.sigma[rows], self.noise[rows], problem)

    def to(self, device: torch.device) -> "Batch":
        """Move everything."""
        problem = None if self.problem is None else self.problem.to(device)
        return Batch(self.truth.to(device), self.sigma.to(device), self.noise.to(device), problem)


def draw_batch(
    config: TrainConfig,
    source: Source,
    draw_operator: DrawOperator | None,
    generator: torch.Generator,
) -> Batch:
    """Draw the batch of one step, always the same from the same stream."""
    truth = source(config.batch, generator)
    sigma = _draw_sigma(config.loss, config.batch, generator)
    noise = torch.randn(truth.shape, generator=generator)
    problem = None
    if config.problem is not None and draw_operator is not None:
        problem = _draw_problem(config.problem, truth, draw_operator, generator)
    return Batch(truth, sigma, noise, problem)


def _draw_sigma(loss: LossConfig, count: int, generator: torch.Generator) -> Tensor:
    """Draw the noise level of every image of a batch."""
    sigma = draw_sigma(count, generator, mean=loss.log_mean, std=loss.log_std)
    drowned = torch.rand(count, generator=generator) < loss.pure_noise
    return sigma.masked_fill(drowned, loss.pure_noise_sigma)


def _draw_problem(
    said: ProblemConfig, truth: Images, draw_operator: DrawOperator, generator: torch.Generator
) -> Problem:
    """Measure every image by an operator and with noise of its own."""
    operator = draw_operator(len(truth), generator)
    low, high = said.noise_std
    noise_std = low + (high - low) * torch.rand(len(truth), generator=generator)
    quiet = torch.rand(len(truth), generator=generator) < said.noise_free
    noise_std = noise_std.masked_fill(quiet, 0.0)
    problem = Problem(operator, operator(truth), noise_std)
    noise = torch.randn(problem.y.shape, generator=generator)
    if operator.row_mask is not None:
        noise = noise * operator.row_mask
    return Problem(operator, problem.y + problem.noise_std_like(noise) * noise, noise_std)
