"""Slices larger than a prior: windows of them are denoised and blended smoothly."""

import math
from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from uqrestore.diffusion.denoiser import Denoiser
from uqrestore.diffusion.wrapped import WrappedDenoiser
from uqrestore.operators.base import Shape
from uqrestore.problem import Problem

OVERLAP = 0.25
"""Least share of a window that its neighbour covers too."""


class WindowedDenoiser(WrappedDenoiser):
    r"""A denoiser of large slices, made of one that knows windows of them.

    .. math:: D(x_t) = \sum_w b_w \odot D_w(x_t), \qquad \sum_w b_w = 1

    where :math:`D_w` denoises window :math:`w` alone and the blend :math:`b_w` falls smoothly to 0
    at its rim, except where the rim is that of the slice. What a pixel and its surroundings look
    like is taken from within a window; what was measured is not cut at all, for the operator acts
    on the whole slice between two calls.

    It is the denoiser of whole slices where the prior's correlation is shorter than a window's
    overlap, and else an approximation: nothing ties what is further apart than a window.

    Args:
        inner: Denoiser of windows, trained on windows cut anywhere.
        shape: Rows and columns of the slices.

    Raises:
        ValueError: If a slice is smaller than a window.
    """

    def __init__(self, inner: Denoiser, shape: tuple[int, int]) -> None:
        super().__init__(inner)
        channels, *size = inner.in_shape
        if any(large < small for large, small in zip(shape, size, strict=True)):
            raise ValueError(
                f"slices of {shape[0]} x {shape[1]} pixels are smaller than the windows of "
                f"{size[0]} x {size[1]} that the prior knows; pad them."
            )
        self._shape = (channels, *shape)
        self._axes = [blends(n, w) for n, w in zip(shape, size, strict=True)]

    @property
    def in_shape(self) -> Shape:
        return self._shape

    @property
    def windows(self) -> int:
        """How many windows cover a slice."""
        return len(self._axes[0]) * len(self._axes[1])

    def __call__(
        self,
        x_t: Tensor,
        sigma: Tensor,
        problem: Problem | None = None,
        label: Tensor | None = None,
    ) -> Tensor:
        if problem is not None:
            raise ValueError(
                "a prior of windows sees a slice in pieces and takes no measurement of the whole; "
                "choose a zero-shot method, such as 'ssd' or 'diffpir'."
            )
        blended = torch.zeros_like(x_t)
        for rows, columns, weight in self._windows():
            clean = self.inner(x_t[..., rows, columns], sigma, None, label)
            blended[..., rows, columns] += weight.to(clean) * clean
        return blended

    def _windows(self) -> Iterator[tuple[slice, slice, Tensor]]:
        """Yield where each window lies, and its blend."""
        for top, down in self._axes[0]:
            for left, across in self._axes[1]:
                rows, columns = slice(top, top + len(down)), slice(left, left + len(across))
                yield rows, columns, down[:, None] * across


def blends(size: int, window: int) -> list[tuple[int, Float[Tensor, " window"]]]:
    r"""Cover an axis by windows: where each starts, and its blend, which all add up to 1.

    Windows are spread evenly. Before they are divided by their sum, blends are
    :math:`\sin^2 (\pi (i + 1/2) / w)`: nearly 0 at the rim, where a window knows least.

    Args:
        size: Pixels of the axis; at least ``window``.
        window: Pixels of a window.
    """
    step = max(1, window - round(OVERLAP * window))
    count = 1 + math.ceil((size - window) / step)
    starts = [round(i * (size - window) / max(count - 1, 1)) for i in range(count)]
    bump = ((torch.arange(window, dtype=torch.float64) + 0.5) * math.pi / window).sin().square()
    total = torch.zeros(size, dtype=torch.float64)
    for start in starts:
        total[start : start + window] += bump
    return [(start, bump / total[start : start + window]) for start in starts]
