"""The linear estimate under a law of widest directions and a spectrum of what they leave."""

import torch
from jaxtyping import Float
from torch import Tensor

from uqrestore.networks.linear.gaussian import (
    GaussianModel,
    SpectralModel,
    linear_estimate,
    seen,
    solve,
)
from uqrestore.operators.base import Shape
from uqrestore.problem import Problem

OVER = 12
"""Directions sought beyond those that are kept, so that the last of these are right too."""
ROUNDS = 6
"""Subspace iterations of that search."""


class LowRankEstimator(SpectralModel):
    r"""Linear MMSE estimate under a Gaussian law of images, by a few conjugate gradients.

    The law has a mean image, its widest directions, and for what these leave a standard deviation
    for each pixel and one power spectrum: :math:`C = L L^T` with :math:`L = [B, \operatorname{diag}
    (s) F^{-1} S^{1/2} F]`. The estimate is :math:`\mu + L z`, where :math:`z` minimises

    .. math:: \|A L z - (y - A \mu)\|^2 / v + \|z\|^2,

    with :math:`v` the variance of the noise (:func:`uqrestore.networks.linear.gaussian.solve` says
    what it is where there is none). Only :math:`A`, :math:`A^T` and :math:`A^+` are needed.
    :class:`uqrestore.networks.linear.spectral.SpectralEstimator` is its forerunner: without the
    directions, and in the units of :math:`A^+ y` at every noise.

    Args:
        image_shape: ``(channel, row, column)``.
        iterations: Conjugate gradient steps.
        rank: Widest directions; 0 leaves the spectrum alone.

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
    def law(self) -> GaussianModel:
        """What is known of the images."""
        return GaussianModel(self.mean, self.basis, self.std, self.spectrum)

    @torch.no_grad()
    def fit(self, images: Float[Tensor, "image channel row column"]) -> None:
        """Take mean, directions, standard deviations and spectrum from training images.

        Raises:
            ValueError: If there are fewer images than directions.
        """
        if len(images) <= self.rank + OVER:
            raise ValueError(
                f"{len(images)} images cannot tell {self.rank} directions; give more than "
                f"{self.rank + OVER}, or lower guess_rank."
            )
        self.mean.copy_(images.mean(0))
        rest = (images - self.mean).flatten(1)
        if self.rank:
            widest, lengths = _widest(rest, self.rank)
            self.basis.copy_((widest * lengths).mT)
            rest = rest - rest @ widest @ widest.mT
        self.fit_spectrum(rest.unflatten(1, self.image_shape))

    @torch.no_grad()
    def forward(self, problem: Problem) -> Float[Tensor, "*batch channel row column"]:
        """Estimate the images of a problem, shape ``(*batch, *in_shape)``."""
        with torch.autocast(problem.y.device.type, enabled=False):
            return linear_estimate(self.law, problem, problem.y, self.iterations)

    def covariance(self, x: Tensor) -> Tensor:
        """Apply ``C``."""
        return self.law.spread(self.law.gather(x))

    @torch.no_grad()
    def posterior_covariance(self, problem: Problem, x: Tensor) -> Tensor:
        r"""Apply the covariance that the law has left after a measurement.

        Along what is measured without noise, nothing.

        Args:
            problem: A problem or a batch of problems.
            x: Images ``(*more, *problem_batch, channel, row, column)``.
        """
        law = self.law
        with torch.autocast(problem.y.device.type, enabled=False):
            wide = law.gather(problem.project_null(x))
            left = law.gather(seen(problem, law.spread(wide)))
            known = solve(law, problem, left, self.iterations)
            return problem.project_null(law.spread(wide - known))


def _widest(rows: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the widest directions of centred rows, as columns, and their standard deviations."""
    generator = torch.Generator().manual_seed(0)
    wanted = min(count + OVER, rows.shape[1])
    block = torch.randn(rows.shape[1], wanted, generator=generator).to(rows)
    for _ in range(ROUNDS):
        block = torch.linalg.qr(rows.mT @ (rows @ block)).Q
    _, sizes, turn = torch.linalg.svd(rows @ block, full_matrices=False)
    return (block @ turn.mT)[:, :count], sizes[:count] / len(rows) ** 0.5
