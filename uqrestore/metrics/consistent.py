"""Bring images to agree with their measurements before judging how real they look."""

import torch
from torch import Tensor

from uqrestore.priors.dense import double
from uqrestore.problem import Problem

STEPS = 100  # halvings of a logarithmic range of 32 decades: to rounding


def make_consistent(x: Tensor, problem: Problem) -> Tensor:
    r"""Move each image as little as it takes to explain its measurement up to the noise.

    Without noise :math:`x - A^+ (A x - y)`; with noise :math:`x - A^T (A A^T + \lambda I)^{-1}
    (A x - y)` with :math:`\lambda \ge 0` such that :math:`\|A x' - y\|^2 = q s^2`, the energy of
    the noise in :math:`q` measurements (Morozov's principle). An image within that already is
    left alone; where :math:`y` lies outside of the range of :math:`A` by more than that,
    :math:`\lambda = 0`.

    The Frechet distance of these images is the "consistent" one. In-painting pastes true pixels,
    which flatters it.

    Args:
        x: Images ``(*batch, *problem, *in_shape)``.
        problem: Their measurements.

    Raises:
        ValueError: If the measurements are noisy and the operator has no spectrum.

    References:
        Noise-free: Elata et al., "InvFussion", 2025 (C-FID). arXiv:2504.01689
    """
    if not problem.is_noisy:
        return problem.operator.project(x, problem.y)
    problem = double(problem)
    operator = problem.operator
    spectrum = operator.spectral()
    if spectrum is None:
        raise ValueError(
            f"{operator.name} has no cheap singular value decomposition, which the noisy "
            "projection needs; judge the images as they are."
        )
    image, x = x, x.double()
    residual = operator(x) - problem.y
    if operator.row_mask is not None:
        residual = residual * operator.row_mask
    rows = operator.measured_rows().to(x.dtype)
    noise_std = problem.noise_std_as(x)
    allowed = rows * noise_std.square()
    along = spectrum.ut(residual)
    power = spectrum.s.to(x.dtype).square()
    start = residual.ndim - len(operator.out_shape)
    energy = residual.square().flatten(start).sum(-1)
    beyond = (energy - along.square().sum(-1)).clamp(min=0)  # what no image can explain

    def left(weight: Tensor) -> Tensor:
        share = weight[..., None] / (power + weight[..., None])
        share = torch.where(power > 0, share, 0)
        return beyond + (share * along).square().sum(-1)

    scale = power.amax(-1).expand(energy.shape)
    low, high = scale.log() - 37, scale.log() + 37
    for _ in range(STEPS):
        middle = (low + high) / 2
        fits = left(middle.exp()) <= allowed
        low, high = torch.where(fits, middle, low), torch.where(fits, high, middle)
    weight = torch.where(left(low.exp()) <= allowed, low.exp(), 0)
    gain = spectrum.s.to(x.dtype) / (power + weight[..., None])
    gain = torch.where(power > 0, gain, 0)
    gain = torch.where((energy <= allowed)[..., None], 0, gain)
    return (x - spectrum.v(gain * along)).to(image.dtype)
