"""DiffPIR: a proximal data-consistency step at every noise level."""

from jaxtyping import Float
from torch import Tensor

from uqrestore.diffusion.ddim import EtaMode, anneal
from uqrestore.diffusion.denoiser import Denoiser
from uqrestore.diffusion.schedules import Schedule
from uqrestore.diffusion.wrapped import Checked
from uqrestore.methods._checks import require_range
from uqrestore.methods._method import method
from uqrestore.methods.pigdm import fit
from uqrestore.noise import SampleNoise
from uqrestore.problem import Problem


@method(published={"strength": 1.75, "eta_mode": "fixed"})
def diffpir(
    problem: Problem,
    denoiser: Denoiser,
    noise: SampleNoise,
    *,
    schedule: Schedule = Schedule(100, "quadratic"),
    strength: float = 1.0,
    zeta: float = 0.3,
    eta_mode: EtaMode = "consistent",
) -> Float[Tensor, " sample *problem_and_image"]:
    r"""Draw images by plug-and-play restoration within a diffusion chain.

    .. math::
        \hat x_0 = \arg\min_u \|y - A u\|^2 + \rho \|u - D\|^2
            = D + A^T (A A^T + \rho I)^{-1} (y - A D), \quad \rho = \lambda s^2 / \sigma^2

    with the noise direction :math:`(x - \hat x_0) / \sigma` of the estimate. Makes ``steps``
    network calls.

    Args:
        problem: Noisy or not; ``operator.solve`` is used once a call.
        denoiser: Prior; only its unconditional estimate is used.
        noise: Random streams of the samples to draw.
        schedule: Noise levels; ``steps``, ``grid`` or ``sigmas`` state one too.
        strength: :math:`\lambda`, with ``s`` and ``sigma`` in the same units: 1 takes
            :math:`x_0 \mid x_t` to be :math:`N(D, \sigma^2 I)`. The published code mixes units; its
            7 is 1.75 here.
        zeta: Fraction of new noise, the square of ``eta``.
        eta_mode: ``fixed`` as published, or ``consistent``.

    Returns:
        Images in network intensity.

    Raises:
        ValueError: If an option is out of range.

    References:
        Zhu et al., "Denoising Diffusion Models for Plug-and-Play Image Restoration", CVPR
        Workshops 2023, Algorithm 1. arXiv:2305.08995
    """
    require_range("diffpir", zeta=(zeta, 0, 1), strength=(strength, 1e-9, 1e9))
    levels = schedule.levels()
    operator = problem.operator

    def prox(answer: Tensor, sigma: float, sigma_next: float) -> Tensor:
        del sigma_next
        return answer + fit(problem, problem.y - operator(answer), sigma**2 / strength)

    x = operator.pinv(problem.y) + levels[0] * noise.normal(problem.in_shape, problem.y)
    return anneal(
        Checked(denoiser, "diffpir"),
        x,
        levels,
        noise,
        prox,
        eta=zeta**0.5,
        eta_mode=eta_mode,
        direction="estimate",
    )
