"""Geometric augmentation whose parameters are an input of the network, so that none leaks."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from uqrestore.networks.conditioning import AUGMENT_LABELS
from uqrestore.training.data import Images

Parameters = Float[Tensor, "batch change"]


def augment_conditioned(
    images: Images, generator: torch.Generator, share: float
) -> tuple[Images, Parameters]:
    """Flip, scale, turn, stretch and shift images, and return the parameters of each.

    Half the images are mirrored left to right; every other change meets a share of the images by
    itself: mirroring up to down (half of those), scaling by ``2^(0.2 n)``, any rotation,
    stretching along one axis by ``2^(0.2 n)`` and shrinking along the other (in a frame that is
    turned for half of those), and shifting by ``n / 8`` of the side; ``n`` is a standard normal
    number. The parameters are nine numbers: mirrored, mirrored up to down, ``n`` of the scale,
    ``cos - 1`` and ``sin`` of the rotation, ``n`` of the stretch times ``cos`` and ``sin`` of its
    frame, and ``n`` of the shift along columns and rows. All are 0 for an image as it was.

    Where the published pipeline filters by wavelets, images are sampled bicubically at twice the
    density, with reflection at the border, and averaged.

    Args:
        images: Network units.
        generator: Where every random number comes from.
        share: Of images that each change but the first is applied to.

    References:
        Karras et al., "Elucidating the Design Space of Diffusion-Based Generative Models",
        NeurIPS 2022, appendix F.2. arXiv:2206.00364
    """
    count = len(images)

    def chosen(value: Tensor, chance: float = share) -> Tensor:
        return value * (torch.rand(count, generator=generator) < chance)

    def normal() -> Tensor:
        return chosen(torch.randn(count, generator=generator))

    one, turn = torch.ones(count), 2 * math.pi * (torch.rand(count, generator=generator) - 0.5)
    mirror, upset = chosen(one, 0.5), chosen(chosen(one, 0.5))
    scale, turn, stretch = normal(), chosen(turn), normal()
    frame = chosen(2 * math.pi * (torch.rand(count, generator=generator) - 0.5), 0.5)
    right, down = normal(), normal()
    parameters = torch.stack(
        [
            mirror,
            upset,
            scale,
            turn.cos() - 1,
            turn.sin(),
            stretch * frame.cos(),
            stretch * frame.sin(),
            right,
            down,
        ],
        dim=1,
    )
    assert parameters.shape[1] == AUGMENT_LABELS
    images = torch.where(mirror.bool()[:, None, None, None], images.flip(-1), images)
    images = torch.where(upset.bool()[:, None, None, None], images.flip(-2), images)
    moved = (parameters[:, 2:] != 0).any(1)
    if moved.any():
        at = moved.nonzero()[:, 0]
        parts = (value[at] for value in (scale, turn, stretch, frame, right, down))
        images = images.index_copy(0, at, _move(images[at], *parts))
    return images, parameters


def _move(
    images: Images,
    scale: Tensor,
    turn: Tensor,
    stretch: Tensor,
    frame: Tensor,
    right: Tensor,
    down: Tensor,
) -> Images:
    """Apply the linear changes and the shift, about the centre of the image."""
    along = torch.diag_embed(torch.stack([0.2 * stretch, -0.2 * stretch], -1).exp2())
    linear = _rotation(turn) @ _rotation(frame) @ along @ _rotation(-frame)
    linear = linear * (0.2 * scale).exp2()[:, None, None]
    # The grid says where each pixel comes from, in half sides: columns first.
    rows, columns = images.shape[-2:]
    half = images.new_tensor([columns, rows]) / 2
    back = torch.linalg.inv(linear)
    shift = torch.stack([right, down], -1) * 2 * half / 8
    start = -(back @ shift[..., None])[..., 0] / half
    theta = torch.cat([back * half[None, None] / half[:, None], start[..., None]], dim=-1)
    size = [len(images), images.shape[1], 2 * rows, 2 * columns]
    grid = F.affine_grid(theta, size, align_corners=False)
    fine = F.grid_sample(
        images, grid, mode="bicubic", padding_mode="reflection", align_corners=False
    )
    low, high = (f(images, (1, 2, 3)) for f in (torch.amin, torch.amax))
    return F.avg_pool2d(fine, 2).clamp(low[:, None, None, None], high[:, None, None, None])


def _rotation(angle: Tensor) -> Tensor:
    """Return matrices that turn (column, row) vectors from the column axis to the row axis."""
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)
