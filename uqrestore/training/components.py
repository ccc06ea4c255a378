"""The loss of the principal components that a network puts out besides the mean."""

from collections.abc import Mapping

import torch
from torch import Tensor

from uqrestore.diffusion.denoiser import NetworkDenoiser
from uqrestore.diffusion.nppc import (
    ErrorScale,
    direction_loss,
    gram_schmidt,
    likelihood_loss,
    null_space_components,
    variance_loss,
)
from uqrestore.operators.mixed import Mixed
from uqrestore.problem import Problem
from uqrestore.training.batch import Batch
from uqrestore.training.data import Images
from uqrestore.training.loss_config import ComponentsConfig


class ComponentsLoss:
    """Directions and variances of the error, where the network saw pure noise.

    Args:
        config: Weights.
    """

    def __init__(self, config: ComponentsConfig) -> None:
        self.config = config
        self.scale = ErrorScale(config.error_norm)

    def __call__(
        self,
        raw: Tensor,
        clean: Images,
        truth: Images,
        problem: Problem,
        pure: Tensor,
        seen: int,
    ) -> Tensor:
        """Return the weighted loss, averaged over the images seen as pure noise.

        Args:
            raw: Raw components ``(batch, component, *in_shape)``.
            clean: Posterior means of the network; a constant here.
            truth: True images.
            problem: One for each image.
            pure: Which images the network saw as pure noise.
            seen: Samples of the run so far.
        """
        directions, std = gram_schmidt(null_space_components(raw, problem))
        error = truth - problem.project(clean.detach())
        groups = {name: at[pure[at]] for name, at in kinds(problem).items()}
        scale = self.scale(error, {name: at for name, at in groups.items() if len(at)})
        ramp = min(seen / self.config.ramp, 1.0) if self.config.ramp else 1.0
        lengths = likelihood_loss if self.config.lengths == "likelihood" else variance_loss
        loss = self.config.direction * direction_loss(directions, error)
        loss = loss + self.config.variance * ramp * lengths(directions, std, error, scale)
        return (loss * pure).sum() / pure.sum().clamp(min=1)


class FrozenBase:
    """The mean whose error the components describe, from weights that are not trained.

    Args:
        denoiser: A network like the one that is trained.
        state: Weights to hold.

    References:
        Nehme et al., NeurIPS 2023, arXiv:2309.15533, section 3: a head for a given restorer.
    """

    def __init__(self, denoiser: NetworkDenoiser, state: Mapping[str, Tensor]) -> None:
        denoiser.load_state_dict(state)
        self.denoiser = denoiser.eval().requires_grad_(False)

    def state(self) -> Mapping[str, Tensor]:
        """Return the weights, to be saved."""
        return self.denoiser.state_dict()

    @torch.no_grad()
    def __call__(self, batch: Batch) -> Images:
        """Return the clean images that the frozen weights see in a batch."""
        return self.denoiser(batch.x_t, batch.sigma, batch.problem, batch.label)


def kinds(problem: Problem) -> Mapping[str, Tensor]:
    """Return which problems of a batch have each kind of operator."""
    operator, device = problem.operator, problem.y.device
    if not isinstance(operator, Mixed):
        return {operator.name: torch.arange(len(problem.y), device=device)}
    found: dict[str, list[int]] = {}
    for part, positions in zip(operator.parts, operator.positions, strict=True):
        found.setdefault(part.name, []).extend(positions)
    return {name: torch.tensor(at, device=device) for name, at in found.items()}
