r"""Draws of a local Gaussian prior with any likelihood: Hamiltonian steps about a Laplace model.

With the local prior :math:`N(D, C)` of a vector ``u`` and :math:`\ell(u) = \log p(y \mid f(u))`,
Gauss-Newton steps give a mode ``m``, and the Jacobian ``A`` there, whitened by the Fisher
information, the Laplace model :math:`N(m, H^{-1})`, :math:`H = C^{-1} + A^T A`. The posterior is
this model times :math:`e^{\varphi(u)}`,

.. math:: \varphi(u) = \ell(u) + |A (u - m)|^2 / 2 - u^T C^{-1} (m - D)

so that ``C`` is never inverted: :math:`m - D = C A^T w` with the solution ``w`` of the last
Gauss-Newton step. A trajectory rotates :math:`(u - m, v)` with :math:`v \sim N(0, H^{-1})`, which
is exact for the Laplace model, and is kicked by :math:`H^{-1} \nabla \varphi` between rotations.
Where the likelihood is Gaussian and ``f`` linear, a quarter turn is an independent exact draw.

Where the information of a measurement changes along a trajectory, as at a value that may be clipped
or not, the model at the mode is as narrow as the narrower of the two, and trajectories are short.
They can turn about the local prior instead, with :math:`H = C^{-1}`, in leaps as short as the noise
asks for.

References:
    Beskos et al., "Hybrid Monte Carlo on Hilbert spaces", Stochastic Processes and their
    Applications 121:2201-2230, 2011, section 3.
"""

import math
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from uqrestore.noise import SampleNoise
from uqrestore.operators._cg import conjugate_gradient
from uqrestore.operators.nonlinear.base import Linearised, vjp
from uqrestore.problem import GeneralProblem

FRACTIONS = (1.0, 0.5, 0.2, 0.05)
"""Fractions of a Gauss-Newton step, of which the best is taken."""
UNSOLVED, STUCK = 0.1, 0.1
"""Relative residual of solves, and share of moves in the lower half of the levels, that warn."""
IMPROVEMENT = 1e-6
"""Increase of the log density, in nats, below which a Gauss-Newton step is not worth taking."""


