"""Random operators of the InvFusion paper, with its training parameters as defaults.

Elata, Michaeli & Elad, "InvFusion: Bridging Supervised and Zero-shot Diffusion for Inverse
Problems", 2025, arXiv:2504.01689, appendix. Everything is drawn per element, rejections
included.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor

from uqrestore.operators._checks import Shape
from uqrestore.operators.base import LinearOperator
from uqrestore.operators.identity import Zero
from uqrestore.operators.inpainting import Inpainting
from uqrestore.operators.kernels import gaussian_kernel, motion_kernel
from uqrestore.operators.masks import box, spread_tiles, tiling
from uqrestore.operators.matrix import Matrix
from uqrestore.operators.random.base import OperatorDistribution, choice, integer, uniform
from uqrestore.operators.strided_blur import StridedBlur


@dataclass(frozen=True)
class PatchInpainting(OperatorDistribution):
    """Show patches of side ``2^u``, u uniform, each with one uniformly drawn probability.

    The probability and the patches are drawn again until a patch shows; the side is not redrawn,
    which would favour small ones.

    Args:
        shape: Image shape ``(channel, row, column)``.
        visible: Range of the probability that a patch shows.
    """

    name: ClassVar[str] = "patch_inpainting"

    visible: tuple[float, float] = (0.0, 0.1)

    def draw_one(self, generator: Generator) -> LinearOperator:
        space = self.space
        side = 2 ** integer(generator, 0, int(math.log2(min(space))))
        shown = torch.zeros(0, dtype=torch.bool)
        while not shown.any():
            visible = uniform(generator, *self.visible)
            shown = torch.rand(tiling(space, side), generator=generator) < visible
        return _inpainting(self.shape, spread_tiles(shown, side, space))


@dataclass(frozen=True)
class BoxOutpainting(OperatorDistribution):
    """Show one rectangle."""

    name: ClassVar[str] = "box_outpainting"

    def draw_one(self, generator: Generator) -> LinearOperator:
        return _inpainting(self.shape, box(self.space, generator))


@dataclass(frozen=True)
class MissingBox(OperatorDistribution):
    """Show all but one rectangle."""

    name: ClassVar[str] = "missing_box"

    def draw_one(self, generator: Generator) -> LinearOperator:
        return _inpainting(self.shape, ~box(self.space, generator))


@dataclass(frozen=True)
class StridedMotionBlur(OperatorDistribution):
    """Blur along a random path, widened by a Gaussian of the stride, and subsample.

    Args:
        shape: Image shape ``(channel, row, column)``.
        strides: Strides, drawn uniformly; each must divide the image.
        intensity: Range of the intensity of the motion.
        rcond: Smallest singular value kept, relative to the largest.
        normalize: Multiply the kernel by the stride; see :class:`StridedBlur`.
    """

    name: ClassVar[str] = "strided_motion_blur"

    strides: tuple[int, ...] = (2, 4, 8)
    intensity: tuple[float, float] = (0.0, 1.0)
    rcond: float = 0.02
    normalize: bool = False

    def draw_one(self, generator: Generator) -> LinearOperator:
        stride = choice(generator, self.strides)
        size = (self.shape[-2] // 2, self.shape[-1] // 2)
        kernel = motion_kernel(size, uniform(generator, *self.intensity), generator)
        return StridedBlur(
            _widen(kernel, float(stride)), stride, self.shape, self.rcond, self.normalize
        )


@dataclass(frozen=True)
class RandomMatrix(OperatorDistribution):
    """Measure along random directions of unit length that mix all pixels and channels.

    Args:
        shape: Image shape ``(channel, row, column)``.
        rows: Range of the number of directions, both ends included.
    """

    name: ClassVar[str] = "random_matrix"

    rows: tuple[int, int] = (2, 128)

    def draw_one(self, generator: Generator) -> LinearOperator:
        return Matrix(self._rows(generator), self.shape)

    def draw_each(self, generators: Sequence[Generator]) -> LinearOperator:
        """Draw a batch of operators, factored together."""
        drawn = [self._rows(generator) for generator in generators]
        padded = torch.nn.utils.rnn.pad_sequence(drawn, batch_first=True)
        return Matrix(padded, self.shape)

    def _rows(self, generator: Generator) -> Tensor:
        rows, pixels = integer(generator, *self.rows), torch.Size(self.shape).numel()
        matrix = torch.randn(rows, pixels, generator=generator)
        return matrix / matrix.norm(dim=-1, keepdim=True)


@dataclass(frozen=True)
class Nothing(OperatorDistribution):
    """Measure nothing; in a mixture, it trains the unconditional network."""

    name: ClassVar[str] = "nothing"

    def draw_one(self, generator: Generator) -> LinearOperator:  # noqa: ARG002 - nothing to draw
        return Zero(self.shape)


def _inpainting(shape: Shape, mask: Tensor) -> Inpainting:
    return Inpainting(mask.expand(shape).clone())


def _widen(kernel: Tensor, std: float) -> Tensor:
    """Convolve with a Gaussian of the same size, zero outside, and normalise the sum to 1."""
    size = (2 * kernel.shape[0], 2 * kernel.shape[1])
    gaussian = gaussian_kernel((kernel.shape[0], kernel.shape[1]), std)
    product = torch.fft.rfft2(kernel, s=size) * torch.fft.rfft2(gaussian, s=size)
    top, left = kernel.shape[0] // 2, kernel.shape[1] // 2
    whole = torch.fft.irfft2(product, s=size).clamp(min=0)
    same = whole[top : top + kernel.shape[0], left : left + kernel.shape[1]]
    return same / same.sum()
