r"""Moves of unknown parameters with the image integrated out, by the exchange algorithm.

Given its parameters :math:`\theta` a measurement with Gaussian noise may be linear in the image.
Under the local prior :math:`N(D, C)` its residual :math:`r = y - A_\theta D` then has the
distribution :math:`N(0, K_\theta)`, :math:`K_\theta = A_\theta C A_\theta^T + s^2 I`, whatever the
image. Image and parameters of an accurate measurement lie on a thin curved sheet, along which
trajectories of both are short; :math:`\theta` alone moves freely. Only the determinant of
:math:`K_\theta` is out of reach. A residual ``w`` simulated at the proposal removes it from the
acceptance ratio,

.. math:: \frac{q_{\theta'}(r') \, q_\theta(w)}{q_\theta(r) \, q_{\theta'}(w)}, \qquad
    q_\theta(r) = e^{-r^T K_\theta^{-1} r / 2}, \quad w \sim N(0, K_{\theta'})

which leaves the posterior of the parameters invariant.

References:
    Murray, Ghahramani & MacKay, "MCMC for doubly-intractable distributions", UAI 2006.
    arXiv:1206.6848
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from uqrestore.noise import Gaussian, SampleNoise
from uqrestore.noise.base import as_like
from uqrestore.operators._cg import conjugate_gradient, inner
from uqrestore.operators.nonlinear.uncertain import UncertainOperator
from uqrestore.problem import GeneralProblem

MOST_PARAMETERS = 16
"""Coordinates beyond which hardly a move is accepted."""
SMALLEST = 0.03
"""Smallest step relative to the prior. The logarithm of a step is uniform up to that of 1, a draw
from the prior: the posterior of parameters narrows from level to level. So is that of the number of
coordinates that move: of many at once only short steps are accepted."""


def can_collapse(problem: GeneralProblem) -> bool:
    """Return whether the image can be integrated out, and the parameters are few."""
    operator = problem.operator
    return (
        isinstance(operator, UncertainOperator)
        and operator.linear_in_image
        and operator.count <= MOST_PARAMETERS
        and isinstance(problem.noise_model, Gaussian)
    )


@dataclass(frozen=True, eq=False)
class Collapsed:
    """Local Gaussian prior of images, and a measurement that is linear given its parameters.

    Args:
        problem: One that :func:`can_collapse`.
        mean: ``D``, ``(*batch, *in_shape)``.
        covariance: Product with ``C``.
        spread: Draw of ``N(0, C)``.
        products: Largest number of products with ``C`` in one solve.
    """

    problem: GeneralProblem
    mean: Tensor
    covariance: Callable[[Tensor], Tensor]
    spread: Callable[[], Tensor]
    products: int

    def draw(self, theta: Tensor, noise: SampleNoise, moves: int) -> tuple[Tensor, Tensor]:
        """Move parameters some times, and draw the image given them.

        Args:
            theta: Coordinates of the parameters, ``(*batch, parameter)``.
            noise: Random streams.
            moves: Number of proposals.

        Returns:
            Images and coordinates.
        """
        rows = self.problem.operator.out_shape
        now = _Given(self, theta)
        fit = now.log_density(now.residual)
        for _ in range(moves):
            step = _steps(noise, theta)
            fresh = noise.normal(theta.shape[-1:], theta)
            new = _Given(self, (1 - step.square()).sqrt() * now.theta + step * fresh)
            other = new.forward(self.spread()) + noise.normal(rows, theta)
            new_fit = new.log_density(new.residual)
            log_ratio = new_fit - fit + now.log_density(other) - new.log_density(other)
            moved = torch.special.ndtr(noise.normal((), fit)).log() < log_ratio
            fit = torch.where(moved, new_fit, fit)
            now = _Given(self, torch.where(moved[..., None], new.theta, now.theta))
        spread = self.spread()
        perturbed = now.residual - now.forward(spread) + noise.normal(rows, theta)
        pull = now.adjoint(now.solve(perturbed))
        return self.mean + spread + self.covariance(pull), now.theta


def _steps(noise: SampleNoise, theta: Tensor) -> Tensor:
    """Return a step of each coordinate: the same of some, and 0 of the others."""
    size, share = torch.special.ndtr(noise.normal((2,), theta)).split(1, -1)
    order = noise.normal(theta.shape[-1:], theta).argsort(-1).argsort(-1)
    return torch.where(order < theta.shape[-1] ** share, SMALLEST**size, 0)


class _Given:
    """Measurement at some parameters, in units of its noise, and solves with its ``K``."""

    def __init__(self, local: Collapsed, theta: Tensor) -> None:
        operator, model = local.problem.operator, local.problem.noise_model
        assert isinstance(operator, UncertainOperator)
        assert isinstance(model, Gaussian)  # as can_collapse requires
        self.local, self.theta, self.operator = local, theta, operator
        weight = 1 / as_like(model.std, theta)
        self.weight = weight if local.problem.row_mask is None else weight * local.problem.row_mask
        with torch.enable_grad():
            self._image = torch.zeros_like(local.mean, requires_grad=True)
            self._seen = operator.forward_at(self._image, theta)
        self.residual = self.weight * local.problem.y - self.forward(local.mean)

    def forward(self, image: Tensor) -> Tensor:
        return self.weight * self.operator.forward_at(image, self.theta)

    def adjoint(self, v: Tensor) -> Tensor:
        # Linear in the image, so that one evaluation serves all products.
        v = self.weight * v
        return torch.autograd.grad(self._seen, self._image, v, retain_graph=True)[0]

    def solve(self, residual: Tensor) -> Tensor:
        """Return :math:`K^{-1} r`; entries that are not measured are noise."""
        return conjugate_gradient(
            lambda w: w + self.forward(self.local.covariance(self.adjoint(w))),
            residual,
            dims=len(self.operator.out_shape),
            tol=torch.finfo(residual.dtype).eps ** 0.75,
            max_iter=self.local.products,
        )[0]

    def log_density(self, residual: Tensor) -> Tensor:
        """Log density of a residual, but for the determinant of ``K``."""
        return -0.5 * inner(residual, self.solve(residual), len(self.operator.out_shape))
