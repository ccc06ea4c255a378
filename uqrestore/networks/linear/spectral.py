"""The linear estimate of an image from its measurement, which a network refines."""

import torch
from jaxtyping import Float
from torch import Tensor

from uqrestore.networks.linear.gaussian import DONE, SpectralModel, filtered, strength
from uqrestore.operators._cg import expand_to
from uqrestore.operators.base import Shape
from uqrestore.problem import Problem

FLOOR = 3e-3
"""Least variance of the noise, as a share of the unit: keeps the iteration from ringing."""


class SpectralEstimator(SpectralModel):
    r"""Linear MMSE estimate under a simple Gaussian law, by a few conjugate gradients.

    The law has a mean image, a standard deviation for each pixel and one power spectrum of what
    is left, :math:`C = \operatorname{diag}(s) F^{-1} S F \operatorname{diag}(s)`. With
    :math:`P = A^+ A`, the estimate is :math:`\mu + C u` where
    :math:`(P C P + \epsilon P) u = A^+ y - P \mu`; any operator will do, for only :math:`P` is
    used. Noise of the measurement enters :math:`\epsilon` by the mean square of the singular
    values.

    Args:
        image_shape: ``(channel, row, column)``.
        iterations: Conjugate gradient steps.
    """

    def __init__(self, image_shape: Shape, iterations: int) -> None:
        super().__init__(image_shape)
        self.iterations = iterations

    @torch.no_grad()
    def fit(self, images: Float[Tensor, "image channel row column"]) -> None:
        """Take mean, standard deviations and spectrum from training images."""
        self.mean.copy_(images.mean(0))
        self.fit_spectrum(images - self.mean)

    @torch.no_grad()
    def forward(self, problem: Problem) -> Float[Tensor, "*batch channel row column"]:
        """Estimate the images of a problem, shape ``(*batch, *in_shape)`` as ``A^+ y`` has."""
        operator = problem.operator
        seen = operator.pinv(problem.y)
        mean = self.mean.to(seen.dtype).expand(*problem.problem_shape, *self.image_shape)
        left = seen - operator.pinv(operator.forward(mean))
        with torch.autocast(left.device.type, enabled=False):
            return mean + self.covariance(self._solve(problem, left))

    @torch.no_grad()
    def posterior_covariance(self, problem: Problem, x: Tensor) -> Tensor:
        r"""Apply the covariance that the law has left after a measurement.

        :math:`C - C (P C P + \epsilon P)^+ P C`, and nothing from or to what is measured without
        noise.

        Args:
            problem: A problem or a batch of problems.
            x: Images ``(*more, *problem_batch, channel, row, column)``.
        """
        operator = problem.operator
        wide = self.covariance(problem.project_null(x))
        known = self._solve(problem, operator.pinv(operator.forward(wide)))
        return problem.project_null(wide - self.covariance(known))

    def _solve(self, problem: Problem, left: Tensor) -> Tensor:
        """Return ``u`` of ``(P C P + epsilon P) u = left``, about."""
        # Its own loop, not that of operators.cg: on blurs, which its few steps leave unfinished,
        # the order of rounding shows, and the weights that ship were trained on this one.
        operator = problem.operator
        # The variance of the noise as the pseudo-inverse lifts it, about.
        power_of = strength(operator, left).clamp(min=FLOOR)
        std = torch.as_tensor(problem.noise_std, dtype=left.dtype, device=left.device)
        epsilon = expand_to(FLOOR + std**2 / power_of, 3)
        u, direction, power = torch.zeros_like(left), left, _dot(left, left)
        enough = (DONE * torch.finfo(left.dtype).eps) ** 2 * power
        for _ in range(self.iterations):
            sent = self.covariance(direction)
            sent = operator.pinv(operator.forward(sent)) + epsilon * direction
            step = power / _dot(direction, sent).clamp(min=torch.finfo(left.dtype).tiny)
            # What is left of a solved problem is rounding, along which the curvature has no sign.
            step = torch.where(power > enough, step, 0)
            u, left = u + step * direction, left - step * sent
            before, power = power, _dot(left, left)
            direction = left + power / before.clamp(min=torch.finfo(left.dtype).tiny) * direction
        return u

    def covariance(self, x: Tensor) -> Tensor:
        """Apply ``C``."""
        return self.std * filtered(x * self.std, self.spectrum)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum((-3, -2, -1), keepdim=True)
