r"""Unadjusted Langevin chains on a Gaussian, with their exact end distribution.

The chain samples :math:`p(u) \propto N(u; \hat x_0, r^2 I)\, N(y; A u, \tau^2 I)`. Both factors
are Gaussian and the map is linear, so each step is affine and the end of the chain is Gaussian too:
where the operator has a spectral form, the end is drawn directly from its exact distribution.
"""

from typing import Any

import torch
from torch import Tensor

from uqrestore.noise import SampleNoise
from uqrestore.operators.base import LinearOperator
from uqrestore.operators.nonlinear.base import Linearised, vjp
from uqrestore.operators.spectrum import Spectrum
from uqrestore.problem import GeneralProblem, Problem

BLOCK = 10
"""Number of steps whose noise is drawn together."""


class Langevin:
    """Langevin chains that start at an estimate of the image.

    Args:
        problem: The measurement.
        tau: Noise level that the chain assumes, one number or one per problem; above 0.
        misfit: Factor of the gradient of the data misfit; 1 is the posterior.
    """

    def __init__(self, problem: Problem, tau: Tensor, misfit: float) -> None:
        self.problem = problem
        # At high noise the contraction of a step is below the rounding of single precision.
        self._exact: dict[str, Any] = {"device": problem.y.device, "dtype": torch.float64}
        if problem.y.device.type == "mps":
            self._exact["dtype"] = torch.float32  # has no float64
        self.weight = misfit / tau.to(**self._exact).square()
        self.spectrum = problem.operator.spectral()
        if self.spectrum is None:
            self.seen = problem.operator.adjoint(problem.y)
        else:
            self.seen = self.spectrum.ut(problem.y).to(**self._exact)
        self.curvature = self.weight * largest_power(problem, self.spectrum)

    def run(
        self, estimate: Tensor, variance: float, noise: SampleNoise, step: Tensor, steps: int
    ) -> Tensor:
        """Return the ends of chains.

        Args:
            estimate: Start of the chains, and the mean of the first factor.
            variance: Variance of the first factor.
            noise: One random stream per chain.
            step: Step size, one number or one per problem.
            steps: Number of steps.
        """
        chain = self._simulate if self.spectrum is None else self._draw_end
        return chain(estimate, variance, noise, step.to(**self._exact), steps)

    def _draw_end(
        self, estimate: Tensor, variance: float, noise: SampleNoise, step: Tensor, steps: int
    ) -> Tensor:
        r"""Draw the end directly.

        Along a singular direction with curvature :math:`L = 1/r^2 + w s^2` a step multiplies the
        distance to the mode by :math:`a = 1 - h L` and adds noise of variance :math:`2h`.
        """
        assert self.spectrum is not None
        s = self.spectrum.s.to(**self._exact)
        weight, along = self.weight[..., None], step[..., None]
        curvature = 1 / variance + weight * s.square()
        gap = weight * s / curvature * (self.seen - s * self.spectrum.vt(estimate))
        moved = (1 - (1 - along * curvature) ** steps) * gap
        free = _spread(step, step / variance, steps)
        more = _spread(along, along * curvature, steps) - free[..., None]
        white = noise.normal(self.problem.in_shape, estimate)
        change = (moved + more * self.spectrum.vt(white)).to(estimate.dtype)
        return torch.addcmul(estimate, self._axes(free), white) + self.spectrum.v(change)

    def _simulate(
        self, estimate: Tensor, variance: float, noise: SampleNoise, step: Tensor, steps: int
    ) -> Tensor:
        """Simulate the steps, with everything constant computed before."""
        operator = self.problem.operator
        stay, pull = self._axes(1 - step / variance), self._axes(step * self.weight)
        drift = self._axes(step / variance) * estimate + pull * self.seen
        u, root, pull = estimate, self._axes((2 * step).sqrt()), -pull
        for start in range(0, steps, BLOCK):
            # Many small draws from many streams would cost more than the chain itself.
            white = noise.normal((min(BLOCK, steps - start), *self.problem.in_shape), u)
            for fresh in white.unbind(len(noise.shape)):
                ahead = torch.addcmul(drift, root, fresh).addcmul_(stay, u)
                u = ahead.addcmul_(pull, operator.adjoint(operator.forward(u)))
        return u

    def _axes(self, scalar: Tensor) -> Tensor:
        ones = [1] * len(self.problem.in_shape)
        return scalar.to(self.problem.y.dtype).reshape(*scalar.shape, *ones)


def _spread(step: Tensor, shrink: Tensor, steps: int) -> Tensor:
    r"""Return the standard deviation that the noise of all steps accumulates to.

    Its square is :math:`2h \sum_{k<n} a^{2k}` with :math:`a = 1 - h L`, ``shrink`` being
    :math:`h L`.
    """
    lost = shrink * (2 - shrink)
    still = lost.abs() < 1e-12
    total = (1 - (1 - shrink) ** (2 * steps)) / torch.where(still, 1, lost)
    return (2 * step * torch.where(still, float(steps), total)).sqrt()


class NonlinearLangevin:
    """Langevin chains with the likelihood of any operator and noise model.

    Args:
        problem: The measurement, with noise.
        misfit: Factor of the score; 1 is the posterior.
    """

    def __init__(self, problem: GeneralProblem, misfit: float) -> None:
        self.problem, self.misfit = problem, misfit

    def curvature_at(self, estimate: Tensor) -> Tensor:
        """Return the largest Fisher information of all chains at their estimates."""
        problem, signal = self.problem, self.problem.operator.forward(estimate)
        weight = problem.noise_model.information(signal).sqrt()
        if problem.row_mask is not None:
            weight = torch.where(problem.row_mask, weight, 0)
        linear = Linearised(problem.operator, estimate, weight)
        return torch.as_tensor(self.misfit * iterated_power(linear, estimate)).to(estimate)

    def run(
        self, estimate: Tensor, variance: float, noise: SampleNoise, step: Tensor, steps: int
    ) -> Tensor:
        """Return the ends of chains, as :meth:`Langevin.run`."""
        problem, u = self.problem, estimate
        for start in range(0, steps, BLOCK):
            white = noise.normal((min(BLOCK, steps - start), *problem.in_shape), u)
            for fresh in white.unbind(len(noise.shape)):
                score = problem.noise_model.score(problem.y, problem.operator.forward(u))
                if problem.row_mask is not None:
                    score = torch.where(problem.row_mask, score, 0)
                slope = self.misfit * vjp(problem.operator, u, score) + (estimate - u) / variance
                u = u + step * slope + (2 * step).sqrt() * fresh
        return u


def largest_power(problem: Problem, spectrum: Spectrum | None) -> float:
    """Return the largest squared singular value of the operator, over all problems."""
    operator = problem.operator
    if operator.singular_value is not None:
        return operator.singular_value**2
    if spectrum is not None:
        return float(spectrum.s.max()) ** 2
    return iterated_power(operator, problem.y)


def iterated_power(operator: LinearOperator, like: Tensor) -> float:
    """Return the largest squared singular value by power iteration from one start."""
    start = torch.randn(operator.in_shape, generator=torch.Generator().manual_seed(0)).to(like)
    v = start.expand(*operator.problem_shape, *operator.in_shape)
    dims = tuple(range(-len(operator.in_shape), 0))
    for _ in range(30):
        v = v / v.square().sum(dims, keepdim=True).sqrt().clamp(min=1e-30)
        v = operator.adjoint(operator(v))
    return 1.05 * float(v.square().sum(dims).sqrt().max())  # power iteration comes from below
