"""DPS: an ancestral sampler guided by a likelihood gradient of fixed length."""

import math
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from uqrestore.diffusion.ddim import unit_start
from uqrestore.diffusion.denoiser import Denoiser
from uqrestore.diffusion.schedules import Schedule
from uqrestore.diffusion.wrapped import Checked
from uqrestore.methods._checks import require_known, require_range
from uqrestore.methods._method import method
from uqrestore.methods._moments import linearise
from uqrestore.noise import Gaussian, SampleNoise
from uqrestore.operators.nonlinear.base import vjp
from uqrestore.problem import GeneralProblem, Problem


@method(general=True, published={"steps": 1000, "clip": True})
def dps(
    problem: Problem | GeneralProblem,
    denoiser: Denoiser,
    noise: SampleNoise,
    *,
    schedule: Schedule = Schedule(200),
    strength: float = 0.3,
    reference_measurements: int | None = None,
    clip: bool = False,
) -> Float[Tensor, " sample *problem_and_image"]:
    r"""Draw images by diffusion posterior sampling.

    .. math::
        x' = D + \frac{\sigma'^2}{\sigma^2} (x - D) + \sqrt{v}\, z
            + \zeta \sqrt{(1 + \sigma^2)(1 + \sigma'^2)}\, J^T A^T \frac{r}{\|r\|},
        \quad r = y - A D

    with the Jacobian ``A`` at ``D`` of a nonlinear operator, and the score of the noise model in
    place of ``r`` where that is not Gaussian. The guidance has one length whatever the number of
    measurements and their noise, so the spread is correct only by accident. Makes ``steps`` network
    calls and as many vector-Jacobian products. On three pixels, against a grid, the mean is off by
    1.3 posterior deviations with counts and 0.6 with clipped values, the variance 0.5 and 0.9 times
    the right one.

    Args:
        problem: Noisy or not, with any operator and noise; the level of Gaussian noise is not used.
            ``strength`` is for measurements of the scale of the image: state counts in units of a
            gain, ``Poisson(gain=1 / photons)``.
        denoiser: Prior; differentiable.
        noise: Random streams of the samples to draw.
        schedule: Noise levels; ``steps``, ``grid`` or ``sigmas`` state one too.
        strength: ``zeta``, the length of the guidance in variance-preserving units.
        reference_measurements: Number of measurements that ``strength`` was tuned for; if given,
            the guidance grows with the square root of their number, which keeps the guidance per
            measurement (196608 for 3 channels of 256 x 256).
        clip: Clip the network's output to [-1, 1], and the gradient with it.

    Returns:
        Images in network intensity.

    Raises:
        ValueError: If an option is out of range.

    References:
        Chung et al., "Diffusion Posterior Sampling for General Noisy Inverse Problems", ICLR 2023,
        Algorithm 1, with the norm of its public code, taken per sample. arXiv:2209.14687
    """
    require_known("dps", problem)
    require_range("dps", strength=(strength, 0, 1e9))
    levels = schedule.levels()
    denoise, operator, y = Checked(denoiser, "dps"), problem.operator, problem.y
    model, mask = problem.noise_model, operator.row_mask
    plain = isinstance(model, Gaussian)
    if reference_measurements is not None:
        require_range("dps", reference_measurements=(reference_measurements, 1, 1e12))
        share = 1.0 if mask is None else float(mask.expand_as(y).double().mean())
        count = math.prod(operator.out_shape) * share
        strength = strength * count**0.5 / reference_measurements**0.5
    x = unit_start(noise, problem.in_shape, y, levels[0])
    for sigma, sigma_next in pairwise(levels):
        answer, product = linearise(denoise, x, sigma)
        clean = answer.clamp(-1, 1) if clip else answer
        signal = operator.forward(clean)
        gap = y - signal if plain else model.score(y, signal)
        gap = gap if mask is None else torch.where(mask, gap, 0)
        towards = vjp(operator, clean, unit_residual(gap, len(operator.out_shape)))
        pull = product(torch.where(clean == answer, towards, 0) if clip else towards)
        share = (sigma_next / sigma) ** 2
        x = clean + share * (x - clean)
        if sigma_next > 0:
            x = x + sigma_next * (1 - share) ** 0.5 * noise.like(x)
        x = x + strength * ((1 + sigma**2) * (1 + sigma_next**2)) ** 0.5 * pull
    return x


def unit_residual(residual: Tensor, dims: int) -> Tensor:
    """Scale each residual to unit length over its own measurement; 0 stays 0."""
    length = residual.flatten(residual.ndim - dims).norm(dim=-1)
    length = length.reshape(*length.shape, *[1] * dims)
    return torch.where(length > 0, residual / torch.where(length > 0, length, 1), 0)
