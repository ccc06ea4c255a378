"""Random phantoms: images that need no download, for tests and small experiments."""

import math

import torch
from jaxtyping import Float
from torch import Tensor


def random_ellipses(
    count: int,
    side: int,
    generator: torch.Generator,
    *,
    most: int = 11,
    supersample: int = 3,
) -> Float[Tensor, "count 1 side side"]:
    """Draw piecewise constant phantoms: a body with 4 to ``most`` ellipses in it.

    The body has half axes of 0.55-0.8 and 0.7-0.92 of half the side and a level of 0.3-0.7 (0 is
    the background, 1 the top); each inner ellipse adds between -0.4 and 0.4.

    Args:
        count: Number of phantoms.
        side: Pixels a side.
        generator: Where every random number comes from.
        most: Largest number of inner ellipses, at least 4.
        supersample: Points a pixel side, averaged into the pixel.

    Returns:
        Images in network units, -1 the background.
    """

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(count, *shape, generator=generator)

    line = torch.linspace(-1, 1, side * supersample)
    row, column = torch.meshgrid(line, line, indexing="ij")
    half = torch.stack([uniform(0.55, 0.8), uniform(0.7, 0.92)], dim=-1)
    body = _inside(row, column, torch.zeros(count, 1, 2), half[:, None], uniform(-0.2, 0.2, 1))
    image = body[:, 0] * uniform(0.3, 0.7)[:, None, None]

    radius, angle = uniform(0.0, 0.6, most), uniform(0.0, 2 * math.pi, most)
    centre = torch.stack([radius * angle.cos(), radius * angle.sin()], -1) * half[:, None]
    axes = torch.stack([uniform(0.04, 0.3, most), uniform(0.04, 0.3, most)], -1)
    level = uniform(-0.4, 0.4, most)
    present = torch.arange(most) < torch.randint(4, most + 1, (count, 1), generator=generator)
    level, tilt = level * present, uniform(0.0, math.pi, most)
    for i in range(most):
        one = slice(i, i + 1)
        inner = _inside(row, column, centre[:, one], axes[:, one], tilt[:, one])
        image = image + inner[:, 0] * body[:, 0] * level[:, i, None, None]
    image = image.clamp(0, 1).unflatten(1, (side, supersample)).unflatten(3, (side, supersample))
    return 2 * image.mean(dim=(2, 4))[:, None] - 1


def _inside(row: Tensor, column: Tensor, centre: Tensor, axes: Tensor, tilt: Tensor) -> Tensor:
    """Return which points lie in each ellipse, shape ``(count, ellipse, row, column)``."""
    x = column - centre[..., 0, None, None]
    y = row - centre[..., 1, None, None]
    cos, sin = tilt.cos()[..., None, None], tilt.sin()[..., None, None]
    along, across = x * cos + y * sin, y * cos - x * sin
    a, b = axes[..., 0, None, None], axes[..., 1, None, None]
    return ((along / a) ** 2 + (across / b) ** 2 < 1).float()
