"""A guess whose law is of the classes of images that a first, linear one leaves possible."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from uqrestore.networks.linear.gaussian import (
    GaussianModel,
    SpectralModel,
    linear_estimate,
    strength,
)
from uqrestore.networks.linear.low_rank import LowRankEstimator
from uqrestore.operators._cg import expand_to
from uqrestore.operators.base import Shape
from uqrestore.problem import Problem

COARSE = 8
"""Pixels a side of what images are told apart by."""
FIRST = 6
"""Conjugate gradient steps of the first estimate: enough to see the class of an image."""
PROBES = 4
"""Errors of that estimate that are tried, each with both signs."""
ROUNDS = 25
"""Rounds of k-means."""
POOLED = 300
"""How many images' worth of the covariance of all classes is mixed into that of each."""
NARROW = 1e-3
"""Least variance along a direction in a class, as a share of that in all: what half precision and
a direction in which no image differs leave regular."""


class ClasswiseEstimator(nn.Module):
    r"""Linear MMSE estimate under a law that depends on the measurement: piecewise linear.

    Images fall into classes, such as heights of a slice in the head, each with its own mean and
    its own covariance of the widest directions. A first estimate
    (:class:`uqrestore.networks.linear.low_rank.LowRankEstimator`) shows which are possible:
    images drawn from the model of all classes are measured and estimated in the same way, and
    their errors are draws from its posterior (pathwise conditioning). The weight of a class is the
    share of "first estimate plus error" that is nearest to it. The second estimate is under the
    Gaussian model with the mean and covariance of the classes in these weights. Where nothing is
    measured, it is the mean of all.

    Args:
        image_shape: ``(channel, row, column)``.
        iterations: Conjugate gradient steps of the second estimate, and of what the law of all
            leaves where that is asked for.
        rank: Widest directions.
        classes: How many classes.

    Raises:
        ValueError: If there are fewer than two classes.

    References:
        Wilson et al., "Pathwise Conditioning of Gaussian Processes", JMLR 22, 2021.
        arXiv:2011.04026
    """

    images = 20_000
    """How many training images to fit it to."""

    centres: Tensor
    class_means: Tensor
    class_coefficients: Tensor
    class_covariances: Tensor
    probes: Tensor

    def __init__(self, image_shape: Shape, iterations: int, rank: int, classes: int) -> None:
        super().__init__()
        if classes < 2:
            raise ValueError(f"guess_classes is {classes}; give at least 2, or 0 for one law.")
        self.image_shape, self.iterations = tuple(image_shape), iterations
        self.first = LowRankEstimator(image_shape, iterations, rank)
        self.rest = SpectralModel(image_shape)
        channels = image_shape[0]
        self.register_buffer("centres", torch.zeros(classes, channels * COARSE**2))
        self.register_buffer("class_means", torch.zeros(classes, *image_shape))
        self.register_buffer("class_coefficients", torch.zeros(classes, rank))
        white = torch.eye(rank).expand(classes, rank, rank).clone()
        self.register_buffer("class_covariances", white)
        drawn = self.first.law.coefficients + self.first.mean.numel()
        probes = torch.randn(PROBES, drawn, generator=torch.Generator().manual_seed(0))
        self.register_buffer("probes", probes, persistent=False)

    @property
    def mean(self) -> Tensor:
        """Of all images."""
        return self.first.mean

    @torch.no_grad()
    def fit(self, images: Float[Tensor, "image channel row column"]) -> None:
        """Take the law of all images, the classes and the law of each from training images.

        Raises:
            ValueError: If there are fewer images than classes or directions.
        """
        self.first.fit(images)
        coarse = _coarse(images)
        centres, of = _k_means(coarse, len(self.centres))
        self.centres.copy_(centres)
        basis = self.first.basis
        lengths = basis.square().sum(1)
        lengths = lengths.clamp(min=NARROW**2 * float(lengths.max()))
        shift = (images - self.first.mean).flatten(1)
        # In units of the law of all, whose coefficients are white: half precision does no harm.
        white = shift @ basis.mT / lengths
        # A class that no image is in has the law of all.
        self.class_means[:] = self.mean
        self.class_coefficients.zero_()
        self.class_covariances[:] = torch.eye(len(basis))
        taken = [k for k in range(len(centres)) if (of == k).any()]
        for k in taken:
            self.class_means[k] = images[of == k].mean(0)
            self.class_coefficients[k] = white[of == k].mean(0)
        inside = white - self.class_coefficients[of]
        within = inside.mT @ inside / len(images)
        least = NARROW * torch.eye(len(basis)).to(within)
        for k in taken:
            own = inside[of == k]
            pooled = own.mT @ own + POOLED * within
            self.class_covariances[k] = pooled / (len(own) + POOLED) + least
        left = (images - self.class_means[of]).flatten(1) - inside @ basis
        self.rest.fit_spectrum(left.unflatten(1, self.image_shape))

    @torch.no_grad()
    def forward(self, problem: Problem) -> Float[Tensor, "*batch channel row column"]:
        """Estimate the images of a problem, shape ``(*batch, *in_shape)``."""
        with torch.autocast(problem.y.device.type, enabled=False):
            law = self.model_of(self.shares(problem))
            found = linear_estimate(law, problem, problem.y, self.iterations)
        rank = problem.operator.rank()
        if rank is None:
            return found
        blank = expand_to(rank.to(found.device) == 0, len(problem.in_shape))
        return torch.where(blank, self.mean.to(found.dtype), found)

    def covariance(self, x: Tensor) -> Tensor:
        """Apply the covariance of the law of all."""
        return self.first.covariance(x)

    def posterior_covariance(self, problem: Problem, x: Tensor) -> Tensor:
        """Apply what the law of all has left, as :class:`LowRankEstimator` does."""
        return self.first.posterior_covariance(problem, x)

    def shares(self, problem: Problem) -> Float[Tensor, "*batch class"]:
        """Return the share of each class in what the first estimate leaves possible."""
        law, y, own = self.first.law, problem.y, problem.problem_shape
        # The same probes for every problem: a guess must not depend on who else is in the batch.
        probes = self.probes.to(y.dtype.to_real()).reshape(PROBES, *[1] * len(own), -1)
        white, noise = probes.tensor_split([law.coefficients], dim=-1)
        drawn = law.mean + law.spread(white.expand(PROBES, *own, -1).contiguous())
        noise = noise.unflatten(-1, self.image_shape)
        images = drawn + self._loudness(problem, drawn) * noise if problem.is_noisy else drawn
        measured = problem.operator.forward(images)
        found = linear_estimate(law, problem, torch.cat([y[None], measured]), FIRST)
        found, errors = found[:1], drawn - found[1:]
        possible = _coarse(torch.cat([found + errors, found - errors]))
        nearest = torch.cdist(possible, self.centres.to(possible.dtype)).argmin(-1)
        return F.one_hot(nearest, len(self.centres)).to(drawn.dtype).mean(0)

    def _loudness(self, problem: Problem, like: Tensor) -> Tensor:
        """Return the noise of a measurement in units of the image, about."""
        std = torch.as_tensor(problem.noise_std, dtype=like.dtype, device=like.device)
        power = strength(problem.operator, like)
        loud = torch.where(power > 0, std / power.sqrt(), 0)
        return expand_to(loud, len(problem.in_shape))

    def model_of(self, shares: Float[Tensor, "*batch class"]) -> GaussianModel:
        """Return the Gaussian law with mean and covariance of a mixture of the classes."""
        means, covariances = self.class_coefficients, self.class_covariances
        apart = means - (shares @ means.to(shares.dtype))[..., None, :]
        covariance = torch.tensordot(shares, covariances.to(shares.dtype), dims=1)
        covariance = covariance + apart.mT @ (shares[..., None] * apart)
        mean = torch.tensordot(shares, self.class_means.to(shares.dtype), dims=1)
        turn = torch.linalg.cholesky(covariance)
        return GaussianModel(mean, self.first.basis, self.rest.std, self.rest.spectrum, turn)


def _coarse(images: Float[Tensor, "*batch channel row column"]) -> Tensor:
    """Return images averaged down, as vectors."""
    flat = images.flatten(0, -4)
    return F.adaptive_avg_pool2d(flat, COARSE).flatten(1).unflatten(0, images.shape[:-3])


def _k_means(points: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return centres, and which is nearest to each point."""
    if len(points) < count:
        raise ValueError(f"{len(points)} images cannot make {count} classes; give more images.")
    first = torch.randperm(len(points), generator=torch.Generator().manual_seed(0))[:count]
    centres = points[first]
    of = torch.cdist(points, centres).argmin(1)
    for _ in range(ROUNDS):
        # A class that nobody is in stays where it is.
        means = [points[of == k].mean(0) if (of == k).any() else centres[k] for k in range(count)]
        centres = torch.stack(means)
        of = torch.cdist(points, centres).argmin(1)
    return centres, of
