"""Axial correlation of the noise of neighbouring slices, fitted to real scans."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float

from uqrestore.noise import Coherence
from uqrestore.pipeline import RestorePipeline
from uqrestore.posterior.acquisition import Acquisition
from uqrestore.restoration.draw import chunks, draw
from uqrestore.restoration.measure import acquire_slices
from uqrestore.restoration.options import DEFAULTS, RunOptions
from uqrestore.restoration.prepare import PreparedScan, prepare_scan
from uqrestore.restoration.prior_cache import PriorCache
from uqrestore.scans import Scan, ScanError

Ratios = Float[np.ndarray, "volume lag"]

LENGTHS_MM = (0.0, 2.0, 4.0, 6.0, 9.0, 13.0)
DRAWS = 3
"""Draws of a volume: its voxels are many, so that few do."""
FINE = 131
"""Lengths looked at between the shortest and the longest tried."""
SHARES = np.linspace(0.3, 1.0, 36)
"""Shares looked at."""
NEAR = 0.1
"""Relative error of a variogram that is called right: that of a few volumes is no better known."""


@dataclass(frozen=True, eq=False)
class AxialFit:
    """Variogram of draws along the axis, compared with that of the truth.

    Attributes:
        lengths_mm: The lengths tried, rising, with ``axial_share`` 1.
        ratio: Variogram of draws over that of the truth, for each length and lag; 1 is right,
            more is too rough from slice to slice.
        axial_mm: The length found, among or between those tried.
        axial_share: The share found.
        ratio_found: The ratio with these two, measured, for each lag.
    """

    lengths_mm: tuple[float, ...]
    ratio: Float[np.ndarray, "length lag"]
    axial_mm: float
    axial_share: float
    ratio_found: Float[np.ndarray, " lag"]

    @property
    def reached(self) -> bool:
        """True if the variogram is right at every lag."""
        return bool((np.abs(self.ratio_found - 1) <= NEAR).all())


def fit_axial(
    pipeline: RestorePipeline,
    scans: Sequence[Scan],
    *,
    lengths_mm: Sequence[float] = LENGTHS_MM,
    draws: int = DRAWS,
    slices: int | None = None,
    options: RunOptions = DEFAULTS,
    cache: PriorCache | None = None,
    tell: Callable[[str], None] | None = None,
) -> AxialFit:
    """Find the ``axial_mm`` and ``axial_share`` at which draws change along the axis as real scans.

    How fast draws change from a slice to the next depends on the correlation of the noise of
    these two slices, whatever length and share make it. That dependence is measured with the
    lengths given; of all lengths and shares the two are taken at which the ratio at every lag is
    nearest to 1 (least squares of its logarithm), and are then tried.

    The distribution of a single slice depends on neither, so nothing else about a pipeline changes.
    Use scans that neither prior nor pipeline were made on.

    Args:
        pipeline: Its own ``axial_mm`` and ``axial_share`` do not matter.
        scans: Their images are the truth.
        lengths_mm: Lengths to try, rising.
        draws: Draws of every volume at every length.
        slices: Neighbouring slices in the middle of the brain; None takes all of it.
        options: As in ``restore``; resample, batch_size and device matter.
        cache: Keeps the prior for the next call.
        tell: Called with a line for every volume and length.

    Raises:
        ScanError: If a scan does not fit the prior, or has too few slices.
        ValueError: If the lengths do not rise from 0 or more.
    """
    tried = np.asarray(lengths_mm, np.float64)
    if len(tried) < 2 or tried[0] < 0 or (np.diff(tried) <= 0).any():
        raise ValueError(f"lengths_mm must rise from 0 or more, got {list(lengths_mm)}.")
    cache, say = cache or PriorCache(), tell or (lambda _: None)
    volumes = [
        _Volume.of(pipeline, prepare_scan(pipeline, scan, options, cache), slices) for scan in scans
    ]

    def measure(length: float, share: float = 1.0) -> Ratios:
        """Return the ratio of every volume and lag."""
        found = []
        for volume in volumes:
            coherence = Coherence(length / volume.spacing_mm, share)
            images = _draw(volume, draws, coherence, options)
            found.append(variogram(images, volume.mask) / volume.variogram)
            ratios = ", ".join(f"{value:.2f}" for value in found[-1])
            setting = f"axial_mm {length:g}" + (f", axial_share {share:.2f}" if share < 1 else "")
            say(f"{volume.name}: {setting}: variogram / truth's {ratios}")
        return np.asarray(found)

    ratio = np.asarray([measure(float(length)) for length in tried])
    length, share = _nearest(tried, ratio, [volume.spacing_mm for volume in volumes])
    return AxialFit(
        lengths_mm=tuple(tried),
        ratio=np.exp(np.log(ratio).mean(axis=1)),
        axial_mm=length,
        axial_share=share,
        ratio_found=np.exp(np.log(measure(length, share)).mean(axis=0)),
    )


def _nearest(
    tried: Float[np.ndarray, " length"],
    ratio: Float[np.ndarray, "length volume lag"],
    spacings_mm: Sequence[float],
) -> tuple[float, float]:
    """Return the length and share whose ratios, between those measured, are nearest to 1."""
    lengths = np.linspace(tried[0], tried[-1], FINE)
    left = np.zeros((len(SHARES), len(lengths)))
    for place, spacing in enumerate(spacings_mm):
        for lag in range(ratio.shape[2]):
            apart = (lag + 1) * spacing
            wanted = SHARES[:, None] * _correlation(lengths, apart)
            known = _correlation(tried, apart)
            # The variogram of draws is linear in the correlation of their noise.
            left += np.log(np.interp(wanted, known, ratio[:, place, lag])) ** 2
    share, length = np.unravel_index(left.argmin(), left.shape)
    return round(float(lengths[length]), 1), round(float(SHARES[share]), 2)


def _correlation(
    lengths_mm: Float[np.ndarray, " length"], apart_mm: float
) -> Float[np.ndarray, " length"]:
    """Return the correlation of the noise of slices so far apart, with share 1."""
    return np.asarray([Coherence(length).correlation(apart_mm) for length in lengths_mm.tolist()])


@dataclass(frozen=True, eq=False)
class _Volume:
    """Neighbouring slices of a scan, and the variogram of the truth along the axis."""

    pipeline: RestorePipeline
    prepared: PreparedScan
    acquisition: Acquisition
    mask: Bool[np.ndarray, "slice row column"]
    variogram: Float[np.ndarray, " lag"]

    @property
    def name(self) -> str:
        return self.prepared.scan.source.name

    @property
    def spacing_mm(self) -> float:
        return self.prepared.scan.spacing[2]

    @classmethod
    def of(cls, pipeline: RestorePipeline, scan: PreparedScan, count: int | None) -> "_Volume":
        assert scan.truth is not None  # an image, not k-space
        chosen = _middle(scan.slices, count, scan.scan.source.name)
        prepared = replace(scan, slices=chosen)
        truth = variogram(scan.truth[[scan.slices.index(k) for k in chosen], 0], prepared.mask)
        acquisition = acquire_slices(pipeline, prepared)
        return cls(pipeline, prepared, acquisition, prepared.mask, truth)


def _middle(slices: tuple[int, ...], count: int | None, name: str) -> tuple[int, ...]:
    """Return neighbouring slices from the middle, checked to be neighbours."""
    count = len(slices) if count is None else min(count, len(slices))
    first = (len(slices) - count) // 2
    chosen = slices[first : first + count]
    if len(chosen) <= LAGS or chosen[-1] - chosen[0] != len(chosen) - 1:
        raise ScanError(
            f"{name}: has {len(chosen)} slices with brain that are no stack of at least "
            f"{LAGS + 1} neighbours; its variogram along the axis cannot be computed."
        )
    return chosen


def _draw(
    volume: _Volume, draws: int, coherence: Coherence, options: RunOptions
) -> Float[np.ndarray, "draw slice row column"]:
    """Draw volumes, in file units."""
    pipeline, prepared, parts = volume.pipeline, volume.prepared, []
    at_once = max(1, (options.batch_size or pipeline.batch_size) // draws)
    for group in chunks(prepared.slices, at_once):
        images, _ = draw(
            pipeline.method,
            volume.acquisition.problem(group).to(options.device),
            prepared.denoiser,
            seed=pipeline.seed,
            scan=prepared.scan.key,
            slices=group,
            draws=range(draws),
            coherence=coherence,
            classes=prepared.classes(group),
        )
        parts.append(volume.acquisition.intensity.to_file(images[:, :, 0]).cpu().numpy())
    return np.concatenate(parts, axis=1)


LAGS = 3
"""Slices apart up to which volumes are compared: there the anatomy still hangs together."""


def variogram(
    volumes: Float[np.ndarray, "*volume slice row column"],
    mask: Bool[np.ndarray, "slice row column"],
    lags: int = LAGS,
) -> Float[np.ndarray, " lag"]:
    r"""Return half the mean square difference of slices that lie some slices apart.

    .. math:: \gamma(h) = \frac{1}{2} \left\langle (x_{k+h} - x_k)^2 \right\rangle

    over pairs of voxels that both lie in the mask, and over volumes.

    Args:
        volumes: Neighbouring slices; further axes in front are averaged over.
        mask: Where to look.
        lags: The largest :math:`h`; the smallest is 1.

    Returns:
        :math:`\gamma`, in squared intensity; NaN where no pair lies in the mask.

    References:
        Matheron, "Principles of Geostatistics", Economic Geology 58:1246-1266, 1963.
    """
    found = np.full(lags, np.nan)
    for h in range(1, min(lags, len(mask) - 1) + 1):
        pair = mask[h:] & mask[:-h]
        if pair.any():
            step = volumes[..., h:, :, :] - volumes[..., :-h, :, :]
            found[h - 1] = 0.5 * np.square(step[..., pair], dtype=np.float64).mean()
    return found
