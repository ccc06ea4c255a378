"""Networks of other libraries as denoisers."""

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn

from uqrestore.diffusion.paths import DiscretePath, FlowPath, NoisePath
from uqrestore.operators.base import Shape
from uqrestore.problem import Problem

Prediction: TypeAlias = Literal["x0", "epsilon", "v", "velocity"]

PREDICTIONS: dict[type[NoisePath], tuple[Prediction, ...]] = {
    NoisePath: ("x0", "epsilon"),
    DiscretePath: ("x0", "epsilon", "v"),
    FlowPath: ("x0", "epsilon", "velocity"),
}
"""What a network of each path may predict."""
LEAST_TOP = 10.0
"""Highest level of a training, in network units, from which on higher levels may be replaced."""


class ExternalDenoiser(nn.Module):
    r"""A network of another library as a denoiser.

    With :math:`u = c + h x` the image in the units of the network, it is called at
    :math:`a u_t` and at the time of the level :math:`h \sigma`, written :math:`s`. Its output
    gives the noise-free image

    .. math::
        \hat u = \hat u_0, \quad u - s \hat\epsilon, \quad a^2 u - a s \hat v, \quad
        a (u - s \hat w)

    for the predictions ``x0``, ``epsilon``, ``v`` and ``velocity`` (noise minus image).

    Levels outside of the training are replaced by its lowest and highest one, :math:`s_1` and
    :math:`s_2`. Below, the score is taken to be that of :math:`s_1`, an error of order
    :math:`s_1^2`; above, the image is scaled to :math:`s_2`, an error of at most the variance of
    the images over :math:`s_2`.

    Args:
        network: ``network(images, time)`` or, where a label is given,
            ``network(images, time, label)``; images ``(batch, *in_shape)``, times ``(batch,)``.
            A result with the attribute ``sample``, as that of ``diffusers``, is unwrapped.
        in_shape: ``(channel, row, column)`` of one image.
        path: Scale and time of every noise level.
        prediction: Target that the network was trained to predict.
        image_range: Values of the network that -1 and 1 of the prior stand for.
        sign: -1 for a network that predicts the velocity towards the image.
        label_as: Name of the argument for the label; positional if None.
        card: Fields of the card of the prior, for pipelines; see ``uqrestore.zoo.PriorCard``.

    Raises:
        ValueError: If there is no such prediction on this path, or the range is empty.

    References:
        Salimans & Ho, "Progressive Distillation", ICLR 2022, appendix D (v). arXiv:2202.00512
    """

    def __init__(
        self,
        network: Callable[..., Any],
        in_shape: Shape,
        path: NoisePath,
        *,
        prediction: Prediction = "epsilon",
        image_range: tuple[float, float] = (-1.0, 1.0),
        sign: int = 1,
        label_as: str | None = None,
        card: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if prediction not in (known := PREDICTIONS[type(path)]):
            raise ValueError(
                f"a network of this kind predicts {', '.join(known)}, not {prediction!r}."
            )
        low, high = image_range
        if not low < high:
            raise ValueError(f"image_range is (low, high) with low < high, got {image_range}.")
        self.network, self.path, self.prediction = network, path, prediction
        self.image_range, self.card = (float(low), float(high)), dict(card or {})
        self._in_shape, self._sign, self._label_as = tuple(in_shape), sign, label_as

    @property
    def in_shape(self) -> Shape:
        return self._in_shape

    @property
    def declaration(self) -> str:
        """All that was declared, as text: part of the identity of the prior."""
        return f"{self.prediction} {self._sign} {self.image_range} {self.path.stated}"

    @property
    def limits(self) -> tuple[float, float]:
        """Lowest and highest noise level that the network was trained for, in network units."""
        low, high = self.path.limits
        half = (self.image_range[1] - self.image_range[0]) / 2
        return low / half, high / half

    def forward(
        self,
        x_t: Tensor,
        sigma: Tensor,
        problem: Problem | None = None,
        label: Tensor | None = None,
    ) -> Tensor:
        if problem is not None:
            raise ValueError(
                "a network of another library takes no measurement; use a zero-shot method."
            )
        batch = x_t.shape[: x_t.ndim - len(self.in_shape)]
        low, high = self.image_range
        centre, half = (low + high) / 2, (high - low) / 2
        u = centre + half * x_t.reshape(-1, *self.in_shape)
        asked = half * torch.as_tensor(sigma, dtype=torch.float64, device=u.device)
        asked = asked.expand(batch).reshape(-1)
        level = asked.clamp(*self.path.limits)
        outside = bool((level != asked).any())
        time = self.path.time(level)
        wide = (-1, *[1] * len(self.in_shape))
        a, s = self.path.scale(level).to(u.dtype).reshape(wide), level.to(u.dtype).reshape(wide)
        if outside:
            self._check_top(asked)
            shrunk = (level / asked).clamp(max=1).to(u.dtype).reshape(wide)
            u = centre + shrunk * (u - centre)
        output = self._call(a * u, time, None if label is None else label.expand(batch).reshape(-1))
        if output.shape != u.shape:
            raise ValueError(
                f"the network returned {tuple(output.shape)} for images {tuple(u.shape)}; "
                "in_shape must be (channel, row, column) of an image, and learned variances be cut."
            )
        clean = self._clean(u, s, a, output)
        if outside:
            share = (asked / level).clamp(max=1).square().to(u.dtype).reshape(wide)
            clean = u + share * (clean - u)
        return ((clean - centre) / half).reshape(x_t.shape)

    def _check_top(self, asked: Tensor) -> None:
        """Raise where a level lies above those of a training that ended far too low."""
        low, high = self.limits
        if high < LEAST_TOP and bool((asked > self.path.limits[1] * 1.001).any()):
            raise ValueError(
                f"the network was trained for noise levels from {low:.4g} to {high:.4g}, too low "
                f"to start from noise, and is asked for higher ones; "
                "use a network that was trained up to 10 or more, or a method that starts lower, "
                "such as 'ssd'."
            )

    def _call(self, images: Tensor, time: Tensor, label: Tensor | None) -> Tensor:
        """Call the network in its own precision and return its output in that of the images."""
        floating = (p.dtype for p in self.parameters() if p.is_floating_point())
        dtype = next(floating, images.dtype)
        positional = () if label is None or self._label_as else (label,)
        named = {self._label_as: label} if label is not None and self._label_as else {}
        result = self.network(images.to(dtype), time.to(dtype), *positional, **named)
        return (result if isinstance(result, Tensor) else result.sample).to(images.dtype)

    def _clean(self, u: Tensor, s: Tensor, a: Tensor, output: Tensor) -> Tensor:
        if self.prediction == "x0":
            return output
        if self.prediction == "epsilon":
            return u - s * output
        if self.prediction == "v":
            return a * (a * u - s * output)
        return a * (u - s * self._sign * output)
