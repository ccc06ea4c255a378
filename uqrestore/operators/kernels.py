"""Blur kernels: Gaussian, and motion along a random path."""

import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Generator, Tensor

from uqrestore.operators._checks import require

Kernel = Float[Tensor, "height width"]


def gaussian_kernel(size: tuple[int, int], std: float | int) -> Kernel:
    """Return an isotropic Gaussian of sum 1, its centre at ``(height // 2, width // 2)``.

    Args:
        size: Height and width in pixels.
        std: Standard deviation in pixels.

    Raises:
        ValueError: If the standard deviation is not positive.
    """
    require(std > 0, "gaussian_kernel", f"std must be positive, got {std}.")
    axes = [torch.arange(length, dtype=torch.float64) - length // 2 for length in size]
    rows, columns = (torch.exp(-((axis / std) ** 2) / 2) for axis in axes)
    kernel = rows[:, None] * columns
    return (kernel / kernel.sum()).float()


def motion_kernel(size: tuple[int, int], intensity: float | int, generator: Generator) -> Kernel:
    """Draw the kernel of motion along a random path during the exposure.

    The path is a chain of steps with random headings; a higher intensity gives a longer path with
    sharper turns, and intensity 0 a straight one. It is rotated at random, centred at
    ``(height // 2, width // 2)``, shrunk to fit the kernel, and sampled with bilinear weights.

    Args:
        size: Height and width in pixels.
        intensity: Intensity of the motion, from 0 (straight) to 1.
        generator: Random generator of the path.

    Returns:
        The kernel: not negative, of sum 1.

    Raises:
        ValueError: If the intensity is not within [0, 1], or the size is below 3.

    References:
        The distribution of steps and headings is that of Elata, Michaeli & Elad,
        "InvFusion", 2025. arXiv:2504.01689, appendix.
    """
    require(
        0 <= intensity <= 1 and min(size) >= 3,
        "motion_kernel",
        f"wants intensity within [0, 1] and a size of at least 3, got {intensity} and {size}.",
    )
    path = _path(size, intensity, generator)
    centre = torch.tensor([size[0] // 2, size[1] // 2], dtype=torch.float64)
    room = torch.tensor([size[0], size[1]], dtype=torch.float64) - 1 - centre
    excess = float((path.abs() / torch.minimum(room, centre)).max())
    return _splat(path / max(1.0, excess) + centre, size).float()


def _path(size: tuple[int, int], intensity: float | int, generator: Generator) -> Tensor:
    """Sample a path densely, in pixels around its mean, shape ``(point, 2)``."""
    seed = torch.randint(2**62, (), generator=generator).item()
    rng = np.random.default_rng(int(seed))
    diagonal = math.hypot(*size)
    length = 0.75 * diagonal * (rng.uniform() + rng.uniform(0, intensity**2))
    steps: list[float] = []
    while not steps or sum(steps) < length:
        step = rng.beta(1, 30) * (1.1 - intensity) * diagonal
        # A path shorter than a typical step would reject for ever; it is a single step.
        steps.append(min(step, length))
    widest, jitter = rng.uniform(0, math.pi * intensity), rng.beta(2, 20)
    heading, headings = rng.uniform(-widest, widest), []
    for _ in steps:
        headings.append(heading)
        sign = math.copysign(1, heading) * (-1 if rng.uniform() < jitter else 1)
        heading = (
            sign * rng.triangular(0, intensity * widest, widest + 0.1) if intensity else heading
        )
    angle = rng.uniform(0, math.pi)
    turned = np.asarray(headings) + angle
    move = np.stack([np.sin(turned), np.cos(turned)], -1) * np.asarray(steps)[:, None]
    vertices = np.concatenate([np.zeros((1, 2)), move.cumsum(0)])
    # Four points a pixel along the chain.
    travelled = np.concatenate([[0.0], np.cumsum(steps)])
    at = np.linspace(0, travelled[-1], max(2, math.ceil(4 * travelled[-1])))
    path = np.stack([np.interp(at, travelled, vertices[:, i]) for i in (0, 1)], -1)
    return torch.from_numpy(path - path.mean(0))


def _splat(points: Tensor, size: tuple[int, int]) -> Tensor:
    """Distribute each point over its four nearest pixels by bilinear weights; the sum is 1."""
    low = points.floor().long()
    low = torch.minimum(low, torch.tensor(size) - 2).clamp(min=0)
    part = points - low
    kernel = torch.zeros(size, dtype=torch.float64)
    for row in (0, 1):
        for column in (0, 1):
            weight = (part[:, 0] if row else 1 - part[:, 0]) * (
                part[:, 1] if column else 1 - part[:, 1]
            )
            kernel.index_put_((low[:, 0] + row, low[:, 1] + column), weight, accumulate=True)
    return kernel / kernel.sum()
