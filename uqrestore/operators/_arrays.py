"""Arrays of any library as the real tensors that operators and methods work on."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from uqrestore.operators._checks import Shape

Array = Tensor | np.ndarray


def as_tensor(values: Any) -> Tensor:  # noqa: ANN401 - whatever numpy makes an array of
    """Return a tensor of values from numpy or any other library; tensors come back as they are.

    Raises:
        ValueError: If they are not numbers.
    """
    if isinstance(values, Tensor):
        return values
    array = np.asarray(values)
    if array.dtype.kind not in "fiubc":
        raise ValueError(f"an array of numbers is needed but got {type(values).__name__}.")
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    return torch.as_tensor(np.ascontiguousarray(native).reshape(array.shape))


def as_real(values: Any, shape: Shape) -> Tensor:  # noqa: ANN401
    """Return images or measurements as a real floating-point tensor ``(*batch, *shape)``.

    Complex values become two real channels (real, imaginary) where the shape has two; integers
    become float32; the channel axis is added to a single array without it where there is one
    channel. Other shapes come back as they are, for the caller to refuse.

    Args:
        values: Tensor or array.
        shape: Shape of one image or measurement, ``(channel, *space)``.
    """
    x = as_tensor(values)
    if x.is_complex() and shape[0] == 2:
        x = torch.stack([x.real, x.imag], dim=-len(shape))
    if not (x.is_floating_point() or x.is_complex()):
        x = x.float()
    return x[None] if (1, *x.shape) == shape else x
