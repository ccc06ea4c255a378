"""A Gaussian law of images: a mean, a standard deviation for each pixel and a power spectrum."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from uqrestore.operators.base import LinearOperator, Shape

FAINT = 0.02
"""Least standard deviation of a pixel, as a share of the largest."""
DONE = 10
"""Residual, as a share of the first and in units of rounding, at which a problem is solved."""


class SpectralLaw(nn.Module):
    r"""What both linear guesses know of images, fitted to them and stored with the weights.

    Away from the mean image, :math:`C = \operatorname{diag}(s) F^{-1} S F \operatorname{diag}(s)`.

    Args:
        image_shape: ``(channel, row, column)``.
    """

    images = 3000
    """How many training images to fit it to."""

    mean: Tensor
    std: Tensor
    spectrum: Tensor

    def __init__(self, image_shape: Shape) -> None:
        super().__init__()
        self.image_shape = tuple(image_shape)
        channels, rows, columns = image_shape
        self.register_buffer("mean", torch.zeros(image_shape))
        self.register_buffer("std", torch.ones(image_shape))
        self.register_buffer("spectrum", torch.ones(channels, rows, columns // 2 + 1))

    def fit_spectrum(self, centred: Float[Tensor, "image channel row column"]) -> None:
        """Take standard deviations and spectrum from images about their mean."""
        std = centred.square().mean(0).sqrt()
        self.std.copy_(std.clamp(min=FAINT * float(std.max())))
        power = torch.fft.rfft2(centred / self.std, norm="ortho").abs().square().mean(0)
        self.spectrum.copy_(power)


def strength(operator: LinearOperator, like: Tensor) -> Float[Tensor, " *problem"]:
    """Return the mean square of the singular values of each problem, about."""
    probe = torch.randn(operator.in_shape, generator=torch.Generator().manual_seed(0)).to(like)
    dims = tuple(range(-len(operator.out_shape), 0))
    rank = operator.rank()
    if rank is None:
        rank = torch.full(operator.problem_shape, probe.numel())
    seen = operator.forward(probe.expand(*operator.problem_shape, *operator.in_shape))
    return seen.abs().square().sum(dims) / rank.to(probe.device).clamp(min=1)


def filtered(x: Float[Tensor, "*batch channel row column"], gain: Tensor) -> Tensor:
    """Multiply the spectrum of images by a gain, as ``torch.fft.rfft2`` lays it out."""
    return torch.fft.irfft2(torch.fft.rfft2(x, norm="ortho") * gain, s=x.shape[-2:], norm="ortho")
