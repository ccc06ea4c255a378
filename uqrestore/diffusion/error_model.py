r"""Covariance of the error of a denoiser, fitted on validation images.

The Jacobian of a network is the covariance of :math:`x_0 \mid x_t` under the prior that it learned.
On images that it has not seen its errors are larger. Here the covariance is that of the measured
errors, in a form that is cheap to apply:

.. math::
    \mathrm{Cov}[x_0 - D(x_t)] \approx C_\sigma = S^{1/2} F^T P_\sigma F S^{1/2}

with a variance :math:`S` for each pixel, which follows from the local variance of the estimate (air
is known better than tissue), and a power :math:`P_\sigma` for each spatial frequency (what is
coarse is known worse).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from uqrestore.diffusion._spectra import (
    Images,
    Spectrum,
    frequencies,
    image_of,
    interpolation,
    lookup,
    radial_frequency,
    spectrum_of,
)
from uqrestore.diffusion.denoiser import Denoiser
from uqrestore.noise import SampleNoise
from uqrestore.priors import ClosedForm

BINS, FREQUENCIES = 12, 24
"""Values of the local variance, and spatial frequencies, at which an error model is fitted."""
RADIUS = 2
"""Pixels on either side of the window of the local variance."""
TINY = 1e-12
"""Variance below which there is nothing to tell apart."""
DRAWN, LEVELS, RANGE = 256, 28, (0.002, 80.0)
"""Of a closed-form prior: images that its error model is fitted to, and noise levels."""


@dataclass(frozen=True, eq=False)
class ErrorCovariance:
    r"""Covariance of the error of estimates at one noise level, as a product of square roots.

    Args:
        std: Standard deviation of the pixels, ``(*batch, 1, row, column)``.
        amplitude: :math:`P^{1/2}` at the frequencies of ``spectrum_of``.
        mixing: Square root of the correlation of the channels, ``(channel, channel)``.
    """

    std: Float[Tensor, "*batch 1 row column"]
    amplitude: Float[Tensor, "*image row frequency"]
    mixing: Float[Tensor, "channel channel"]

    def root(self, spectrum: Spectrum) -> Images:
        """Apply the square root to an image given by its spectrum."""
        image = image_of(self.amplitude * spectrum, len(self.mixing), self.std.shape[-1])
        return self.std * mix_channels(self.mixing, image)

    def root_transposed(self, image: Images) -> Spectrum:
        """Apply the transposed square root to an image; the result is a spectrum."""
        return self.amplitude * spectrum_of(mix_channels(self.mixing.mT, self.std * image))


@dataclass(frozen=True, eq=False)
class ErrorModel:
    """Covariance of the error of a denoiser as a function of noise level and estimate.

    Between the tabulated values, logarithms are interpolated linearly.

    Args:
        sigmas: Noise levels, ascending.
        local: Logarithm of the local variance of the estimate, ascending, ``(level, bin)``.
        variance: Variance of the error of a channel there, ``(level, bin)``.
        power: Power of the whitened error, ``(level, frequency)``, at frequencies that are dense
            around zero.
        mixing: Cholesky factor of the correlation of the channels, ``(level, channel, channel)``.
        gain: Factor of the standard deviation at each level: 1 is the covariance as it was
            measured. For a trained prior it is chosen so that the spread of draws is that of their
            error, at every level on the way, for measurements of validation images.
    """

    sigmas: Float[Tensor, " level"]
    local: Float[Tensor, "level bin"]
    variance: Float[Tensor, "level bin"]
    power: Float[Tensor, "level frequency"]
    mixing: Float[Tensor, "level channel channel"]
    gain: Float[Tensor, " level"]

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "ErrorModel":
        """Return the model of :meth:`to_data`.

        Raises:
            ValueError: If a table is missing, misshapen, not positive or not ascending.
        """
        tables = {}
        for field in fields(cls):
            table = torch.tensor(data.get(field.name, []), dtype=torch.float64)
            wanted = {"sigmas": 1, "gain": 1, "mixing": 3}.get(field.name, 2)
            if table.ndim != wanted or not table.numel() or not torch.isfinite(table).all():
                raise ValueError(f"error model: {field.name} must be {wanted}-dimensional numbers.")
            tables[field.name] = table
        if len({len(table) for table in tables.values()}) != 1:
            raise ValueError("error model: all tables must have one row for each noise level.")
        for name in ("sigmas", "variance", "power", "gain"):
            if not (tables[name] > 0).all():
                raise ValueError(f"error model: {name} must be above 0.")
        if len(tables["sigmas"]) < 2 or not (tables["sigmas"].diff() > 0).all():
            raise ValueError("error model: sigmas must be at least two numbers that ascend.")
        if not (tables["local"].diff() >= 0).all():
            raise ValueError("error model: every row of local must ascend.")
        return cls(**tables)

    def to_data(self) -> dict[str, Any]:
        """Return plain numbers of four digits, for a card."""
        return {field.name: _rounded(getattr(self, field.name).tolist()) for field in fields(self)}

    def at(self, sigma: float, estimate: Images) -> ErrorCovariance:
        """Return the covariance of the error of estimates ``D(x_t)`` at a noise level.

        Args:
            sigma: Noise level; beyond the tabulated ones, the nearest is taken.
            estimate: What the denoiser returned.
        """
        last = len(self.sigmas) - 1
        at = interpolation(self.sigmas.log(), torch.tensor(float(sigma)).log().double())
        low, share = int(at.floor().clamp(0, last - 1)), float(at - at.floor().clamp(0, last - 1))

        def between(table: Tensor) -> Tensor:
            return torch.lerp(table[low], table[low + 1], share)

        like = {"dtype": estimate.dtype, "device": estimate.device}
        seen = local_variance(estimate)
        log_variance = sum(
            weight * lookup(self.local[level], self.variance[level].log(), seen)
            for level, weight in ((low, 1 - share), (low + 1, share))
        )
        assert isinstance(log_variance, Tensor)
        log_power = between(self.power.log()).to(**like)
        rows, columns = estimate.shape[-2:]
        nodes = frequencies(self.power.shape[-1]).to(**like)
        at = radial_frequency(rows, columns, half=estimate.shape[-3] != 2).to(**like)
        amplitude = lookup(nodes, log_power, at).div(2).exp()
        std = log_variance.div(2).exp() * float(between(self.gain.log()).exp())
        return ErrorCovariance(std.unsqueeze(-3), amplitude, between(self.mixing).to(**like))


def fit_error_model(
    denoiser: Denoiser,
    images: Float[Tensor, "image channel row column"],
    sigmas: Sequence[float],
    generator: torch.Generator,
    *,
    batch_size: int = 16,
) -> ErrorModel:
    """Fit the covariance of the error of a denoiser to images that it was not trained on.

    Args:
        denoiser: The denoiser.
        images: Clean images.
        sigmas: Noise levels, ascending.
        generator: Of the noise.
        batch_size: Images in one call.
    """
    rows: list[dict[str, Tensor]] = []
    for sigma in sigmas:
        noise = torch.randn(images.shape, generator=generator).to(images)
        noisy, level = images + sigma * noise, torch.tensor(sigma).to(images)
        estimate = torch.cat([denoiser(part, level) for part in noisy.split(batch_size)])
        rows.append(_fit_level(estimate, images - estimate))
    tables = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
    levels = torch.tensor(sigmas, dtype=torch.float64)
    return ErrorModel(sigmas=levels, gain=torch.ones_like(levels), **tables)


def _fit_level(estimate: Images, error: Images) -> dict[str, Tensor]:
    """Return one row of each table, on the CPU."""
    estimate, error = estimate.cpu().double(), error.cpu().double()
    seen = local_variance(estimate)
    order = seen.flatten().argsort()
    parts = order.tensor_split(BINS)
    square = error.square().mean(-3).flatten()
    local = torch.stack([seen.flatten()[part].mean() for part in parts])
    variance = torch.stack([square[part].mean() for part in parts]).clamp(min=TINY)
    std = lookup(local, variance.log(), seen).div(2).exp()
    white = error / std.unsqueeze(-3)
    channels = white.shape[-3]
    flat = white.movedim(-3, 0).reshape(channels, -1)
    correlation = flat @ flat.mT / flat.shape[-1]
    scale = correlation.diagonal().rsqrt()
    correlation = scale[:, None] * correlation * scale
    if channels == 2:  # real and imaginary part: the phase of an image is arbitrary
        correlation = torch.eye(channels, dtype=torch.float64)
    mixing = torch.linalg.cholesky(correlation)
    apart = mix_channels(torch.linalg.inv(mixing), white)
    power = torch.fft.fft2(apart, norm="ortho").abs().square().mean((0, 1))
    rows, columns = error.shape[-2:]
    place = interpolation(frequencies(FREQUENCIES), radial_frequency(rows, columns))
    return {
        "local": local,
        "variance": variance,
        "power": _at_nodes(place.flatten(), power.flatten()),
        "mixing": mixing,
    }


def _at_nodes(place: Tensor, power: Tensor) -> Float[Tensor, " frequency"]:
    """Return the power at the nodes, by means weighted with the tent of linear interpolation."""
    whole = place.floor().long().clamp(max=FREQUENCIES - 2)
    share = place - whole
    total, weight = (torch.zeros(FREQUENCIES, dtype=torch.float64) for _ in range(2))
    for index, part in ((whole, 1 - share), (whole + 1, share)):
        total.index_add_(0, index, part * power)
        weight.index_add_(0, index, part)
    known = weight > 1e-9
    filled = (total[known] / weight[known]).clamp(min=TINY).log()
    at = torch.arange(FREQUENCIES, dtype=torch.float64)
    return lookup(at[known], filled, at).exp()


def error_model(denoiser: Denoiser) -> ErrorModel | None:
    """Return the error model of a denoiser, whatever wraps it; None where there is none.

    That of a trained prior comes with its card. A closed-form prior can be drawn from, so that its
    model is fitted to draws.
    """
    inner: Any = denoiser
    while getattr(inner, "errors", None) is None and hasattr(inner, "inner"):
        inner = inner.inner
    if isinstance(inner, ClosedForm):
        low, high = RANGE
        sigmas = torch.logspace(0, 1, LEVELS, base=high / low, dtype=torch.float64) * low
        images = inner.draw(SampleNoise(0, range(DRAWN)))
        generator = torch.Generator().manual_seed(0)
        return fit_error_model(inner, images, sigmas.tolist(), generator, batch_size=DRAWN)
    return getattr(inner, "errors", None)


def local_variance(estimate: Images) -> Float[Tensor, "*batch row column"]:
    """Return the logarithm of the variance around each pixel, added up over the channels."""
    flat = estimate.reshape(-1, 1, *estimate.shape[-2:])
    down, across = (min(RADIUS, size - 1) for size in estimate.shape[-2:])
    padded = torch.cat([flat, flat.square()])
    padded = F.pad(padded, (across, across, down, down), mode="reflect")
    window = (2 * down + 1, 2 * across + 1)
    mean, square = F.avg_pool2d(padded, window, stride=1).chunk(2)
    variance = (square - mean.square()).clamp(min=0).reshape(estimate.shape).sum(-3)
    return (variance + TINY).log()


def mix_channels(matrix: Float[Tensor, "channel channel"], image: Images) -> Images:
    """Multiply the channels of each pixel by a matrix."""
    if torch.equal(matrix, torch.eye(len(matrix)).to(matrix)):
        return image
    return torch.einsum("ij,...jrc->...irc", matrix.to(image), image)


def _rounded(value: Any) -> Any:  # noqa: ANN401 - nested lists of numbers
    return [_rounded(v) for v in value] if isinstance(value, list) else float(f"{value:.4g}")
