r"""The step shared by annealing methods: an estimate, a noise direction, new noise.

.. math::
    x' = \hat x_0 + \sigma' \left( \sqrt{1 - \eta^2}\, \tilde\epsilon + \eta z \right),
    \quad z \sim N(0, I)

Methods differ in how they obtain :math:`\hat x_0` from the denoiser's output ``D``, and in whether
:math:`\tilde\epsilon` is that of the network, ``(x - D) / sigma``, or follows from the estimate.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal, TypeAlias

from torch import Tensor

from uqrestore.noise import SampleNoise

EtaMode: TypeAlias = Literal["fixed", "consistent"]
"""``fixed`` as published; ``consistent`` keeps the variance of the prior as the grid is refined."""

Estimate: TypeAlias = Callable[[Tensor, float, float], Tensor]
"""``(D, sigma, sigma_next) -> x0``."""

DenoiseFn: TypeAlias = Callable[[Tensor, float], Tensor]
"""``(x, sigma) -> D``: a ``Checked`` denoiser, or one made of it."""


def effective_eta(eta: float, mode: EtaMode, sigma: float, sigma_next: float) -> float:
    r"""Return the fraction of new noise of one step.

    With a fixed fraction, the variance of unmeasured directions tends to :math:`(1 + \sqrt{1 -
    \eta^2}) / 2` of the exact value, however fine the grid. ``consistent`` scales it by
    :math:`\sqrt{1 - \sigma'^2 / \sigma^2}` (Song et al., DDIM, ICLR 2021, eq. 16), which is exact
    in the limit.
    """
    if mode == "consistent":
        return eta * math.sqrt(max(0.0, 1 - (sigma_next / sigma) ** 2))
    return eta


def move(
    estimate: Tensor, direction: Tensor, sigma_next: float, eta: float, noise: SampleNoise
) -> Tensor:
    """Add the noise of the next level to an estimate: partly along a direction, partly new."""
    if sigma_next == 0:
        return estimate
    x = estimate + sigma_next * math.sqrt(1 - eta**2) * direction
    return x + sigma_next * eta * noise.like(x) if eta > 0 else x


def anneal(
    denoise: DenoiseFn,
    x: Tensor,
    sigmas: Sequence[float],
    noise: SampleNoise,
    estimate: Estimate,
    *,
    eta: float,
    eta_mode: EtaMode,
    direction: Literal["network", "estimate"] = "network",
    clip: bool = False,
) -> Tensor:
    """Apply the shared step along a decreasing grid of noise levels.

    Args:
        denoise: The prior.
        x: State at ``sigmas[0]``, ``(*noise.shape, *in_shape)``.
        sigmas: Decreasing noise levels.
        noise: Random streams of the samples.
        estimate: Map from the denoiser's output to an image consistent with the measurement.
        eta: Fraction of new noise, 0 to 1.
        eta_mode: ``fixed``, or ``consistent`` with the step size.
        direction: Noise direction: that of the ``network``, or from the ``estimate``.
        clip: Clip the denoiser's output to [-1, 1] before the estimate, never the direction.
    """
    for sigma, sigma_next in pairwise(sigmas):
        answer = denoise(x, sigma)
        x0 = estimate(answer.clamp(-1, 1) if clip else answer, sigma, sigma_next)
        along = (x - (answer if direction == "network" else x0)) / sigma
        x = move(x0, along, sigma_next, effective_eta(eta, eta_mode, sigma, sigma_next), noise)
    return x


def unit_start(noise: SampleNoise, in_shape: Sequence[int], like: Tensor, sigma: float) -> Tensor:
    r"""Draw the start of a variance-preserving chain, :math:`\sqrt{1 + \sigma^2} z`."""
    return math.sqrt(1 + sigma**2) * noise.normal(in_shape, like)
