"""Noise of the coils: its standard deviation, its covariance, whitening."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Complex

from uqrestore.scans.errors import ScanError

SAMPLES_A_COIL = 20  # of pure noise: a variance is then known to a fifth
FEWEST = 50  # samples of a standard deviation, which is then known to a tenth
MEDIAN_TO_STD = 1.4826  # median absolute deviation to standard deviation, for Gaussian numbers
OUTERMOST = 0.05  # share of the sampled frequencies, the highest ones
FALL_OFF = 0.5  # noise of the highest frequencies over that of slightly lower ones
NEGLIGIBLE = 1e-6  # noise over the brightness of the image; no scanner reaches it
RIM = 1 / 16  # of the field of view, at either side
FLAT = 1.15  # noise is white: its power at high and at very high frequencies differs by less

KSpace = Complex[np.ndarray, "slice coil row column"]
Pattern = Bool[np.ndarray, "row column"]


@dataclass(frozen=True, eq=False)
class CoilNoise:
    """Noise of samples of k-space.

    Attributes:
        std: Standard deviation per real component, the same in all coils.
        source: Where the figures come from.
        mixing: Matrix from the coils of the samples to the coils as acquired; None where the
            samples are as acquired.
    """

    std: float
    source: str
    mixing: Complex[np.ndarray, "scanner coil"] | None = None


def noise_from_samples(
    values: Complex[np.ndarray, "coil sample"], source: str, power: float = 1.0
) -> CoilNoise:
    """Return the noise of samples that hold nothing else.

    Args:
        values: Samples of pure noise; too few of them (``SAMPLES_A_COIL``) give no covariance.
        source: Where the samples come from.
        power: Noise power of the image's samples over that of ``values``.
    """
    coils, count = values.shape
    values = values.astype(np.complex128)  # squares of small numbers vanish in single precision
    covariance = power * (values @ values.conj().T) / count
    if coils == 1 or count < SAMPLES_A_COIL * coils:
        covariance = np.eye(coils) * np.real(np.trace(covariance)) / coils
        return CoilNoise(_std(covariance), source)
    return noise_from_covariance(covariance, source)


def noise_from_covariance(covariance: Complex[np.ndarray, "coil coil"], source: str) -> CoilNoise:
    r"""Return the noise of a covariance :math:`E[n n^H]`, twice the variance per real component.

    Whitening keeps the mean power of the coils, so that images keep their brightness.

    Raises:
        ScanError: If the matrix is not Hermitian and positive definite.
    """
    std = _std(covariance)
    if len(covariance) == 1:
        return CoilNoise(std, source)
    scale = 2 * std**2
    if not scale > 0:
        return CoilNoise(0.0, source)
    if not np.allclose(covariance, covariance.conj().T, atol=1e-4 * scale):
        raise ScanError(f"{source}: the noise covariance is not Hermitian.")
    try:
        mixing = np.linalg.cholesky(covariance / scale)
    except np.linalg.LinAlgError as error:
        raise ScanError(
            f"{source}: the noise covariance of {len(covariance)} coils is not positive definite; "
            "is a coil dead, or there twice?"
        ) from error
    return CoilNoise(std, f"{source}, coils whitened by its covariance", mixing)


def whiten(
    samples: Complex[np.ndarray, "slice coil *place"], noise: CoilNoise
) -> Complex[np.ndarray, "slice coil *place"]:
    """Make the noise of the coils uncorrelated and of one standard deviation."""
    if noise.mixing is None:
        return samples
    inverse = np.linalg.inv(noise.mixing).astype(samples.dtype)
    return np.einsum("cd,sd...->sc...", inverse, samples)


def estimate_noise(kspace: KSpace, sampled: Pattern, size: tuple[int, int], name: str) -> CoilNoise:
    """Find the noise in k-space that comes without a noise scan.

    Lines that are sampled without gaps show the rim of the field of view, which is air, and there
    high frequencies of the other axis are noise; that gives a covariance. Elsewhere the highest
    sampled frequencies give a standard deviation, too large where they hold signal.

    Args:
        kspace: Zero frequency in the middle.
        sampled: Which samples were measured.
        size: Rows and columns of the image; fewer than samples where these are oversampled.
        name: File name, for messages.

    Raises:
        ScanError: If too few samples are left, or k-space was filtered.
    """
    for axis in (-2, -1):
        values = _object_free(kspace, sampled, axis, size[axis])
        if values is not None:
            return noise_from_samples(values, "object-free rim of the field of view")
    return _highest_frequencies(kspace, sampled, name)


def require_noise(std: float, bright: float, name: str) -> None:
    """Refuse a noise that no measurement has.

    Args:
        std: Standard deviation of the samples, of an orthonormal transform.
        bright: Brightness of the image.
        name: File name, for messages.

    Raises:
        ScanError: If the noise is next to nothing, or not finite.
    """
    if not NEGLIGIBLE * bright < std < np.inf:
        raise ScanError(
            f"{name}: its noise would be {std:.2g} beside an image of {bright:.2g}, which no "
            "measurement reaches; add a noise scan to the file, or give the standard deviation "
            "(--noise-std, read_input(noise_std=...))."
        )


def _object_free(
    kspace: KSpace, sampled: Pattern, axis: int, size: int
) -> Complex[np.ndarray, "coil sample"] | None:
    """Return samples of the rim of the field at high frequencies, if they are flat as noise is."""
    other = -3 - axis
    length, count = kspace.shape[axis], kspace.shape[other]
    frequency = np.abs(np.arange(count) - count // 2) / (count / 2)
    start, stop = _runs(sampled if axis == -2 else sampled.T)
    chosen = np.flatnonzero((stop - start >= length / 2) & (frequency >= 0.5))
    if not len(chosen):
        return None
    # The samples that all these lines have: an image of fewer pixels, and of the same field.
    block = np.arange(start[chosen].max(), stop[chosen].min())
    if len(block) < length / 2:
        return None
    hybrid = np.take(np.take(kspace, chosen, axis=other), block, axis=axis)
    hybrid = np.fft.ifft(hybrid.astype(np.complex128), axis=axis, norm="ortho")
    distance = np.abs(np.fft.fftfreq(len(block)))  # from the middle, in fields of view
    # The filter of the receiver falls off at the ends of an oversampled field.
    inner, outer = size / length / 2, (size / length + 1) / 4
    rim = (distance > inner) & (distance <= outer) if size < length else distance >= 0.5 - RIM
    hybrid = np.compress(rim, hybrid, axis=axis)
    powers = np.square(np.abs(hybrid)).mean((0, 1, axis))
    lower = frequency[chosen] < (0.5 + frequency[chosen].max()) / 2
    each = hybrid.size / len(chosen)
    counts = each * lower.sum(), each * (~lower).sum()
    if min(counts) < FEWEST or not powers.min() > 0:
        return None
    spread = float(np.sqrt(1 / counts[0] + 1 / counts[1]))
    ratio = float(powers[lower].mean() / powers[~lower].mean())
    if abs(np.log(ratio)) > np.log(FLAT) + 4 * spread:
        return None
    return hybrid.swapaxes(0, 1).reshape(kspace.shape[1], -1)


def _runs(sampled: Pattern) -> tuple[np.ndarray, np.ndarray]:
    """Return first and last + 1 of the samples of every column that lie together about zero."""
    middle = len(sampled) // 2
    above = np.cumprod(sampled[middle:], axis=0).sum(axis=0)
    below = np.cumprod(sampled[:middle][::-1], axis=0).sum(axis=0)
    return middle - below, middle + above


def _highest_frequencies(kspace: KSpace, sampled: Pattern, name: str) -> CoilNoise:
    place = [(np.arange(n) - n // 2) / (n / 2) for n in sampled.shape]
    radius = np.hypot(place[0][:, None], place[1])[sampled]
    each = kspace.shape[0] * kspace.shape[1]
    count = max(round(OUTERMOST * len(radius)), -(-FEWEST // each))
    if 2 * count > len(radius):
        raise ScanError(
            f"{name}: too few high frequencies are sampled to find the noise; add a noise scan to "
            "the file, or give the standard deviation (--noise-std, read_input(noise_std=...))."
        )
    order = np.argsort(radius, kind="stable")[-count:]
    highest = np.asarray(kspace[..., sampled][..., order], np.complex64)
    values = np.abs(np.stack([highest.real, highest.imag]))
    inner, outer = (
        float(MEDIAN_TO_STD * np.median(half)) for half in np.array_split(values, 2, axis=-1)
    )
    if outer < FALL_OFF * inner:
        raise ScanError(
            f"{name}: its k-space falls off towards the highest frequencies, from {inner:.2g} to "
            f"{outer:.2g}, as a filter makes it, so the noise cannot be found there; export "
            "unfiltered k-space, or with a noise scan."
        )
    return CoilNoise(float(MEDIAN_TO_STD * np.median(values)), "highest sampled frequencies")


def _std(covariance: np.ndarray) -> float:
    return float(np.sqrt(np.real(np.trace(covariance)) / len(covariance) / 2))
