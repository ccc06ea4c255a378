"""The last step of a network, which brings its image to the measurement."""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from uqrestore.networks.data_consistency import symmetric
from uqrestore.networks.measurement import Measurement, Part
from uqrestore.operators._cg import expand_to

SHARE = 0.3
"""Variance of the error of an output before training, as a share of that for white images."""
BANDS = 8
"""Spatial frequencies, from 0 to the corner of the spectrum, where a power is learned."""
WIDEST = 4.0
"""Largest logarithm of the standard deviation of a pixel, either way."""
SOLVED = 1e-5
"""Relative residual at which the solve of an image ends."""
FLOOR, LEAST = 1e-6, 1e-6
"""Variance of measurements without noise, in units of the largest eigenvalue of ``A^T A``, and the
smallest regularisation."""


class FinalStep(nn.Module):
    r"""The step that brings the output of a network to the measurement.

    .. math:: \hat x + C A^T (A C A^T + v)^{-1} (y - A \hat x), \qquad
        C = S^{1/2} F^T P F S^{1/2}

    where :math:`v` is the variance of the measurement noise and :math:`C` the covariance of the
    error of :math:`\hat x`: a variance :math:`S` for each pixel, which the network puts out (air is
    known better than tissue), and a power :math:`P` for each spatial frequency, learned as a
    function of the noise levels, in units of what white noise and images of white pixels leave,
    :math:`\sigma^2 \sigma_d^2 / (\sigma^2 + \sigma_d^2)`. It is the form of
    :mod:`uqrestore.diffusion.error_model`. On eight coils and one line in four a covariance that
    knows the pixels brings the estimate behind noise of .2 nearer by 1.7 dB than a scalar.

    Args:
        cond_width: Channels of the condition.
        steps: Conjugate gradient steps.
        sigma_data: Data scale of the preconditioning.
    """

    def __init__(self, cond_width: int, steps: int, sigma_data: float) -> None:
        super().__init__()
        self.steps, self.sigma_data = steps, sigma_data
        self.power = nn.Linear(cond_width, BANDS)
        nn.init.zeros_(self.power.weight)
        nn.init.constant_(self.power.bias, math.log(SHARE))

    def forward(
        self,
        out: Float[Tensor, "batch channel row column"],
        log_std: Float[Tensor, "batch 1 row column"],
        x: Float[Tensor, "batch channel row column"],
        c_noise: Float[Tensor, " batch"],
        cond: Float[Tensor, "batch width"],
        measurement: Measurement,
    ) -> Float[Tensor, "batch channel row column"]:
        """Change the output of a network for scaled images ``x``, all in the sorted order.

        Args:
            out: Output of the network before preconditioning.
            log_std: Logarithm of the standard deviation of each pixel, up to a constant.
            x: Input of the network.
            c_noise: Scaled noise level.
            cond: Condition vector.
            measurement: What was measured.
        """
        sigma, data = expand_to((4 * c_noise).exp(), 3), self.sigma_data
        total = sigma.square() + data**2
        skipped, c_out = x * data**2 / total.sqrt(), sigma * data / total.sqrt()
        noise, image = measurement.noise_std, skipped + c_out * out
        if measurement.estimate is not None:
            image = image - measurement.estimate[_order(measurement)].to(image)
        log_power = self.power(cond.to(self.power.weight.dtype)) / 2
        top = log_power.amax(-1, keepdim=True)
        bands = radial_bands(*measurement.size).to(log_power)
        amplitude = torch.tensordot(log_power - top, bands, dims=1).exp()[:, None]
        std = log_std.clamp(-WIDEST, WIDEST)
        widest = std.amax((-2, -1), keepdim=True)
        std = (std - widest).exp()
        largest = c_out[:, 0, 0, 0] * (top[:, 0] + widest[:, 0, 0, 0]).exp()
        strength = (noise[_order(measurement)].square() + FLOOR) / largest.square()
        moved = []
        counts = [part.images for part in measurement.parts]
        pieces = (t.split(counts) for t in (image, std, amplitude, strength.clamp(LEAST, 1e3)))
        for part, misfit, own, s, a, ridge in zip(
            measurement.parts, measurement.misfits, *pieces, strict=True
        ):
            if part.blank:
                moved.append(torch.zeros_like(own))
                continue
            back = misfit - symmetric(part.scaled_normal, own)

            def normal(z: Tensor, part: Part = part, s: Tensor = s, a: Tensor = a) -> Tensor:
                return _filtered(s * symmetric(part.scaled_normal, s * _filtered(z, a)), a)

            white = solve(normal, _filtered(s * back, a), ridge, self.steps)
            moved.append(s * _filtered(white, a))
        return out + torch.cat(moved) / c_out


def _order(measurement: Measurement) -> Tensor | slice:
    return slice(None) if measurement.order is None else measurement.order


def radial_bands(rows: int, columns: int) -> Float[Tensor, "band row frequency"]:
    """Return hat functions of the spatial frequency that sum to 1, for spectra of ``rfft2``."""
    across = torch.fft.rfftfreq(columns)
    radius = torch.hypot(torch.fft.fftfreq(rows)[:, None], across[None])
    at = radius / math.sqrt(0.5) * (BANDS - 1)
    return (1 - (at - torch.arange(BANDS)[:, None, None]).abs()).clamp(min=0)


def _filtered(image: Tensor, amplitude: Tensor) -> Tensor:
    return torch.fft.irfft2(amplitude * torch.fft.rfft2(image), s=image.shape[-2:])


def solve(
    normal: Callable[[Tensor], Tensor],
    b: Float[Tensor, "batch channel row column"],
    strength: Float[Tensor, " batch"],
    steps: int,
) -> Float[Tensor, "batch channel row column"]:
    r"""Return :math:`(N + \lambda)^{-1} b` by conjugate gradients, of each image by itself.

    The derivative is that of the steps themselves: that of the exact inverse would not see what few
    steps leave of an image, and training would let the image drift there.

    Args:
        normal: :math:`N`, symmetric and positive.
        b: Right-hand sides.
        strength: :math:`\lambda`, one for each image.
        steps: Most steps. Each image stops by itself once its residual is small, for derivatives
            of steps among rounding errors are none.
    """
    ridge = expand_to(strength, 3)
    x, residual, direction = torch.zeros_like(b), b, b
    first = power = _power(residual)
    for _ in range(steps):
        active = power > SOLVED**2 * first
        image = normal(direction) + ridge * direction
        curvature = (direction * image).sum((-3, -2, -1), keepdim=True)
        length = torch.where(active, power, 0) / torch.where(active, curvature, 1)
        x, residual = x + length * direction, residual - length * image
        last, power = power, _power(residual)
        ratio = torch.where(active, power, 0) / torch.where(active, last, 1)
        direction = residual + ratio * direction
    return x


def _power(image: Tensor) -> Tensor:
    return image.square().sum((-3, -2, -1), keepdim=True)
