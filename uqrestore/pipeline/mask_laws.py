"""The laws that a pipeline may draw masks from, by name."""

from collections.abc import Callable, Mapping

from jaxtyping import Bool
from torch import Tensor

from uqrestore.operators.masks import (
    box_mask,
    cartesian_mask,
    patch_mask,
    poisson_mask,
    radial_mask,
)

MASK_LAWS: Mapping[str, Callable[..., Bool[Tensor, "row column"]]] = {
    "box": box_mask,
    "cartesian": cartesian_mask,
    "patches": patch_mask,
    "poisson": poisson_mask,
    "radial": radial_mask,
}
