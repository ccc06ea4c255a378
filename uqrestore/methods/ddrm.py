"""DDRM and DDNM+: annealing of every singular direction relative to its own noise level."""

import math
from collections.abc import Iterable
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from uqrestore.diffusion.ddim import EtaMode, effective_eta, unit_start
from uqrestore.diffusion.denoiser import Denoiser
from uqrestore.diffusion.schedules import Schedule
from uqrestore.diffusion.wrapped import Checked
from uqrestore.methods._checks import require_range
from uqrestore.methods._method import method
from uqrestore.methods._spectral import SpectralData
from uqrestore.methods.ddnm import travel
from uqrestore.noise import SampleNoise
from uqrestore.problem import Problem


@method(published={"eta_mode": "fixed"})
def ddrm(
    problem: Problem,
    denoiser: Denoiser,
    noise: SampleNoise,
    *,
    schedule: Schedule = Schedule(20),
    eta: float = 0.85,
    eta_data: float = 1.0,
    eta_mode: EtaMode = "consistent",
) -> Float[Tensor, " sample *problem_and_image"]:
    r"""Draw images by annealing each singular direction relative to its measurement noise.

    Makes ``steps`` network calls. Without noise the images end with ``A x = y``; the published
    code compares noise levels strictly and does not.

    Args:
        problem: Noise-free, or with an operator of one singular value or a spectral form.
        denoiser: Prior; only its unconditional estimate is used.
        noise: Random streams of the samples to draw.
        schedule: Noise levels; ``steps``, ``grid`` or ``sigmas`` state one too.
        eta: Fraction of new noise in directions that the prior determines.
        eta_data: Weight of the datum in directions that the measurement determines.
        eta_mode: ``fixed`` as published, or ``consistent``.

    Returns:
        Images in network intensity.

    Raises:
        ValueError: If the operator offers neither form, or an option is out of range.

    References:
        Kawar et al., "Denoising Diffusion Restoration Models", NeurIPS 2022, eq. 7 and 8.
        arXiv:2201.11793
    """
    levels = schedule.levels()
    require_range("ddrm", eta=(eta, 0, 1), eta_data=(eta_data, 0, 1))
    measured = SpectralData.of(problem, "ddrm")
    # Start at the distribution of x_sigma given y where the measurement noise is below sigma.
    white = noise.normal(problem.in_shape, problem.y)
    known = levels[0] > measured.width
    left = (levels[0] ** 2 - measured.width**2).clamp(min=0).sqrt()
    along = measured.coefficients(white)
    start = torch.where(known, measured.data + left * along, levels[0] * along)
    x = levels[0] * white + measured.image(start - levels[0] * along)
    denoise = Checked(denoiser, "ddrm")
    return anneal_directions(denoise, x, pairwise(levels), noise, measured, eta, eta_data, eta_mode)


@method(published={"eta_mode": "fixed"})
def ddnm_plus(
    problem: Problem,
    denoiser: Denoiser,
    noise: SampleNoise,
    *,
    schedule: Schedule = Schedule(100),
    eta: float = 0.85,
    eta_mode: EtaMode = "consistent",
    travel_length: int = 1,
    travel_repeat: int = 1,
) -> Float[Tensor, " sample *problem_and_image"]:
    r"""Draw images by DDNM with the correction scaled down where the measurement is noisy.

    :math:`\hat x_0 = D - V \Lambda V^T A^+ (A D - y)`. The same step as DDRM with ``eta_data = 1``,
    started from pure noise. Makes ``steps`` network calls without time travel, else as many as
    DDNM.

    Args:
        problem: Noise-free, or with an operator of one singular value or a spectral form.
        denoiser: Prior; only its unconditional estimate is used.
        noise: Random streams of the samples to draw.
        schedule: Noise levels; ``steps``, ``grid`` or ``sigmas`` state one too.
        eta: Fraction of new noise in directions that the prior determines.
        eta_mode: ``fixed`` as published, or ``consistent``.
        travel_length: Steps between returns to higher noise, and steps of each return.
        travel_repeat: Number of passes over each stretch; 1 is no time travel.

    Returns:
        Images in network intensity.

    Raises:
        ValueError: If the operator offers neither form, or an option is out of range.

    References:
        Wang, Yu & Zhang, ICLR 2023, section 3.3 and appendix I. arXiv:2212.00490
    """
    levels = schedule.levels()
    most = len(levels) - 1
    require_range("ddnm_plus", eta=(eta, 0, 1), travel_length=(travel_length, 1, most))
    require_range("ddnm_plus", travel_repeat=(travel_repeat, 1, 1000))
    measured = SpectralData.of(problem, "ddnm_plus")
    x = unit_start(noise, problem.in_shape, problem.y, levels[0])
    denoise = Checked(denoiser, "ddnm_plus")
    moves = travel(most, travel_length, travel_repeat)
    path = [(levels[start], levels[end]) for start, end in moves]
    return anneal_directions(denoise, x, path, noise, measured, eta, 1.0, eta_mode)


def anneal_directions(
    denoise: Checked,
    x: Tensor,
    path: Iterable[tuple[float, float]],
    noise: SampleNoise,
    measured: SpectralData,
    eta: float,
    eta_data: float,
    eta_mode: EtaMode,
) -> Tensor:
    r"""Take the shared step in unmeasured directions, and that of DDRM in measured ones.

    With :math:`w` the noise of a measured direction, at the next level :math:`\sigma'`:

    .. math::
        \sigma' \ge w: &\quad (1 - \eta_b) \bar D + \eta_b \bar y
            + \sqrt{\sigma'^2 - \eta_b^2 w^2}\, \bar z \\
        \sigma' < w: &\quad \bar D + \sqrt{1 - \eta^2}\, \sigma' (\bar y - \bar D) / w
            + \eta \sigma' \bar z

    ``path`` yields noise levels, current and next; a step up is time travel, which adds new noise
    to the last estimate.
    """
    width, answer = measured.width, x
    for sigma, sigma_next in path:
        if sigma_next > sigma:
            x = answer + sigma_next * noise.like(x)
            continue
        answer = denoise(x, sigma)
        share = effective_eta(eta, eta_mode, sigma, sigma_next)
        kept = sigma_next * math.sqrt(1 - share**2)
        white = noise.like(x) if sigma_next > 0 else torch.zeros_like(x)
        free = answer + kept / sigma * (x - answer) + sigma_next * share * white

        along, fresh = measured.coefficients(answer), measured.coefficients(white)
        left = (sigma_next**2 - (eta_data * width) ** 2).clamp(min=0).sqrt()
        fine = along + eta_data * (measured.data - along) + left * fresh
        step = kept / torch.where(width > 0, width, 1)
        coarse = along + step * (measured.data - along) + sigma_next * share * fresh
        target = torch.where(sigma_next >= width, fine, coarse)
        x = free + measured.image(target - measured.coefficients(free))
    return x
