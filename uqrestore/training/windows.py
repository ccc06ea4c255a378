"""Windows cut from slices at random, for a prior that will see large slices piece by piece."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from uqrestore.training.data import Drawn, Images, Source

Windows = Float[Tensor, "batch channel window_row window_column"]

WINDOWS_A_SLICE = 4
"""Windows cut from one drawn slice: drawing it costs more than a window teaches."""


def cut_windows(slices: Images, size: tuple[int, int], generator: torch.Generator) -> Windows:
    """Cut one window from every slice, anywhere, up to a quarter of it beyond the rim.

    Beyond the rim is background (-1), of which a slice larger than those of the training has more.

    Args:
        slices: In network units.
        size: Rows and columns of a window.
        generator: Where the places come from.
    """
    rows, columns = size
    beyond = (columns // 4, columns // 4, rows // 4, rows // 4)
    padded = F.pad(slices, beyond, value=-1.0)
    top = _places(len(slices), padded.shape[-2] - rows, generator)
    left = _places(len(slices), padded.shape[-1] - columns, generator)
    cut = [x[:, i : i + rows, j : j + columns] for x, i, j in zip(padded, top, left, strict=True)]
    return torch.stack(cut)


def _places(count: int, last: int, generator: torch.Generator) -> Tensor:
    return torch.randint(last + 1, (count,), generator=generator)


def windows_source(slices: Source, size: tuple[int, int]) -> Source:
    """Draw windows of drawn slices, up to :data:`WINDOWS_A_SLICE` of each, in random order."""

    def draw(count: int, generator: torch.Generator) -> Drawn:
        whole = Drawn.of(slices(-(-count // WINDOWS_A_SLICE), generator))
        slices_drawn = len(whole.images)
        order = torch.randperm(slices_drawn * WINDOWS_A_SLICE, generator=generator)[:count]
        chosen = order % slices_drawn
        return Drawn(cut_windows(whole.images[chosen], size, generator), whole.height[chosen])

    return draw
