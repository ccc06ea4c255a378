"""PiGDM: guidance by the pseudo-inverse, with an isotropic model of the denoiser's covariance."""

from itertools import pairwise
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from uqrestore.diffusion.ddim import EtaMode, effective_eta, move, unit_start
from uqrestore.diffusion.denoiser import Denoiser
from uqrestore.diffusion.samplers import Sampler, sample
from uqrestore.diffusion.schedules import Schedule
from uqrestore.diffusion.wrapped import Checked
from uqrestore.methods._checks import require_range
from uqrestore.methods._method import method
from uqrestore.methods._moments import linearise
from uqrestore.noise import SampleNoise
from uqrestore.problem import Problem

MISFIT = 10.0
"""Mean square misfit of draws, in noise variances, above which the sampler has diverged."""
# eta of the two public implementations: NVlabs/RED-diff and InverseBench.
RELEASED = {"weight": "one", "sampler": "euler", "data_std": 1.0}


@method(
    published={**RELEASED, "steps": 1000, "eta": 1.0, "eta_mode": "consistent"},
    inversebench={**RELEASED, "grid": "geometric", "eta": 0.2, "eta_mode": "fixed"},
)
def pigdm(
    problem: Problem,
    denoiser: Denoiser,
    noise: SampleNoise,
    *,
    schedule: Schedule = Schedule(100),
    weight: Literal["consistent", "one"] = "consistent",
    sampler: Sampler = "dpmpp_2m",
    eta: float = 0.0,
    eta_mode: EtaMode = "consistent",
    data_std: float = 0.5,
) -> Float[Tensor, " sample *problem_and_image"]:
    r"""Draw images guided by an isotropic Gaussian model of the clean image.

    That is, as if :math:`x_0 \mid x_t` were :math:`N(D, r^2 I)`:

    .. math::
        g = J^T A^T \left( A A^T + (s / r)^2 I \right)^{-1} (y - A D),
        \quad r^2 = \frac{\sigma^2 v}{\sigma^2 + v}

    Makes one vector-Jacobian product for every network call; ``steps`` calls, ``2 steps - 1``
    with ``heun``.

    At high noise the guidance overshoots along directions whose variance exceeds ``v``, and where
    the Jacobian of a network is not a covariance. With few steps the sampler amplifies the error
    from level to level; draws that then miss the measurement by many times its noise are refused.

    Args:
        problem: Noisy or not; ``operator.solve`` is used once a call.
        denoiser: Prior; differentiable.
        noise: Random streams of the samples to draw.
        schedule: Noise levels; ``steps``, ``grid`` or ``sigmas`` state one too.
        weight: ``consistent`` adds :math:`(\sigma^2 / r^2) g` to ``D``, which is the conditional
            denoiser, exact for a white prior of variance ``v``; ``one`` adds ``g`` to the next
            state as released, which is over-confident.
        sampler: Sampler of the conditional denoiser; ``one`` has the ``euler`` step only.
        eta: Fraction of new noise of ``euler``.
        eta_mode: ``fixed``, or ``consistent`` with the step size; with ``weight="one"``.
        data_std: Standard deviation of the images, the square root of ``v``.

    Returns:
        Images in network intensity.

    Raises:
        ValueError: If an option is out of range, or options contradict one another.
        FloatingPointError: If the draws miss a noisy measurement by far more than its noise.

    References:
        Song et al., "Pseudoinverse-Guided Diffusion Models for Inverse Problems", ICLR 2023,
        eq. 7 and 8. https://openreview.net/forum?id=9_gsMA8MRKQ
    """
    require_range("pigdm", eta=(eta, 0, 1), data_std=(data_std, 1e-6, 1e6))
    levels = schedule.levels()
    denoise = Checked(denoiser, "pigdm")
    x = unit_start(noise, problem.in_shape, problem.y, levels[0])
    if weight == "consistent":

        def denoise_given(u: Tensor, sigma: float) -> Tensor:
            answer, guidance, variance = guide(denoise, problem, u, sigma, data_std)
            return answer + sigma**2 / variance * guidance

        x = sample(denoise_given, x, levels, noise, sampler=sampler, eta=eta)
        return _require_data_fit(problem, x)
    if sampler != "euler":
        raise ValueError(
            f"pigdm: weight='one' has the step of the released code, sampler='euler', but sampler "
            f"is {sampler!r}; use weight='consistent' with it."
        )
    for sigma, sigma_next in pairwise(levels):
        answer, guidance, _ = guide(denoise, problem, x, sigma, data_std)
        share = effective_eta(eta, eta_mode, sigma, sigma_next)
        x = move(answer, (x - answer) / sigma, sigma_next, share, noise) + guidance
    return _require_data_fit(problem, x)


def _require_data_fit(problem: Problem, draws: Tensor) -> Tensor:
    """Return draws, or raise where they miss a noisy measurement though other images fit it."""
    if not problem.is_noisy:
        return draws
    reached = problem.chi_square(draws).mean(0).reshape(-1)
    if not (reached > MISFIT).any():
        return draws
    # A wrong noise level or operator is no fault of the sampler: least squares misses as much.
    possible = problem.chi_square(problem.operator.pinv(problem.y)).reshape(-1)
    excess = reached - possible
    if (excess > MISFIT).any():
        worst = int(excess.argmax())
        raise FloatingPointError(
            f"pigdm diverged: its draws miss the measurement by {float(reached[worst]):.3g} times "
            f"the variance of its noise, where least squares misses by "
            f"{float(possible[worst]):.2g}; take more steps (100 or more), or another method, "
            "such as 'moment_matching'."
        )
    return draws


def guide(
    denoise: Checked, problem: Problem, x: Tensor, sigma: float, data_std: float
) -> tuple[Tensor, Tensor, float]:
    """Return ``D``, the guidance ``g`` and the variance ``r^2``."""
    variance = sigma**2 * data_std**2 / (sigma**2 + data_std**2)
    answer, product = linearise(denoise, x, sigma)
    residual = problem.y - problem.operator(answer)
    return answer, product(fit(problem, residual, variance)), variance


def fit(problem: Problem, residual: Tensor, variance: float) -> Tensor:
    r"""Return :math:`A^T (A A^T + (s^2 / v) I)^{-1} r`, and :math:`A^+ r` without noise."""
    if not problem.is_noisy:
        return problem.operator.pinv(residual)
    noise_std = problem.noise_std_as(residual) / variance**0.5
    return problem.operator.solve(residual, noise_std=noise_std)[0]
