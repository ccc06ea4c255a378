"""Moment matching: condition the denoiser through its own covariance."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from uqrestore.diffusion.denoiser import Denoiser
from uqrestore.diffusion.samplers import Sampler, sample
from uqrestore.diffusion.schedules import karras_sigmas, noise_levels
from uqrestore.diffusion.wrapped import Checked
from uqrestore.methods._checks import require_range
from uqrestore.methods._method import method
from uqrestore.methods._moments import Moments
from uqrestore.noise import SampleNoise
from uqrestore.problem import Problem


@method()
def moment_matching(
    problem: Problem,
    denoiser: Denoiser,
    noise: SampleNoise,
    *,
    steps: int = 22,
    sigma_max: float = 80.0,
    sigma_min: float = 0.01,
    sigmas: Sequence[float] | None = None,
    products: int = 4,
    sampler: Sampler = "dpmpp_2m",
    eta: float = 0.0,
    data_std: float = 0.5,
) -> Float[Tensor, " sample *problem_and_image"]:
    r"""Draw with the conditional denoiser from the covariance of the prior's denoiser.

    .. math::
        D_y = D + C A^T (A C A^T + s^2 I)^{-1} (y - A D), \quad C = \sigma^2 J

    is :math:`E[x_0 \mid x_t, y]` exactly where :math:`x_0 \mid x_t` is Gaussian. Each evaluation
    makes one network call and ``products`` vector-Jacobian products; ``dpmpp_2m`` and ``euler``
    evaluate ``steps`` times, ``heun`` ``2 steps - 1`` times. 198 calls at the default, a product
    counted as two.

    Args:
        problem: Noisy or not, with any operator.
        denoiser: Prior; differentiable.
        noise: Random streams of the samples to draw.
        steps: Noise levels above 0.
        sigma_max: Starting level, in network intensity.
        sigma_min: Lowest level above 0.
        sigmas: Explicit noise levels instead.
        products: Search directions of each solve, one vector-Jacobian product each.
        sampler: Sampler of the conditional denoiser.
        eta: Fraction of new noise of ``euler``.
        data_std: Standard deviation of the images, for the preconditioner only.

    Returns:
        Images in network intensity; without noise, ``A x = y`` to rounding.

    Raises:
        ValueError: If an option is out of range.

    References:
        Boys et al., "Tweedie Moment Projected Diffusions for Inverse Problems", TMLR 2024, eq. 12.
        arXiv:2310.06721; Rozet et al., NeurIPS 2024, section 4.2. arXiv:2405.13712
    """
    require_range("moment_matching", eta=(eta, 0, 1), products=(products, 1, 1000))
    require_range("moment_matching", data_std=(data_std, 1e-6, 1e6))
    grid = karras_sigmas(steps, sigma_min, sigma_max).tolist() if sigmas is None else sigmas
    levels = noise_levels(steps, sigmas=grid)
    network, dims = Checked(denoiser, "moment_matching"), len(problem.in_shape)

    def denoise(x: Tensor, sigma: float) -> Tensor:
        local = Moments.at(network, x, sigma, dims, data_std)
        residual = problem.y - problem.operator(local.mean)
        return local.mean + local.gain(problem, residual, products)

    x = levels[0] * noise.normal(problem.in_shape, problem.y)
    return sample(denoise, x, levels, noise, sampler=sampler, eta=eta)
