"""The layer that makes images chosen by a network agree with the measurement."""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from uqrestore.networks.feature_degradation import stack_images, stack_tokens
from uqrestore.networks.hdit import Level, TransformerLayer
from uqrestore.networks.layers import Tokens, zero_init
from uqrestore.networks.measurement import Measurement
from uqrestore.operators._cg import expand_to

START = 0.1
"""Regularisation before training, as a share of the largest eigenvalue of ``A^T A``."""


class ConsistentLayer(nn.Module):
    r"""A transformer layer after a step towards the measurement.

    The network reads an image :math:`e` from its tokens, a correction of the linear estimate
    :math:`m`, and adds to the tokens what comes back from

    .. math:: d = e + (A^T A + \lambda)^{-1} A^T (y - A (m + e))

    the minimiser of :math:`\|y - A (m + d)\|^2 + \lambda \|d - e\|^2`, and the gradient
    :math:`A^T (y - A (m + e))`. The strength :math:`\lambda` is learned, as a function of the noise
    levels. Where ``A^+`` has no closed form this replaces the layer of
    :class:`uqrestore.networks.feature_degradation.FeatureDegradation`.

    The inverse is a polynomial of :math:`A^T A` (:func:`solve_regularised`).

    Args:
        level: Width, attention and pixels of the tokens.
        layer: The layer that follows.
        channels: Channels of the image.
        cond_width: Channels of the condition.
        steps: Applications of ``A^T A`` for the inverse.

    References:
        Aggarwal et al., "MoDL: Model-Based Deep Learning Architecture for Inverse Problems", IEEE
        Trans. Med. Imaging 38:394-405, 2019. arXiv:1712.02862
    """

    def __init__(
        self, level: Level, layer: TransformerLayer, channels: int, cond_width: int, steps: int
    ) -> None:
        super().__init__()
        area = channels * level.pixels**2
        self.pixels, self.channels, self.steps = level.pixels, channels, steps
        self.choose = nn.Linear(level.width, area, bias=False)
        nn.init.normal_(self.choose.weight, std=0.02)
        self.strength = nn.Linear(cond_width, 1)
        nn.init.zeros_(self.strength.weight)
        nn.init.constant_(self.strength.bias, math.log(START))
        self.inject = zero_init(nn.Linear(2 * area, level.width, bias=False))
        self.layer = layer

    def forward(self, x: Tokens, cond: Tensor, measurement: Measurement | None) -> Tokens:
        if measurement is not None:
            with torch.autocast(x.device.type, enabled=False):
                strength = self.strength(cond.to(self.strength.weight.dtype)).clamp(-9.0, 3.0).exp()
            chosen = stack_images(self.choose(x), self.pixels, self.channels)[0]
            back = self.through(chosen.to(measurement.pinv_y.dtype), strength[:, 0], measurement)
            x = x + self.inject(stack_tokens(back, self.pixels).to(x.dtype))
        return self.layer(x, cond)

    def through(
        self,
        images: Float[Tensor, "batch channel row column"],
        strength: Float[Tensor, " batch"],
        measurement: Measurement,
    ) -> Float[Tensor, "2 batch channel row column"]:
        """Return consistent corrections and gradients, zero outside the images of the problem."""
        rows, columns = measurement.size
        inside = images[..., :rows, :columns]
        back = consistent(inside, strength, measurement, self.steps)
        blank = [p.blank for p in measurement.parts for _ in range(p.images)]
        if any(blank):
            back = back.masked_fill(torch.tensor(blank)[:, None, None, None].to(back.device), 0)
        margin = (0, images.shape[-1] - columns, 0, images.shape[-2] - rows)
        return F.pad(back, margin) if any(margin) else back


