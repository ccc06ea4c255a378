"""Training steps in which a network refines an estimate of its own."""

from collections.abc import Callable

import torch
from torch import Tensor

from uqrestore.diffusion.denoiser import NetworkDenoiser
from uqrestore.problem import Problem
from uqrestore.training.batch import Batch
from uqrestore.training.config import LossConfig


def draw_passes(loss: LossConfig, generator: torch.Generator) -> int:
    """Draw how many passes come before the one that is trained."""
    if not loss.refinements:
        return 0
    at, passes = float(torch.rand((), generator=generator)), 0
    for passes, share in enumerate(loss.refinements, start=1):
        at -= share
        if at < 0:
            return passes
    return 0


@torch.no_grad()
def refined(
    denoiser: NetworkDenoiser,
    network: Callable[..., tuple[Tensor, Tensor]],
    batch: Batch,
    loss: LossConfig,
    generator: torch.Generator,
) -> Problem | None:
    """Return the problem of a batch with the estimate of the network after some passes.

    The passes are not differentiated: their number is the same for the whole batch.

    Args:
        denoiser: Lays out the problem.
        network: Its call with components, compiled or not.
        batch: The images and their measurements.
        loss: How often how many passes come before.
        generator: Random stream of the step, after the batch was drawn.

    References:
        Chen et al., "Analog Bits: Generating Discrete Data using Diffusion Models with
        Self-Conditioning", ICLR 2023. arXiv:2208.04202
    """
    passes = draw_passes(loss, generator)
    if batch.problem is None or not passes:
        return batch.problem
    problem = denoiser.prepare(batch.problem, (len(batch.truth),))
    for _ in range(passes):
        clean, _ = network(batch.x_t, batch.sigma, problem, batch.label)
        problem = problem.about(clean)
    return problem
