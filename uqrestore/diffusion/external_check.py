"""Check of a wrapped network: its denoiser on noise, on images of its own, and on examples."""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor

from uqrestore.diffusion.external import PREDICTIONS, ExternalDenoiser
from uqrestore.diffusion.samplers import TensorDenoiseFn, sample_heun
from uqrestore.diffusion.schedules import karras_sigmas
from uqrestore.noise import SampleNoise

LEVELS = 0.05, 80.0
"""Noise levels between which images are drawn, where the network was trained for them."""
NOISE_LEVEL = 10.0
"""Noise level of the slope, far above the images."""
RELATIVE_LEVELS = 0.3, 1.0, 3.0
"""Noise levels of the denoising test, in standard deviations of the images."""
LARGEST_SLOPE, LARGEST_EXCESS = 0.3, 1.5
WIDEST, NARROWEST = 2.0, 0.1
GAINS = 0.75, 1.33
"""Gains of a denoiser on examples; a network of finite training is not exact."""


@dataclass(frozen=True)
class NetworkCheck:
    """Findings about a denoiser.

    Attributes:
        slope: Share of pure noise that is left in its output at a high noise level; about 0.
        low: 0.5 % quantile of the images that it draws, in network units; at least about -1.
        high: 99.5 % quantile; at most about 1.
        excess: Mean squared error in denoising these images over that of the best estimate
            linear in the pixel, at the worst of three noise levels; at most 1 for an exact
            denoiser.
        excess_on_examples: The same on examples; None without.
        gain_on_examples: Regression coefficient of examples on their denoised images, at the level
            where it is farthest from 1, its value for an exact denoiser; None without.
    """

    slope: float
    low: float
    high: float
    excess: float
    excess_on_examples: float | None = None
    gain_on_examples: float | None = None

    def __str__(self) -> str:
        text = (
            f"{self.slope:.2f} of pure noise is left (0 is right); its images run from "
            f"{self.low:.2f} to {self.high:.2f}; it denoises them with {self.excess:.2f} times the "
            "squared error of a linear estimate"
        )
        if self.excess_on_examples is None:
            return text
        return f"{text}, and examples with {self.excess_on_examples:.2f} times, at a gain of " + (
            f"{self.gain_on_examples:.2f} (1 is right)"
        )


@torch.no_grad()
def check_network(
    denoiser: ExternalDenoiser,
    examples: Tensor | None = None,
    *,
    label: int | None = None,
    samples: int = 4,
    steps: int = 16,
    seed: int = 0,
) -> NetworkCheck:
    """Raise unless a network denoises as its declarations state; return what was measured.

    At a level ``sigma`` far above the images the noise-free estimate does not depend on the noise:
    its slope is about ``trace(covariance) / (pixels sigma)``. A false parametrisation or schedule
    leaves a slope of the order of 1. Images drawn by the denoiser show its range, and an exact
    denoiser recovers them from noise at least as well as the best estimate linear in the pixel. A
    flow network of epsilon that is declared as one of the velocity passes all of this, for it is
    the denoiser of paler images; examples of the training images reveal it.

    Args:
        denoiser: The network, wrapped.
        examples: Some images like those of the training, ``(n, *in_shape)``, in the values of the
            network.
        label: Class for which a network of classes is checked.
        samples: Images to draw.
        steps: Noise levels of the sampler; ``2 steps - 1`` calls, and 4 more.
        seed: Seed of the noise.

    Raises:
        ValueError: With what does not fit, and what would.
    """
    found = _measure(denoiser, examples, label, samples, steps, seed)
    fault = _fault(found, denoiser.image_range)
    if not fault:
        return found
    fitting = []
    for prediction in PREDICTIONS[type(denoiser.path)]:
        other = copy.copy(denoiser)
        other.prediction = prediction
        if not _fault(_measure(other, examples, label, samples, steps, seed), denoiser.image_range):
            fitting.append(f"prediction={prediction!r} fits")
    cure = " and ".join(fitting) or (
        "give the image_range of its training images and the schedule that it was trained with"
    )
    raise ValueError(f"the network is not what was declared: {fault}; {cure}.")


