"""Linear MMSE estimate under a Gaussian model of pixel variances and one power spectrum."""

import torch
from jaxtyping import Float
from torch import Tensor

from uqrestore.networks.linear.gaussian import (
    SpectralModel,
    filtered,
    in_double,
    solve_system,
    strength,
)
from uqrestore.operators._cg import expand_to
from uqrestore.operators.base import Shape
from uqrestore.problem import Problem

FLOOR = 3e-3
"""Lower bound on the variance of the noise, as a share of the unit: few steps ring below it."""


class SpectralEstimator(SpectralModel):
    r"""Linear MMSE estimate under a simple Gaussian model, by a few conjugate gradients.

    The model has a mean image, a standard deviation for each pixel and one power spectrum,
    :math:`C = \operatorname{diag}(s) F^{-1} S F \operatorname{diag}(s)`. With
    :math:`P = A^+ A`, the estimate is :math:`\mu + C u` where
    :math:`(P C P + \epsilon P) u = A^+ y - P \mu`; only :math:`P` is used, so any operator will
    do. Noise of the measurement enters :math:`\epsilon` by the mean square of the singular values.

    Args:
        image_shape: ``(channel, row, column)``.
        iterations: Conjugate gradient steps.
    """

    def __init__(self, image_shape: Shape, iterations: int) -> None:
        super().__init__(image_shape)
        self.iterations = iterations

    @torch.no_grad()
    def fit(self, images: Float[Tensor, "image channel row column"]) -> None:
        """Set mean, standard deviations and spectrum from training images."""
        self.mean.copy_(images.mean(0))
        self.fit_spectrum(images - self.mean)

    @in_double
    def forward(self, problem: Problem) -> Float[Tensor, "*batch channel row column"]:
        """Estimate the images of a problem, shape ``(*batch, *in_shape)`` as ``A^+ y`` has."""
        operator = problem.operator
        seen = operator.pinv(problem.y)
        mean = self.mean.to(seen.dtype).expand(*problem.problem_shape, *self.image_shape)
        residual = seen - operator.row_part(mean)
        return mean + self.covariance(self._solve(problem, residual))

    def posterior_covariance(self, problem: Problem, x: Tensor) -> Tensor:
        r"""Apply the posterior covariance of the model.

        :math:`C - C (P C P + \epsilon P)^+ P C`, and zero to and from the range of ``A^T`` where
        the measurement has no noise.

        Args:
            problem: A problem or a batch of problems.
            x: Images ``(*more, *problem_batch, channel, row, column)``.
        """
        operator = problem.operator
        wide = self.covariance(problem.project_null(x))
        known = self._solve(problem, operator.row_part(wide))
        return problem.project_null(wide - self.covariance(known))

    def _solve(self, problem: Problem, b: Tensor) -> Tensor:
        """Return ``u`` of ``(P C P + epsilon P) u = b`` for ``b`` in the range of ``P``."""
        operator = problem.operator
        # The variance of the noise as the pseudo-inverse amplifies it, on average.
        power = strength(operator, b).clamp(min=FLOOR)
        std = problem.noise_std_as(b)
        epsilon = expand_to(FLOOR + std**2 / power, 3)

        def system(u: Tensor) -> Tensor:
            return operator.row_part(self.covariance(u)) + epsilon * u

        return solve_system(system, b, dims=3, steps=self.iterations)

    def covariance(self, x: Tensor) -> Tensor:
        """Apply ``C``."""
        std, spectrum = self.std.to(x.dtype), self.spectrum.to(x.dtype)
        return std * filtered(x * std, spectrum)
