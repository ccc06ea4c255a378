"""Posterior sampling with a conditional denoiser, and draws of exact posteriors."""

from collections.abc import Sequence
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from uqrestore.diffusion.denoiser import Denoiser
from uqrestore.diffusion.samplers import Sampler, sample
from uqrestore.diffusion.schedules import karras_sigmas, noise_levels
from uqrestore.diffusion.wrapped import Checked, prepare, uncounted
from uqrestore.methods._checks import require_range
from uqrestore.methods._discrepancy import meet_discrepancy
from uqrestore.methods._method import method
from uqrestore.noise import SampleNoise
from uqrestore.problem import Problem


@method()
def conditional(
    problem: Problem,
    denoiser: Denoiser,
    noise: SampleNoise,
    *,
    steps: int = 32,
    sigma_max: float = 80.0,
    sigma_min: float = 0.002,
    rho: float = 7.0,
    sigmas: Sequence[float] | None = None,
    sampler: Sampler = "heun",
    eta: float = 0.0,
    start: Literal["noise", "mean"] = "noise",
    project: bool = True,
    epsilon_scale: float = 1.0,
) -> Float[Tensor, " sample *problem_and_image"]:
    r"""Draw from the posterior of a conditional denoiser.

    Calls ``denoiser(x_t, sigma, problem)``: a network trained for it, or a closed-form prior. By
    default, 63 calls. A direction of posterior variance :math:`\lambda` keeps the fraction
    :math:`\sigma_0^2 / (\lambda + \sigma_0^2)` of it and loses the fraction
    :math:`\sqrt{\lambda / (\lambda + \sigma_0^2)}` of its mean, so start at ten times the largest
    standard deviation or more.

    Args:
        problem: A problem of a kind that the denoiser was trained for.
        denoiser: Conditional denoiser.
        noise: Random streams of the samples to draw.
        steps: Noise levels above 0.
        sigma_max: Starting level, in network intensity.
        sigma_min: Lowest level above 0.
        rho: Density of levels near the lowest; beyond 50 they are evenly spaced in their
            logarithm, where ``dpmpp_3m`` is best: 18 calls then keep the variance of a Gaussian
            to 4 %, from 1e-4 on.
        sigmas: Explicit noise levels instead.
        sampler: ``heun`` makes ``2 steps - 1`` calls, the others make ``steps``.
        eta: Fraction of new noise of ``euler``.
        start: ``noise`` starts from noise alone. ``mean`` makes one call more for the estimate
            from noise, and starts from new noise about it: the mean then loses the fraction
            :math:`(\lambda / (\lambda + \sigma_0^2))^{3/2}`, the cube of the above.
        project: Project every estimate onto the measurement where that is noise-free and the
            operator has an exact pseudo-inverse. The ideal conditional denoiser is consistent at
            every noise level; a network only nearly, and projection reduces its error. Where the
            measurement is noisy, correct draws whose misfit exceeds the noise
            (:func:`uqrestore.methods._discrepancy.meet_discrepancy`).
        epsilon_scale: Divisor :math:`s` of the noise estimated by the denoiser. Networks smooth
            detail that they have not learnt; a value slightly above 1 restores it. Exact
            denoisers need 1: the variance :math:`\lambda` of a direction becomes
            :math:`((\lambda + \sigma_0^2) / \lambda)^{1 - 1/s}` times too large. Determined on
            images of known truth (``python -m tests.benchmarks.detail``).

    Returns:
        Images in network intensity.

    Raises:
        ValueError: If an option is out of range.

    References:
        Karras et al., NeurIPS 2022, Algorithm 1. arXiv:2206.00364
        Ning et al., "Elucidating the Exposure Bias in Diffusion Models", ICLR 2024, for
        ``epsilon_scale``. arXiv:2308.15321
    """
    require_range(
        "conditional", eta=(eta, 0, 1), rho=(rho, 1, 1000), epsilon_scale=(epsilon_scale, 0.5, 2)
    )
    grid = karras_sigmas(steps, sigma_min, sigma_max, rho).tolist() if sigmas is None else sigmas
    levels = noise_levels(steps, sigmas=grid)
    given = prepare(denoiser, problem, noise.shape)
    network = Checked(denoiser, "conditional", given)
    projects = project and problem.operator.exact_pinv

    def denoise(x: Tensor, sigma: float) -> Tensor:
        clean = network(x, sigma) / epsilon_scale + (1 - 1 / epsilon_scale) * x
        return problem.project(clean) if projects else clean

    x = levels[0] * noise.normal(problem.in_shape, problem.y)
    if start == "mean":
        x = denoise(x, levels[0]) + levels[0] * noise.normal(problem.in_shape, problem.y)
    x = sample(denoise, x, levels, noise, sampler=sampler, eta=eta)
    return meet_discrepancy(x, problem, noise) if project else x


@method()
def exact(
    problem: Problem, denoiser: Denoiser, noise: SampleNoise
) -> Float[Tensor, " sample *problem_and_image"]:
    """Draw independent images of the exact posterior of a closed-form prior.

    Args:
        problem: Noisy or not, with any operator.
        denoiser: A prior of ``uqrestore.priors``.
        noise: Random streams of the samples to draw.

    Returns:
        Images in network intensity.

    Raises:
        ValueError: If the prior has no closed-form posterior.
    """
    prior = uncounted(denoiser)
    posterior = getattr(prior, "posterior", None)
    if posterior is None:
        raise ValueError(
            "exact draws need a prior with a closed-form posterior, such as 'brain64-gaussian'; "
            f"{type(prior).__name__} has none. Choose a method such as 'local_gaussian'."
        )
    return posterior(problem).draw(noise).to(problem.y.dtype)
