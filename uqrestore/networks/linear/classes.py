"""Linear MMSE estimate under Gaussian models of the classes of images that remain possible."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from uqrestore.networks.linear.gaussian import (
    GaussianModel,
    SpectralModel,
    in_double,
    linear_estimate,
    strength,
)
from uqrestore.networks.linear.low_rank import LowRankEstimator
from uqrestore.operators._cg import expand_to
from uqrestore.operators.base import Shape
from uqrestore.problem import Problem

COARSE = 8
"""Pixels a side of the images that classes are distinguished by."""
FIRST = 6
"""Conjugate gradient steps of the first estimate: enough to see the class of an image."""
PROBES = 4
"""Simulated errors of the first estimate, each used with both signs."""
ROUNDS = 25
"""Rounds of k-means."""
POOLED = 300
"""Weight, in images, of the covariance within all classes in that of each."""
MIN_VARIANCE = 1e-3
"""Lower bound on the per-class variance relative to the global one; keeps the covariance
invertible in half precision and along degenerate directions."""


class ClasswiseEstimator(nn.Module):
    r"""Linear MMSE estimate under a Gaussian model that depends on the measurement.

    Images fall into classes, such as heights of a slice in the head, each with its own mean and
    its own covariance of the principal directions. A first estimate
    (:class:`uqrestore.networks.linear.low_rank.LowRankEstimator`) shows which are possible:
    images drawn from the model of all classes are measured and estimated in the same way, and
    their errors are draws from its posterior (pathwise conditioning). The weight of a class is the
    share of "first estimate plus error" that is nearest to it. The second estimate is under the
    Gaussian model with the mean and covariance of the classes in these weights. Where nothing is
    measured, it is the mean of all images.

    Args:
        image_shape: ``(channel, row, column)``.
        iterations: Conjugate gradient steps of the second estimate, and of the posterior
            covariance of the model of all classes.
        rank: Number of principal directions.
        classes: Number of classes.

    Raises:
        ValueError: If there are fewer than two classes.

    References:
        Wilson et al., "Pathwise Conditioning of Gaussian Processes", JMLR 22, 2021.
        arXiv:2011.04026
    """

    images = 20_000
    """Number of training images that it is fitted to."""

    centres: Tensor
    class_means: Tensor
    class_coefficients: Tensor
    class_covariances: Tensor
    probes: Tensor

    def __init__(self, image_shape: Shape, iterations: int, rank: int, classes: int) -> None:
        super().__init__()
        if classes < 2:
            raise ValueError(f"guess_classes is {classes}; give at least 2, or 0 for one model.")
        self.image_shape, self.iterations = tuple(image_shape), iterations
        self.first = LowRankEstimator(image_shape, iterations, rank)
        self.rest = SpectralModel(image_shape)
        channels = image_shape[0]
        self.register_buffer("centres", torch.zeros(classes, channels * COARSE**2))
        self.register_buffer("class_means", torch.zeros(classes, *image_shape))
        self.register_buffer("class_coefficients", torch.zeros(classes, rank))
        white = torch.eye(rank).expand(classes, rank, rank).clone()
        self.register_buffer("class_covariances", white)
        length = self.first.model.coefficients + self.first.mean.numel()
        probes = torch.randn(PROBES, length, generator=torch.Generator().manual_seed(0))
        self.register_buffer("probes", probes, persistent=False)

    @property
    def mean(self) -> Tensor:
        """Mean of all images."""
        return self.first.mean

    @torch.no_grad()
    def fit(self, images: Float[Tensor, "image channel row column"]) -> None:
        """Set the model of all images, the classes and the model of each from training images.

        Raises:
            ValueError: If there are fewer images than classes or directions.
        """
        self.first.fit(images)
        coarse = _coarse(images)
        centres, label = _k_means(coarse, len(self.centres))
        self.centres.copy_(centres)
        basis = self.first.basis
        lengths = basis.square().sum(1)
        lengths = lengths.clamp(min=MIN_VARIANCE**2 * float(lengths.max()))
        shift = (images - self.first.mean).flatten(1)
        # In units of the model of all, whose coefficients are white: half precision does no harm.
        white = shift @ basis.mT / lengths
        # An empty class has the model of all.
        self.class_means[:] = self.mean
        self.class_coefficients.zero_()
        self.class_covariances[:] = torch.eye(len(basis))
        occupied = [k for k in range(len(centres)) if (label == k).any()]
        for k in occupied:
            self.class_means[k] = images[label == k].mean(0)
            self.class_coefficients[k] = white[label == k].mean(0)
        inside = white - self.class_coefficients[label]
        within = inside.mT @ inside / len(images)
        least = MIN_VARIANCE * torch.eye(len(basis)).to(within)
        for k in occupied:
            own = inside[label == k]
            pooled = own.mT @ own + POOLED * within
            self.class_covariances[k] = pooled / (len(own) + POOLED) + least
        rest = (images - self.class_means[label]).flatten(1) - inside @ basis
        self.rest.fit_spectrum(rest.unflatten(1, self.image_shape))

    @in_double
    def forward(self, problem: Problem) -> Float[Tensor, "*batch channel row column"]:
        """Estimate the images of a problem, shape ``(*batch, *in_shape)``."""
        model = self.model_of(self.shares(problem))
        found = linear_estimate(model, problem, problem.y, self.iterations)
        rank = problem.operator.rank()
        if rank is None:
            return found
        unmeasured = expand_to(rank.to(found.device) == 0, len(problem.in_shape))
        return torch.where(unmeasured, self.mean.to(found.dtype), found)

    def covariance(self, x: Tensor) -> Tensor:
        """Apply the covariance of the model of all images."""
        return self.first.covariance(x)

    def posterior_covariance(self, problem: Problem, x: Tensor) -> Tensor:
        """Apply the posterior covariance of the model of all images."""
        return self.first.posterior_covariance(problem, x)

    def shares(self, problem: Problem) -> Float[Tensor, "*batch class"]:
        """Return the weight of each class given a first estimate and its error."""
        y, own = problem.y, problem.problem_shape
        kind = y.dtype.to_real()
        model = self.first.model.to(kind)
        # The same probes for every problem: an estimate must not depend on the rest of the batch.
        probes = self.probes.to(kind).reshape(PROBES, *[1] * len(own), -1)
        white, noise = probes.tensor_split([model.coefficients], dim=-1)
        drawn = model.mean + model.synthesise(white.expand(PROBES, *own, -1).contiguous())
        noise = noise.unflatten(-1, self.image_shape)
        images = drawn + _noise_scale(problem, drawn) * noise if problem.is_noisy else drawn
        measured = problem.operator.forward(images)
        found = linear_estimate(model, problem, torch.cat([y[None], measured]), FIRST)
        found, errors = found[:1], drawn - found[1:]
        possible = _coarse(torch.cat([found + errors, found - errors]))
        nearest = torch.cdist(possible, self.centres.to(kind)).argmin(-1)
        return F.one_hot(nearest, len(self.centres)).to(kind).mean(0)

    def model_of(self, shares: Float[Tensor, "*batch class"]) -> GaussianModel:
        """Return the Gaussian model with mean and covariance of a mixture of the classes."""
        kind = shares.dtype
        means, covariances = self.class_coefficients.to(kind), self.class_covariances.to(kind)
        apart = means - (shares @ means)[..., None, :]
        covariance = torch.tensordot(shares, covariances, dims=1)
        covariance = covariance + apart.mT @ (shares[..., None] * apart)
        mean = torch.tensordot(shares, self.class_means.to(kind), dims=1)
        root = torch.linalg.cholesky(covariance)
        rest = self.rest
        return GaussianModel(mean, self.first.basis, rest.std, rest.spectrum, root).to(kind)


def _noise_scale(problem: Problem, like: Tensor) -> Tensor:
    """Return the noise of a measurement in units of the image, on average."""
    std = problem.noise_std_as(like)
    power = strength(problem.operator, like)
    return expand_to(torch.where(power > 0, std / power.sqrt(), 0), len(problem.in_shape))


def _coarse(images: Float[Tensor, "*batch channel row column"]) -> Tensor:
    """Return images averaged down, as vectors."""
    flat = images.flatten(0, -4)
    return F.adaptive_avg_pool2d(flat, COARSE).flatten(1).unflatten(0, images.shape[:-3])


def _k_means(points: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return centres, and the index of the nearest one to each point."""
    if len(points) < count:
        raise ValueError(f"{len(points)} images cannot make {count} classes; give more images.")
    first = torch.randperm(len(points), generator=torch.Generator().manual_seed(0))[:count]
    centres = points[first]
    label = torch.cdist(points, centres).argmin(1)
    for _ in range(ROUNDS):
        # An empty class keeps its centre.
        means = [
            points[label == k].mean(0) if (label == k).any() else centres[k] for k in range(count)
        ]
        centres = torch.stack(means)
        label = torch.cdist(points, centres).argmin(1)
    return centres, label
