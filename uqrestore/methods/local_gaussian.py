"""Local Gaussian sampling: a posterior draw to second order at every noise level."""

from collections.abc import Sequence
from itertools import pairwise

from jaxtyping import Float
from torch import Tensor

from uqrestore.diffusion.ddim import move
from uqrestore.diffusion.denoiser import Denoiser
from uqrestore.diffusion.schedules import noise_levels
from uqrestore.diffusion.wrapped import Checked
from uqrestore.methods._checks import require_range
from uqrestore.methods._method import method
from uqrestore.methods._moments import Moments
from uqrestore.noise import SampleNoise
from uqrestore.problem import Problem


@method(
    _50={"levels": 10, "spread_products": 1, "data_products": 1},
    _100={"levels": 9, "spread_products": 2, "data_products": 3},
    _400={"levels": 20, "spread_products": 4, "data_products": 5},
)
def local_gaussian(
    problem: Problem,
    denoiser: Denoiser,
    noise: SampleNoise,
    *,
    levels: int = 13,
    sigma_max: float = 80.0,
    sigma_min: float = 0.03,
    sigmas: Sequence[float] | None = None,
    spread_products: int = 3,
    data_products: int = 4,
    eta: float = 1.0,
    data_std: float = 0.5,
) -> Float[Tensor, " sample *problem_and_image"]:
    r"""Draw posterior samples that are exact for a Gaussian prior, at any number of levels.

    The published methods put an *average* into the shared step, which loses the variance of what
    was averaged unless the steps are small. Here the estimate is a *draw*: at each level,

    .. math::
        e &\sim N(0, C), \quad n \sim N(0, s^2 I) \\
        \hat x_0 &= D + e + C A^T (A C A^T + s^2 I)^{-1} (y + n - A (D + e)) \\
        x' &= \hat x_0 + \sigma' \left( \sqrt{1 - \eta^2}\, (x - \hat x_0) / \sigma + \eta z \right)

    with :math:`C = \sigma^2 J` through vector-Jacobian products. If :math:`x_0 \mid x` is Gaussian,
    :math:`\hat x_0` is a draw of :math:`p(x_0 \mid x, y)` and :math:`x'` has exactly the
    distribution of the next level, whatever the step and ``eta``: errors come only from the
    truncated solves, and from priors that are not Gaussian at the scale of ``sigma``.

    Makes ``levels`` network calls and ``levels * (spread_products + data_products)``
    vector-Jacobian products: 195 calls at the default, a product counted as two. Presets ``50``,
    ``100`` and ``400`` make at most that many.

    Args:
        problem: Noisy or not, with any operator.
        denoiser: Prior; differentiable.
        noise: Random streams of the samples to draw.
        levels: Noise levels above 0, in equal ratios. For a trained network more levels,
            with fewer products each, are better than the same calls spent on products.
        sigma_max: Highest level, in network intensity.
        sigma_min: Lowest level above 0.
        sigmas: Explicit noise levels instead.
        spread_products: Products per level for the spread ``e``.
        data_products: Products per level for the measurement.
        eta: Fraction of new noise. 1 forgets the errors of the previous level, and mixes modes
            best.
        data_std: Standard deviation of the images, for the preconditioner only.

    Returns:
        Images in network intensity; without noise, ``A x = y`` to rounding.

    Raises:
        ValueError: If an option is out of range.

    References:
        This package. The draw of ``x_0`` is perturb-and-solve (Papandreou & Yuille, "Gaussian
        sampling by local perturbations", NeurIPS 2010); the covariance is Tweedie's (Boys et al.,
        "Tweedie Moment Projected Diffusions", TMLR 2024. arXiv:2310.06721); drawing rather than
        averaging is the idea of DAPS (Zhang et al., CVPR 2025. arXiv:2407.01521).
    """
    require_range("local_gaussian", eta=(eta, 0, 1), data_std=(data_std, 1e-6, 1e6))
    require_range("local_gaussian", spread_products=(spread_products, 1, 1000))
    require_range("local_gaussian", data_products=(data_products, 1, 1000))
    if sigmas is None:
        require_range("local_gaussian", levels=(levels, 1, 10_000))
        require_range("local_gaussian", sigma_min=(sigma_min, 1e-9, sigma_max))
        ratio = (sigma_min / sigma_max) ** (1 / max(1, levels - 1))
        sigmas = [*(sigma_max * ratio**i for i in range(levels)), 0.0]
    grid = noise_levels(levels, sigmas=sigmas)
    denoise, operator = Checked(denoiser, "local_gaussian"), problem.operator
    y, dims = problem.y, len(problem.in_shape)
    x = grid[0] * noise.normal(problem.in_shape, y)
    for sigma, sigma_next in pairwise(grid):
        local = Moments.at(denoise, x, sigma, dims, data_std)
        x0 = local.mean + local.spread(noise.like(x), spread_products)
        residual = y - operator(x0)
        if problem.is_noisy:
            white = noise.normal(operator.out_shape, y)
            white = white if operator.row_mask is None else white * operator.row_mask
            residual = residual + problem.noise_std_like(y) * white
        x0 = x0 + local.gain(problem, residual, data_products)
        x = move(x0, (x - x0) / sigma, sigma_next, eta, noise)
    return x
