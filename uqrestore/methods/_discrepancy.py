"""Correction of draws whose data misfit exceeds the measurement noise."""

import torch
from jaxtyping import Float
from torch import Tensor

from uqrestore.noise import SampleNoise
from uqrestore.operators.spectrum import Spectrum
from uqrestore.problem import Problem

OCTAVES = 9
"""Number of octaves of singular values; the last holds all smaller ones."""
TOLERANCE = 4.0
"""Standard deviations by which the misfit of a band may exceed that of the noise."""


def meet_discrepancy(
    x: Float[Tensor, " sample *problem_and_image"], problem: Problem, noise: SampleNoise
) -> Float[Tensor, " sample *problem_and_image"]:
    r"""Move draws towards a noisy measurement where their misfit exceeds the noise.

    The data misfit of a posterior draw is distributed as that of the truth: the two are
    exchangeable, so the coefficients :math:`r_i = u_i^T (y - A x)` have the variance
    :math:`\sigma^2` of the noise along every left singular vector. The misfit of a network's draws
    is larger where its error exceeds the noise. In a band of singular values where the mean square
    :math:`R` of a draw's coefficients is significantly too large, each moves by the fraction
    :math:`w` towards the measurement with new noise,

    .. math:: v_i^T x \mathrel{+}= \frac{w}{s_i} (r_i - \sigma \epsilon_i),
        \qquad w = \frac{R - \sigma^2}{R + \sigma^2},

    after which the expected mean square is :math:`\sigma^2`. Draws of the exact posterior are
    unchanged up to chance; where the singular values are small and the prior decides, :math:`R` is
    near :math:`\sigma^2` and nothing is amplified.

    Args:
        x: Draws.
        problem: Noisy; draws of problems without noise or spectral form are unchanged.
        noise: Random streams of the draws.

    References:
        Morozov's discrepancy principle (Soviet Math. Dokl. 7, 1966), applied to draws.
    """
    spectrum = problem.operator.spectral() if problem.is_noisy else None
    if spectrum is None:
        return x
    s = spectrum.s.to(x)
    std = problem.noise_std_as(x)[..., None]
    missed = spectrum.ut(problem.y) - s * spectrum.vt(x)
    fresh = spectrum.vt(noise.normal(problem.in_shape, x))
    share = _share(missed, spectrum, std)
    step = share * (missed - std * fresh) / torch.where(s > 0, s, 1)
    return x + spectrum.v(step)


def _share(missed: Tensor, spectrum: Spectrum, std: Tensor) -> Tensor:
    """Return the fraction by which every coefficient moves, 0 to 1, per draw and band."""
    s, variance = spectrum.s.to(missed), std.square()
    octave = torch.log2(s.amax(-1, keepdim=True) / s).floor().clamp(max=OCTAVES - 1)
    share = torch.zeros_like(missed)
    for number in range(OCTAVES):
        inside = ((octave == number) & (s > 0)).to(missed)
        count = inside.sum(-1, keepdim=True).clamp(min=1)
        power = (missed.square() * inside).sum(-1, keepdim=True) / count
        too_much = power > variance * (1 + TOLERANCE * (2 / count).sqrt())
        moved = (power - variance) / (power + variance).clamp(min=torch.finfo(s.dtype).tiny)
        share = share + inside * torch.where(too_much & (std > 0), moved, 0)
    return share
