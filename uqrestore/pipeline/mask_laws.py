"""The laws that a pipeline may draw masks from, by name."""

from collections.abc import Callable, Mapping
from typing import Annotated

import torch
from jaxtyping import Bool
from pydantic import Field
from torch import Generator, Tensor

from uqrestore.operators.masks import cartesian_mask

Mask2D = Bool[Tensor, "row column"]


def voxel_mask(
    shape: tuple[int, int], keep: Annotated[float, Field(gt=0, le=1)], generator: Generator
) -> Mask2D:
    """See a random share of the voxels: exactly ``round(keep * voxels)`` of them.

    Args:
        shape: Rows and columns.
        keep: Share of the voxels that are seen.
        generator: Where the choice comes from.
    """
    count = shape[0] * shape[1]
    mask = torch.zeros(count, dtype=torch.bool)
    mask[torch.randperm(count, generator=generator)[: round(keep * count)]] = True
    return mask.reshape(shape)


MASK_LAWS: Mapping[str, Callable[..., Mask2D]] = {
    "cartesian": cartesian_mask,
    "voxels": voxel_mask,
}
