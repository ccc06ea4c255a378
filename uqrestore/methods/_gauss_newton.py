"""Back projection onto a measurement by Gauss-Newton steps of the linearised operator."""

import torch
from torch import Tensor

from uqrestore.methods._laplace import FRACTIONS
from uqrestore.operators._cg import conjugate_gradient
from uqrestore.operators.nonlinear.base import Linearised
from uqrestore.operators.nonlinear.uncertain import Joint
from uqrestore.problem import GeneralProblem

START, PRODUCTS = 5, 200
"""Steps from an empty image to one that explains the measurement, and products of each step."""


class BackProjection:
    r"""Images and parameters that explain a measurement, nearest to given images.

    .. math:: (x, \theta) = (D, 0) + C J^T (J C J^T)^+ (y - f(D, \theta_0) + J_\theta \theta_0)

    with the Jacobian at :math:`(D, \theta_0)` and :math:`C = \mathrm{diag}(r^2, 1)`: one step to
    where ``y`` is explained with the least departure from ``D``, in units of its uncertainty ``r``,
    and from the centre of the parameters' prior. For a linear operator without parameters this is
    :math:`D - A^+ (A D - y)`. Shortened where a whole step explains ``y`` worse.

    Args:
        problem: The measurement; its noise is not used.
        data_std: Standard deviation of the images.
    """

    def __init__(self, problem: GeneralProblem, data_std: float = 0.5) -> None:
        self.problem, self.variance = problem, data_std**2
        self.joint = Joint(problem.operator)
        self.theta: Tensor | None = None

    def start(self, like: Tensor) -> Tensor:
        """Return images that explain the measurement, from empty ones."""
        image = torch.zeros_like(like)
        for _ in range(START):
            image = self(image, 1e3)
        return image

    def __call__(self, image: Tensor, sigma: float) -> Tensor:
        """Return the nearest images; the parameters are kept for the next step.

        Args:
            image: ``D``, ``(*batch, *in_shape)``.
            sigma: Noise level, from which the uncertainty of ``D`` follows.
        """
        joint, y, batch = self.joint, self.problem.y, image.ndim - len(self.problem.in_shape)
        flat = image.flatten(batch)
        count = joint.count
        theta = flat.new_zeros(*flat.shape[:-1], count) if self.theta is None else self.theta
        base = torch.cat([flat, torch.zeros_like(theta)], -1)
        point = torch.cat([flat, theta], -1)
        width = (sigma**2 * self.variance / (sigma**2 + self.variance)) ** 0.5
        scale = torch.cat([flat.new_full((flat.shape[-1],), width), flat.new_ones(count)])
        mask = self.problem.row_mask
        linear = Linearised(joint, point, None if mask is None else mask.to(y))
        start = y - joint.forward(point)
        residual = start - linear.forward(base - point)
        found, _ = conjugate_gradient(
            lambda v: scale * linear.normal(scale * v),
            scale * linear.adjoint(residual),
            dims=1,
            tol=torch.finfo(y.dtype).eps ** 0.75,
            max_iter=PRODUCTS,
        )
        step = base + scale * found - point
        best, least = point, self._misfit(start, mask)
        for fraction in FRACTIONS:
            tried = point + fraction * step
            misfit = self._misfit(y - joint.forward(tried), mask)
            better = misfit < least
            least = torch.where(better, misfit, least)
            best = torch.where(better[..., None], tried, best)
        nearest, self.theta = joint.split(best)
        return nearest

    def _misfit(self, residual: Tensor, mask: Tensor | None) -> Tensor:
        seen = residual if mask is None else residual * mask
        deep = len(self.problem.operator.out_shape)
        return seen.flatten(-deep).square().sum(-1)