def consistent(
    images: Float[Tensor, "batch channel row column"],
    strength: Float[Tensor, " batch"],
    measurement: Measurement,
    steps: int,
) -> Float[Tensor, "2 batch channel row column"]:
    """Return consistent corrections of the linear estimate and the gradients at those given.

    Where nothing is measured, corrections stay as they are and gradients are 0.
    """
    counts = [part.images for part in measurement.parts]
    groups = zip(
        measurement.parts,
        measurement.misfits,
        images.split(counts),
        strength.split(counts),
        strict=True,
    )
    done = []
    for part, misfit, own, own_strength in groups:
        if part.blank:
            done.append(torch.stack([own, torch.zeros_like(own)]))
            continue
        gradient = misfit - symmetric(part.scaled_normal, own)
        step = solve_regularised(part.scaled_normal, gradient, own_strength, steps)
        done.append(torch.stack([own + step, gradient]))
    return torch.cat(done, dim=1)


def solve_regularised(
    normal: Callable[[Tensor], Tensor],
    b: Float[Tensor, "*batch channel row column"],
    strength: Float[Tensor, " *batch"],
    steps: int,
) -> Float[Tensor, "*batch channel row column"]:
    r"""Return :math:`(N + \lambda)^{-1} b` for eigenvalues of :math:`N` from 0 to 1, approximately.

    The polynomial of degree ``steps`` in :math:`N` that Chebyshev iterations give: the smallest
    worst error of its degree, and, unlike conjugate gradients, linear and symmetric in ``b``. So
    the backward pass is the same polynomial of the gradient, and no iterate is kept.

    Args:
        normal: :math:`N`, symmetric.
        b: Right-hand sides.
        strength: :math:`\lambda`, one for each image.
        steps: Applications of :math:`N`; 0 divides by the middle of the spectrum.
    """
    return _Solve.apply(b, strength, normal, steps)  # type: ignore[return-value]


def symmetric(apply: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Apply a symmetric map; its backward pass is the map, and keeps nothing."""
    return _Symmetric.apply(x, apply)  # type: ignore[return-value]


class _Symmetric(torch.autograd.Function):
    """A symmetric map of images, of which nothing is kept for the backward pass."""

    @staticmethod
    def forward(
        ctx: torch.autograd.function.FunctionCtx, x: Tensor, apply: Callable[[Tensor], Tensor]
    ) -> Tensor:
        ctx.map = apply  # type: ignore[attr-defined]
        return apply(x)

    @staticmethod
    def backward(ctx, *grads: Tensor) -> tuple[Tensor, None]:  # noqa: ANN001
        return ctx.map(grads[0]), None


class _Solve(torch.autograd.Function):
    """Chebyshev iterations; the derivative by the strength is that of the exact inverse."""

    @staticmethod
    def forward(
        ctx: torch.autograd.function.FunctionCtx,
        b: Tensor,
        strength: Tensor,
        normal: Callable[[Tensor], Tensor],
        steps: int,
    ) -> Tensor:
        x = _chebyshev(normal, b, strength, steps)
        ctx.save_for_backward(strength, x)
        ctx.normal, ctx.steps = normal, steps  # type: ignore[attr-defined]
        return x

    @staticmethod
    def backward(ctx, *grads: Tensor) -> tuple[Tensor, Tensor, None, None]:  # noqa: ANN001
        strength, x = ctx.saved_tensors
        back = _chebyshev(ctx.normal, grads[0], strength, ctx.steps)
        return back, -(back * x).sum((-3, -2, -1)), None, None


@torch.no_grad()
def _chebyshev(
    normal: Callable[[Tensor], Tensor], b: Tensor, strength: Tensor, steps: int
) -> Tensor:
    strength = expand_to(strength, 3)
    middle, half = strength + 0.5, 0.5  # of the eigenvalues of N + strength
    rho = half / middle
    step = b / middle
    x = step
    for _ in range(steps):
        residual = b - normal(x) - strength * x
        last, rho = rho, 1 / (2 * middle / half - rho)
        step = rho * last * step + 2 * rho / half * residual
        x = x + step
    return x
