"""Problem sets ``GMM-cal`` and ``GMM-slice``: scenes whose posterior is known, by the hundred.

The first tests samplers, the second promises: its modes are fitted to real slices, and the
mixture of them is then the truth itself, so that how often a promise is broken can be counted.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from uqrestore.diagnostics.scenes import Scenes, scenes_of
from uqrestore.noise import SampleNoise
from uqrestore.operators.base import LinearOperator, Shape
from uqrestore.operators.inpainting import Inpainting
from uqrestore.operators.masked_fourier import MaskedFourier
from uqrestore.operators.masks import cartesian
from uqrestore.operators.matrix import Matrix
from uqrestore.operators.mixed import mix
from uqrestore.priors import GaussianMixture, GaussianPrior, fit_low_rank
from uqrestore.problem import Problem, simulate
from uqrestore.scans import demo_scan_path, fit_to_model, read_scan

SIZES: dict[int, Shape] = {16: (1, 4, 4), 64: (1, 8, 8), 256: (1, 16, 16)}
"""Image shapes of ``GMM-cal`` by number of pixels."""
SLICE_SHAPE: Shape = (1, 28, 28)
"""Image shape of ``GMM-slice``."""


@dataclass(frozen=True, eq=False)
class CalibrationSet:
    """Scenes of a known distribution.

    Attributes:
        prior: Distribution of the images.
        truth: ``(scene, *in_shape)``.
        problem: One measurement of each scene.
    """

    prior: GaussianMixture
    truth: Float[Tensor, "scene channel row column"]
    problem: Problem

    @property
    def posterior(self) -> GaussianMixture:
        """The exact posterior of every scene."""
        found = self.prior.posterior(self.problem)
        assert isinstance(found, GaussianMixture)
        return found

    def scenes(self, draws: Tensor) -> Scenes:
        """Put draws ``(draw, scene, *in_shape)`` beside the truths."""
        return scenes_of(self.truth, draws, self.problem)


def overlapping_modes(
    shape: Shape, *, modes: int = 6, spread: float = 1.5, seed: int = 0
) -> GaussianMixture:
    """Return a mixture of anisotropic modes that overlap, spectrum ``1 / k`` in random bases.

    Args:
        shape: ``(channel, row, column)``.
        modes: How many.
        spread: Standard deviation of the means in every pixel.
        seed: Of means, bases and weights.
    """
    g = torch.Generator().manual_seed(seed)
    pixels = torch.Size(shape).numel()
    weights = torch.rand(modes, generator=g, dtype=torch.float64) + 0.5
    power = 1 / torch.arange(1, pixels + 1, dtype=torch.float64)
    distributions = []
    for _ in range(modes):
        mean = spread * torch.randn(shape, generator=g, dtype=torch.float64)
        basis = torch.linalg.qr(torch.randn(pixels, pixels, generator=g, dtype=torch.float64)).Q
        distributions.append(GaussianPrior.from_covariance(mean, basis * power @ basis.mT))
    return GaussianMixture(weights, distributions)


def gmm_cal(
    pixels: int = 16, scenes: int = 400, *, noise_std: float = 0.3, seed: int = 0
) -> CalibrationSet:
    """Measure draws of overlapping modes, each by an operator of its own.

    Missing pixels, k-space lines and random projections take turns; modes lie closer in larger
    images, where they would otherwise never be confused.

    Args:
        pixels: 16, 64 or 256.
        scenes: How many.
        noise_std: Of the measurement.
        seed: Of everything.

    Raises:
        ValueError: If there is no such size.
    """
    if pixels not in SIZES:
        raise ValueError(
            f"GMM-cal has images of {', '.join(map(str, SIZES))} pixels, not {pixels}."
        )
    shape = SIZES[pixels]
    prior = overlapping_modes(shape, spread=2 / pixels**0.5)
    g = torch.Generator().manual_seed(1000 + seed)
    operator = mix([_operator(i, shape, g) for i in range(scenes)])
    rows = range(scenes)
    truth = prior.draw(SampleNoise(seed, [0], scan=31, slices=rows))[0]
    noise = SampleNoise(seed, [0], scan=32, slices=rows)
    return CalibrationSet(prior, truth, simulate(operator, truth, noise_std=noise_std, noise=noise))


def _operator(index: int, shape: Shape, g: torch.Generator) -> LinearOperator:
    pixels = torch.Size(shape).numel()
    if index % 3 == 0:
        return Inpainting((torch.rand(shape, generator=g) < 0.4).double())
    if index % 3 == 1:
        space = shape[-2], shape[-1]
        mask = cartesian(space, acceleration=2, center_lines=2, seed=g)
        return MaskedFourier(mask, channels=1)
    rows = torch.randn(pixels // 4, pixels, generator=g, dtype=torch.float64)
    return Matrix(rows / pixels**0.5, shape)


def gmm_slice(*, modes: int = 4, rank: int = 24, crops: int = 3000) -> GaussianMixture:
    """Fit low-rank modes to 28 x 28 crops of the real scan that ships with the package.

    Crops of mostly brain are grouped by k-means, and each group is a mode: what EM would start
    from. However well it fits, statements about it are exact, for it is the truth.

    Args:
        modes: How many.
        rank: Factors of each.
        crops: How many crops to fit.
    """
    from scipy.cluster.vq import kmeans2

    side = SLICE_SHAPE[-1]
    model = fit_to_model(read_scan(demo_scan_path()))
    images, mask = model.images, model.mask
    images = 2 * (images - images.min()) / np.ptp(images) - 1
    g = np.random.default_rng(0)
    found = []
    while len(found) < crops:
        k = g.integers(len(images))
        row, column = g.integers(0, images.shape[-1] - side + 1, size=2)
        where = np.s_[row : row + side, column : column + side]
        if mask[k][where].mean() > 0.6:
            found.append(images[k, :, *where])
    x = np.array(found)
    _, label = kmeans2(x.reshape(len(x), -1), modes, minit="++", rng=0)
    distributions = [
        fit_low_rank(torch.from_numpy(x[label == k]).double(), rank) for k in range(modes)
    ]
    return GaussianMixture(torch.from_numpy(np.bincount(label).astype(float)), distributions)


def gmm_slice_scenes(scenes: int = 400, *, noise_std: float = 0.1, seed: int = 0) -> CalibrationSet:
    """Measure draws of :func:`gmm_slice`, half of whose pixels are missing.

    Args:
        scenes: How many.
        noise_std: Of the measurement.
        seed: Of truths and noise; the mask is the same for every seed.
    """
    prior, rows = gmm_slice(), range(scenes)
    seen = torch.rand(SLICE_SHAPE, generator=torch.Generator().manual_seed(0)) < 0.5
    truth = prior.draw(SampleNoise(seed, rows))
    noise = SampleNoise(seed + 1, [0], slices=rows)
    problem = simulate(Inpainting(seen), truth, noise_std=noise_std, noise=noise)
    return CalibrationSet(prior, truth, problem)
