"""Linear MMSE estimate under a Gaussian model of principal directions and a spectrum."""

import torch
from jaxtyping import Float
from torch import Tensor

from uqrestore.networks.linear.gaussian import (
    GaussianModel,
    SpectralModel,
    in_double,
    linear_estimate,
    normal,
    solve,
)
from uqrestore.operators.base import Shape
from uqrestore.problem import Problem

OVERSAMPLING = 12
"""Directions sought beyond those that are kept, so that the last of these are right too."""
ROUNDS = 6
"""Subspace iterations of the search for principal directions."""


class LowRankEstimator(SpectralModel):
    r"""Linear MMSE estimate under a Gaussian model of images, by a few conjugate gradients.

    The model has a mean image, principal directions, and for the remainder a standard deviation
    for each pixel and one power spectrum: :math:`C = L L^T` with :math:`L = [B, \operatorname{diag}
    (s) F^{-1} S^{1/2} F]`. The estimate is :math:`\mu + L z`, where :math:`z` minimises

    .. math:: \|A L z - (y - A \mu)\|^2 / v + \|z\|^2,

    with :math:`v` the variance of the noise (:func:`uqrestore.networks.linear.gaussian.solve` says
    what it is where there is none). Only :math:`A`, :math:`A^T` and :math:`A^+` are needed.

    Args:
        image_shape: ``(channel, row, column)``.
        iterations: Conjugate gradient steps.
        rank: Number of principal directions; 0 leaves the spectrum alone.

    Raises:
        ValueError: If there are more directions than pixels.
    """

    basis: Tensor

    def __init__(self, image_shape: Shape, iterations: int, rank: int) -> None:
        super().__init__(image_shape)
        self.iterations, self.rank = iterations, rank
        pixels = self.mean.numel()
        if not 0 <= rank < pixels:
            raise ValueError(
                f"guess_rank is {rank} but images have {pixels} pixels; give fewer directions than "
                "that, and no negative number."
            )
        self.register_buffer("basis", torch.zeros(rank, pixels))

    @property
    def model(self) -> GaussianModel:
        """Gaussian model of all images."""
        return GaussianModel(self.mean, self.basis, self.std, self.spectrum)

    @torch.no_grad()
    def fit(self, images: Float[Tensor, "image channel row column"]) -> None:
        """Set mean, directions, standard deviations and spectrum from training images.

        Raises:
            ValueError: If there are fewer images than directions.
        """
        if len(images) <= self.rank + OVERSAMPLING:
            raise ValueError(
                f"{len(images)} images do not determine {self.rank} directions; give more than "
                f"{self.rank + OVERSAMPLING}, or lower guess_rank."
            )
        self.mean.copy_(images.mean(0))
        rest = (images - self.mean).flatten(1)
        if self.rank:
            directions, std = _principal(rest, self.rank)
            self.basis.copy_((directions * std).mT)
            rest = rest - rest @ directions @ directions.mT
        self.fit_spectrum(rest.unflatten(1, self.image_shape))

    @in_double
    def forward(self, problem: Problem) -> Float[Tensor, "*batch channel row column"]:
        """Estimate the images of a problem, shape ``(*batch, *in_shape)``."""
        model = self.model.to(problem.y.dtype.to_real())
        return linear_estimate(model, problem, problem.y, self.iterations)

    def covariance(self, x: Tensor) -> Tensor:
        """Apply ``C``."""
        model = self.model.to(x.dtype)
        return model.synthesise(model.analyse(x))

    def posterior_covariance(self, problem: Problem, x: Tensor) -> Tensor:
        r"""Apply the posterior covariance of the model.

        It is zero along what is measured without noise.

        Args:
            problem: A problem or a batch of problems.
            x: Images ``(*more, *problem_batch, channel, row, column)``.
        """
        model = self.model.to(x.dtype)
        wide = model.analyse(problem.project_null(x))
        seen = model.analyse(normal(problem, model.synthesise(wide)))
        known = solve(model, problem, seen, self.iterations)
        return problem.project_null(model.synthesise(wide - known))


def _principal(rows: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return principal directions of centred rows, as columns, and their standard deviations."""
    generator = torch.Generator().manual_seed(0)
    wanted = min(count + OVERSAMPLING, rows.shape[1])
    block = torch.randn(rows.shape[1], wanted, generator=generator).to(rows)
    for _ in range(ROUNDS):
        block = torch.linalg.qr(rows.mT @ (rows @ block)).Q
    _, sizes, rotation = torch.linalg.svd(rows @ block, full_matrices=False)
    return (block @ rotation.mT)[:, :count], sizes[:count] / len(rows) ** 0.5