def _measure(
    denoiser: ExternalDenoiser,
    examples: Tensor | None,
    label: int | None,
    samples: int,
    steps: int,
    seed: int,
) -> NetworkCheck:
    noise = SampleNoise(seed, range(samples))
    like = next(denoiser.parameters(), torch.empty(0))
    unit = noise.normal(denoiser.in_shape, like.new_empty(0, dtype=torch.float32))
    lowest, highest = denoiser.limits
    level = min(NOISE_LEVEL, highest)
    centred = unit - unit.mean()
    of_class = None if label is None else torch.tensor(label, device=unit.device)

    def denoise(x: Tensor, sigma: Tensor | float) -> Tensor:
        return denoiser(x, torch.as_tensor(sigma, dtype=torch.float64), None, of_class)

    left = denoise(level * unit, level)
    if not torch.isfinite(left).all():
        raise ValueError(
            f"the network returns NaN or infinity for noise of level {level:.3g}; load the weights "
            "that were trained, or call it in float32."
        )
    slope = float((left * centred).sum() / centred.square().sum())
    grid = karras_sigmas(steps, max(LEVELS[0], lowest), min(LEVELS[1], highest))
    images = sample_heun(denoise, unit, grid)
    ends = torch.tensor([0.005, 0.995], device=images.device)
    low, high = torch.quantile(images.flatten()[: 2**24], ends).tolist()
    excess, _ = _denoising(denoise, denoiser.limits, images, noise)
    if examples is None:
        return NetworkCheck(slope, low, high, excess)
    bottom, top = denoiser.image_range
    given = (torch.as_tensor(examples).to(unit) - (bottom + top) / 2) / ((top - bottom) / 2)
    if tuple(given.shape[1:]) != denoiser.in_shape:
        raise ValueError(
            f"examples are images (n, {', '.join(map(str, denoiser.in_shape))}), got "
            f"{tuple(given.shape)}."
        )
    noise = SampleNoise(seed, range(samples, samples + len(given)))
    return NetworkCheck(
        slope, low, high, excess, *_denoising(denoise, denoiser.limits, given, noise)
    )


def _denoising(
    denoise: TensorDenoiseFn, limits: tuple[float, float], images: Tensor, noise: SampleNoise
) -> tuple[float, float]:
    """Return the worst ratio of squared errors to those of a linear estimate, and worst gain."""
    variance, ratios, gains = float(images.var()), [], []
    for share in RELATIVE_LEVELS:
        level = min(max(share * variance**0.5, limits[0]), limits[1])
        noisy = images + level * noise.normal(images.shape[1:], images)
        clean = denoise(noisy, torch.tensor(level))
        linear = variance * level**2 / (variance + level**2)
        ratios.append(float((clean - images).square().mean()) / linear)
        gains.append(float((clean * images).sum() / clean.square().sum()))
    return max(ratios), max(gains, key=lambda gain: abs(gain - 1))


def _fault(found: NetworkCheck, image_range: tuple[float, float]) -> str:
    """Return what speaks against the declarations; empty if nothing does."""
    bottom, top = image_range
    low, high = ((bottom + top + (top - bottom) * end) / 2 for end in (found.low, found.high))
    drawn = f"the images that it draws run from {low:.3g} to {high:.3g}"
    if not abs(found.slope) <= LARGEST_SLOPE:
        return f"its denoiser leaves {found.slope:.2f} of pure noise (0 is right)"
    within = -WIDEST < found.low <= found.high < WIDEST
    if not within or found.high - found.low < NARROWEST:
        return f"{drawn} but image_range={image_range}"
    if image_range == (-1, 1) and abs(low) < 0.1 and 0.8 < high < 1.2:
        return f"{drawn}, as of image_range=(0, 1); check=False if half of [-1, 1] is meant"
    for excess, which in (
        (found.excess, "images of its own"),
        (found.excess_on_examples, "the examples"),
    ):
        if excess is not None and not excess <= LARGEST_EXCESS:
            return (
                f"it denoises {which} with {excess:.2f} times the squared error of a linear "
                "estimate (at most 1 is right)"
            )
    gain = found.gain_on_examples
    if gain is not None and not GAINS[0] < gain < GAINS[1]:
        return f"the examples are {gain:.2f} times what it makes of them in noise (1 is right)"
    return ""
