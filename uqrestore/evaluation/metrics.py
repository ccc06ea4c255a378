"""Image quality against a known truth; the data range is always said, never guessed."""

import numpy as np
from jaxtyping import Bool, Float

Images = Float[np.ndarray, "slice channel row column"]
Mask = Bool[np.ndarray, "slice row column"]

# An image in network intensity spans [-1, 1]: the range of every PSNR and SSIM here.
NETWORK_RANGE = 2.0


def psnr(estimate: Images, truth: Images, mask: Mask, *, data_range: float) -> float:
    r"""Return the peak signal-to-noise ratio inside a mask, all slices pooled, in dB.

    .. math:: 10 \log_{10} \frac{R^2}{\mathrm{mean}_{mask} (\hat x - x)^2}

    Args:
        estimate: Restored images.
        truth: In the same units.
        mask: Where to look; the same for every channel.
        data_range: :math:`R`, in those units.

    Raises:
        ValueError: If the mask is empty.
    """
    inside = np.broadcast_to(mask[:, None], truth.shape)
    if not inside.any():
        raise ValueError("psnr needs a mask with at least one pixel inside; this one is empty.")
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

    References:
        Wang et al., "Image Quality Assessment: From Error Visibility to Structural
        Similarity", IEEE Trans. Image Process. 13:600-612, 2004.
    """
    from skimage.metrics import structural_similarity

    inside = []
    for x_hat, x, where in zip(estimate, truth, mask, strict=True):
        for channel in range(len(x)):
            _, local = structural_similarity(
                x[channel].astype(np.float64),
                x_hat[channel].astype(np.float64),
                data_range=data_range,
                gaussian_weights=True,
                sigma=1.5,
                use_sample_covariance=False,
                full=True,
            )
            inside.append(local[where])
    return float(np.concatenate(inside).mean())


def interval_coverage(
    draws: Float[np.ndarray, "draw slice channel row column"],
    truth: Images,
    mask: Mask,
    *,
    level: float = 0.9,
) -> float:
    r"""Return the share of pixels inside a mask whose truth lies in the central interval of draws.

    A truth from the law of ``n`` draws lies between their order statistics ``k`` and
    ``n + 1 - k`` with probability :math:`1 - 2k / (n + 1)` whatever the law. The two intervals
    whose probabilities enclose ``level`` are counted and mixed to it, so the expectation is
    exactly ``level`` for a right sampler. With fewer than ``(1 + level) / (1 - level)`` draws
    no interval is that wide; the range of the draws is counted, ``(n - 1) / (n + 1)``.

    Neighbouring pixels are not independent: one scan says little about how far the number may
    be from the method's own.

    Args:
        draws: Posterior samples.
        truth: In the same units.
        mask: Where to count.
        level: Wanted coverage.
    """
    inside = np.broadcast_to(mask[:, None], truth.shape)
    at, x = np.sort(draws[:, inside], axis=0), truth[inside]

    def covered(k: int) -> float:
        return float(np.mean((at[k - 1] <= x) & (x <= at[len(at) - k])))

    rank = (1 - level) / 2 * (len(at) + 1)
    outer, share = int(rank), rank - int(rank)
    if outer == 0:
        return covered(1)
    return (1 - share) * covered(outer) + (share * covered(outer + 1) if share else 0.0)
