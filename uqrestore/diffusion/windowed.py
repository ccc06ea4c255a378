"""Denoiser of slices larger than a prior, by smoothly blended windows."""

import math
from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from uqrestore.diffusion.denoiser import Denoiser, NetworkDenoiser
from uqrestore.diffusion.wrapped import WrappedDenoiser
from uqrestore.operators.base import Shape
from uqrestore.problem import Problem

OVERLAP = 0.25
"""Smallest relative overlap of neighbouring windows."""
AT_ONCE = 100
"""Windows in one call, where no graph is kept: fewer leave a second thread without work."""


def for_slices(denoiser: Denoiser, rows: int, columns: int) -> Denoiser:
    """Return a denoiser of slices of a size: the network itself where it takes any, else windows.

    Raises:
        ValueError: If a slice is smaller than a window.
    """
    if tuple(denoiser.in_shape[-2:]) == (rows, columns):
        return denoiser
    if isinstance(denoiser, NetworkDenoiser) and denoiser.network.any_size:
        return denoiser.resized(rows, columns)
    return WindowedDenoiser(denoiser, (rows, columns))


class WindowedDenoiser(WrappedDenoiser):
    r"""A denoiser of large slices from a denoiser of windows.

    .. math:: D(x_t) = \sum_w b_w \odot D_w(x_t), \qquad \sum_w b_w = 1

    where :math:`D_w` denoises window :math:`w` alone and the weight :math:`b_w` decreases smoothly
    to 0 at its border, except at the border of the slice. The prior is that of single windows; the
    measurement is not cut, for the operator acts on the whole slice between two calls.

    It is exact where the correlation length of the prior is shorter than the overlap of windows,
    and otherwise an approximation: no prior relates pixels further apart than a window.

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
                f"{size[0]} x {size[1]} pixels of the prior; pad them."
            )
        self._shape = (channels, *shape)
        self._axes = [blends(n, w) for n, w in zip(shape, size, strict=True)]

    @property
    def in_shape(self) -> Shape:
        return self._shape

    @property
    def windows(self) -> int:
        """Number of windows that cover a slice."""
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
                "choose a zero-shot method, such as 'diffpir'."
            )
        windows = [x_t[..., rows, columns] for rows, columns, _ in self._windows()]
        stacked = torch.stack(windows, dim=x_t.ndim - 3)
        level = torch.as_tensor(sigma, device=x_t.device)
        if level.ndim:
            level, label = level.unsqueeze(-1), None if label is None else label.unsqueeze(-1)
        clean = self._denoise(stacked, level, label)
        blended = torch.zeros_like(x_t)
        for index, (rows, columns, weight) in enumerate(self._windows()):
            blended[..., rows, columns] += weight.to(clean) * clean[..., index, :, :, :]
        return blended

    def _denoise(self, windows: Tensor, sigma: Tensor, label: Tensor | None) -> Tensor:
        """Denoise windows ``(*batch, window, *image)``, of ``AT_ONCE`` images at a time."""
        number = windows[..., 0, 0, 0].numel()
        count = 1 if torch.is_grad_enabled() else math.ceil(number / AT_ONCE)
        parts = windows.tensor_split(count, dim=windows.ndim - 4)
        return torch.cat(
            [self.inner(part, sigma, None, label) for part in parts if part.numel()],
            dim=windows.ndim - 4,
        )

    def _windows(self) -> Iterator[tuple[slice, slice, Tensor]]:
        """Yield rows, columns and weight of each window."""
        for top, down in self._axes[0]:
            for left, across in self._axes[1]:
                rows, columns = slice(top, top + len(down)), slice(left, left + len(across))
                yield rows, columns, down[:, None] * across


def blends(size: int, window: int) -> list[tuple[int, Float[Tensor, " window"]]]:
    r"""Return start and weight of the windows that cover an axis; the weights add up to 1.

    Windows are evenly spaced. Before normalisation, weights are :math:`\sin^2 (\pi (i + 1/2) / w)`:
    nearly 0 at the border, where a window lacks context.

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
