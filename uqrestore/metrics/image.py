"""Image quality against a known truth; the data range is always given, never inferred."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

Images = Float[np.ndarray, "slice channel row column"]
Mask = Bool[np.ndarray, "slices rows columns"]

# An image in network intensity spans [-1, 1]: the range of every PSNR and SSIM here.
NETWORK_RANGE = 2.0
SSIM_WINDOW = 11  # what 1.5 pixels of Gaussian, cut at 3.5 of them, reach over


def psnr(estimate: Images, truth: Images, mask: Mask, *, data_range: float) -> float:
    r"""Return the peak signal-to-noise ratio inside a mask, all slices pooled, in dB.

    .. math:: 10 \log_{10} \frac{R^2}{\mathrm{mean}_{mask} (\hat x - x)^2}

    Args:
        estimate: Restored images.
        truth: In the same units.
        mask: Where to look; the same for every channel.
        data_range: :math:`R`, in those units.

    Raises:
        ValueError: If the mask is empty, shapes disagree, or the range is not positive.
    """
    inside = _inside("psnr", estimate, truth, mask, data_range)
    error = np.mean((estimate - truth)[inside].astype(np.float64) ** 2)
    return float(10 * np.log10(data_range**2 / error)) if error > 0 else float("inf")


def ssim(estimate: Images, truth: Images, mask: Mask, *, data_range: float) -> float:
    """Return the structural similarity inside a mask, mean over slices, channels and pixels.

    Gaussian windows of 1.5 pixels, as published. The similarity of a pixel near the rim looks
    at pixels outside the mask too.

    Args:
        estimate: Restored images.
        truth: In the same units.
        mask: Where to average.
        data_range: In those units.

    Raises:
        ValueError: If the mask is empty, shapes disagree, the range is not positive, or images
            are smaller than the window of 11 pixels.

    References:
        Wang et al., "Image Quality Assessment: From Error Visibility to Structural
        Similarity", IEEE Trans. Image Process. 13:600-612, 2004.
    """
    from skimage.metrics import structural_similarity

    _inside("ssim", estimate, truth, mask, data_range)
    if min(truth.shape[-2:]) < SSIM_WINDOW:
        raise ValueError(
            f"ssim looks through windows of {SSIM_WINDOW} x {SSIM_WINDOW} pixels but images are "
            f"{truth.shape[-2]} x {truth.shape[-1]}."
        )
    inside = []
    for x_hat, x, where in zip(estimate, truth, mask, strict=True):
        for channel in range(len(x)):
            local = structural_similarity(
                x[channel].astype(np.float64),
                x_hat[channel].astype(np.float64),
                data_range=data_range,
                gaussian_weights=True,
                sigma=1.5,
                use_sample_covariance=False,
                full=True,
            )[1]
            inside.append(local[where])
    return float(np.concatenate(inside).mean())


def nmse(estimate: Images, truth: Images, mask: Mask) -> float:
    r"""Return :math:`\|\hat x - x\|^2 / \|x\|^2` inside a mask, all slices pooled.

    Of complex images in two channels it counts errors of real and imaginary part, so of phase.

    Args:
        estimate: Restored images.
        truth: In the same units; not zero all over.
        mask: Where to look.

    Raises:
        ValueError: If the mask is empty, shapes disagree, or the truth is zero inside.
    """
    inside = _inside("nmse", estimate, truth, mask, 1.0)
    power = float(np.sum(truth[inside].astype(np.float64) ** 2))
    if power == 0:
        raise ValueError("nmse divides by the energy of the truth, which is 0 inside the mask.")
    return float(np.sum((estimate - truth)[inside].astype(np.float64) ** 2)) / power


@dataclass(frozen=True)
class Quality:
    """One metric of the estimate and of single draws, which must be read together.

    The mean of a right posterior is 3.01 dB better than its draws, and smoother than any truth.

    Attributes:
        of_mean: Of the mean.
        of_draws: Mean over the draws.
    """

    of_mean: float
    of_draws: float


def image_quality(
    draws: Float[np.ndarray, "draw slice channel row column"],
    truth: Images,
    mask: Mask,
    *,
    data_range: float,
    mean: Images | None = None,
) -> dict[str, Quality]:
    """Return PSNR (dB), SSIM and NMSE of the mean and of the draws.

    Complex images (two channels) are judged by their magnitude, and their NMSE by both parts
    too (``"nmse, complex"``).

    Args:
        draws: Posterior samples.
        truth: In the same units.
        mask: Where to look.
        data_range: In those units.
        mean: Posterior mean from elsewhere (a network); that of the draws if left out.

    Raises:
        ValueError: If the mask is empty, shapes disagree, or the range is not positive.
    """
    estimate = draws.mean(axis=0, dtype=np.float64) if mean is None else mean

    def both(metric: Callable[[Images], float]) -> Quality:
        return Quality(metric(estimate), float(np.mean([metric(x) for x in draws])))

    found, complex_truth = {}, truth
    if truth.shape[1] == 2:
        found["nmse, complex"] = both(lambda x: nmse(x, complex_truth, mask))
        estimate, truth = magnitude(estimate), magnitude(truth)
        draws = np.stack([magnitude(x) for x in draws])

    found["psnr"] = both(lambda x: psnr(x, truth, mask, data_range=data_range))
    found["ssim"] = both(lambda x: ssim(x, truth, mask, data_range=data_range))
    found["nmse"] = both(lambda x: nmse(x, truth, mask))
    return found


def magnitude(images: Images) -> Float[np.ndarray, "slice 1 row column"]:
    """Return the magnitude of complex images stored as two channels (real, imaginary).

    Raises:
        ValueError: If there are not two channels.
    """
    if images.shape[1] != 2:
        raise ValueError(f"magnitude needs two channels (real, imaginary), got {images.shape[1]}.")
    return np.hypot(images[:, :1], images[:, 1:])


def _inside(
    metric: str, estimate: Images, truth: Images, mask: Mask, data_range: float
) -> Bool[np.ndarray, " slice channel row column"]:
    """Spread a mask over the channels after checking what goes with it."""
    if estimate.shape != truth.shape or mask.shape != (len(truth), *truth.shape[-2:]):
        raise ValueError(
            f"{metric} compares images of one shape but got an estimate {estimate.shape}, a truth "
            f"{truth.shape} and a mask {mask.shape}, which must be (slice, row, column)."
        )
    if not data_range > 0:
        raise ValueError(
            f"{metric} needs the range of the data, above 0 and in its units, got {data_range}."
        )
    if not mask.any():
        raise ValueError(
            f"{metric} needs a mask with at least one pixel inside; this one is empty."
        )
    return np.broadcast_to(mask[:, None], truth.shape)