@dataclass(frozen=True, eq=False)
class LocalPosterior:
    """Local Gaussian prior of flat vectors, and a likelihood.

    Args:
        problem: The measurement; its operator acts on flat vectors ``(*batch, entry)``.
        mean: ``D``, ``(*batch, entry)``.
        covariance: Product with ``C``.
        spread: Draw of ``N(0, C)``.
        products: Largest number of products with ``C`` in one solve.
        start: :math:`C^{-1} (u - D)` of the vector ``u`` at which Gauss-Newton steps start; None
            for 0.
    """

    problem: GeneralProblem
    mean: Tensor
    covariance: Callable[[Tensor], Tensor]
    spread: Callable[[], Tensor]
    products: int
    start: Tensor | None = None

    def linearised(self, u: Tensor) -> tuple[Linearised, Tensor]:
        """Return the Jacobian and the score at ``u``, whitened by the Fisher information."""
        return self.problem.whitened(u)

    def solve(self, linear: Linearised, residual: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Solve ``(A C A^T + I) w = r``.

        Returns:
            ``C A^T w``, ``A^T w``, and the relative residual of each system.
        """
        dims = len(linear.out_shape)
        w, _ = conjugate_gradient(
            lambda w: w + linear.forward(self.covariance(linear.adjoint(w))),
            residual,
            dims=dims,
            tol=torch.finfo(residual.dtype).eps ** 0.75,  # tight, so that the batch changes no draw
            max_iter=self.products,
        )
        pull = linear.adjoint(w)
        step = self.covariance(pull)
        rest = (residual - w - linear.forward(step)).flatten(-dims).norm(dim=-1)
        scale = residual.flatten(-dims).norm(dim=-1)
        return step, pull, torch.where(scale > 0, rest / torch.where(scale > 0, scale, 1), 0)

    def mode(self, newton: int) -> tuple[Tensor, Tensor]:
        r"""Return an approximate mode ``m`` and :math:`C^{-1} (m - D)`."""
        pull = torch.zeros_like(self.mean) if self.start is None else self.start
        u = self.mean if self.start is None else self.mean + self.covariance(pull)
        best = self._log_density(u, pull)
        active = torch.ones_like(best, dtype=torch.bool)  # each vector stops on its own
        for _ in range(newton):
            linear, score = self.linearised(u)
            step, pull_step, _ = self.solve(linear, score + linear.forward(u - self.mean))
            step, pull_step = step + self.mean - u, pull_step - pull
            start, moved = (u, pull), torch.zeros_like(active)
            for fraction in FRACTIONS:
                tried = start[0] + fraction * step, start[1] + fraction * pull_step
                value = self._log_density(*tried)
                better = active & (value > best + IMPROVEMENT)
                best, moved = torch.where(better, value, best), moved | better
                u = torch.where(better[..., None], tried[0], u)
                pull = torch.where(better[..., None], tried[1], pull)
            active = moved
            if not active.any():
                break
        return u, pull

    def best_mode(self, newton: int, starts: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
        """Return the most probable of the modes from :attr:`start` and from other starts."""
        u, pull = self.mode(newton)
        for start in starts:
            tried = replace(self, start=start).mode(newton)
            better = (self._log_density(*tried) > self._log_density(u, pull))[..., None]
            u, pull = torch.where(better, tried[0], u), torch.where(better, tried[1], pull)
        return u, pull

    def draw(
        self,
        state: Tensor | None,
        found: tuple[Tensor, Tensor] | None,
        noise: SampleNoise,
        leaps: int,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Move vectors by one trajectory; also return which moved, and residuals of their solves.

        Args:
            state: Current vectors; None starts at the mode.
            found: What :meth:`mode` found; None turns about the local prior.
            noise: Random streams.
            leaps: Kicks of a trajectory.
        """
        problem = self.problem
        mode, pull = (self.mean, torch.zeros_like(self.mean)) if found is None else found
        linear = None if found is None else self.linearised(mode)[0]

        def excess(u: Tensor) -> Tensor:
            value = problem.log_likelihood(u)
            if linear is None:
                return value
            power = linear.forward(u - mode).flatten(u.ndim - 1).square().sum(-1)
            return value + 0.5 * power - (u * pull).sum(-1)

        def force(u: Tensor) -> tuple[Tensor, Tensor]:
            """Return the gradient of the excess, and its product with the inverse of ``H``."""
            score = problem.noise_model.score(problem.y, problem.operator.forward(u))
            if problem.row_mask is not None:
                score = torch.where(problem.row_mask, score, 0)
            slope = vjp(problem.operator, u, score)
            if linear is None:
                return slope, self.covariance(slope)
            slope = slope + linear.normal(u - mode) - pull
            wide = self.covariance(slope)
            return slope, wide - self.solve(linear, linear.forward(wide))[0]

        v = self.spread()
        rest = v.new_zeros(v.shape[:-1])
        if linear is not None:
            white = noise.normal(problem.operator.out_shape, problem.y)
            step, _, rest = self.solve(linear, white - linear.forward(v))
            v = v + step
        u = start = mode if state is None else state
        angle = math.pi / 2 / leaps
        cos, sin = math.cos(angle), math.sin(angle)
        log_ratio = -excess(start)
        slope, along = force(u)
        for leap in range(leaps + 1):
            # The first and the last kick are half ones; a whole one is a change of v alone.
            share = angle / 2 if leap in (0, leaps) else angle
            log_ratio = log_ratio - share * (v * slope).sum(-1)
            log_ratio = log_ratio - share**2 / 2 * (slope * along).sum(-1)
            v = v + share * along
            if leap < leaps:
                u, v = mode + cos * (u - mode) + sin * v, cos * v - sin * (u - mode)
                slope, along = force(u)
        log_ratio = log_ratio + excess(u)
        moved = torch.special.ndtr(noise.normal((), log_ratio)).log() < log_ratio
        return torch.where(moved[..., None], u, start), moved, rest

    def _log_density(self, u: Tensor, pull: Tensor) -> Tensor:
        """Log posterior density up to a constant."""
        return self.problem.log_likelihood(u) - 0.5 * ((u - self.mean) * pull).sum(-1)


def warn_of_chains(acceptance: float, residual: float) -> None:
    """Warn of draws that are not those of the posterior."""
    if residual > UNSOLVED:
        warnings.warn(
            f"local_laplace: solves stopped at a relative residual of {residual:.2g}, so draws may "
            "be far off; give more data_products, or for linear operators another method, such as "
            "'moment_matching'.",
            stacklevel=3,
        )
    if acceptance < STUCK:
        warnings.warn(
            f"local_laplace: {acceptance:.1%} of the trajectories at low noise were "
            "accepted, so draws have hardly moved; give more leaps, or more levels.",
            stacklevel=3,
        )
