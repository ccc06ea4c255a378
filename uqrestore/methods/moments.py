r"""The Gaussian that a denoiser and its Jacobian describe at one noise level.

The ideal denoiser gives the first two moments of the clean image behind a noisy one,
:math:`D = E[x_0 \mid x_t]` and :math:`C = \sigma^2 J = \mathrm{Cov}[x_0 \mid x_t]`. Taking
:math:`x_0 \mid x_t` to be :math:`N(D, C)`, a linear measurement conditions it in closed form, and
products with ``C``, one backward pass each, are all that is needed.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from uqrestore.methods.products import Product, linearise
from uqrestore.methods.step import Checked
from uqrestore.problem import Problem


@dataclass(frozen=True, eq=False)
class Moments:
    """Mean and covariance of the clean images behind noisy ones, to second order.

    Args:
        mean: ``D``, shape ``(*batch, *in_shape)``.
        covariance: The map ``v -> C v``, one vector-Jacobian product a call.
        scale: Isotropic stand-in for ``C``, a variance; only the speed of solves depends on it.
        dims: Number of dimensions of one image.
    """

    mean: Tensor
    covariance: Product
    scale: float
    dims: int

    @classmethod
    def at(cls, denoise: Checked, x: Tensor, sigma: float, dims: int, data_std: float) -> "Moments":
        """Call the network once and keep its graph for products."""
        mean, product = linearise(denoise, x, sigma)
        scale = sigma**2 * data_std**2 / (sigma**2 + data_std**2)
        return cls(mean, lambda v: sigma**2 * product(v), scale, dims)

    def spread(self, white: Tensor, products: int) -> Tensor:
        r"""Return :math:`C^{1/2}` times white noise, by Lanczos iteration.

        The expected energy is right after one product; each further one sharpens how it is shared
        between directions of large and small variance.

        References:
            Chow & Saad, "Preconditioned Krylov subspace methods for sampling multivariate Gaussian
            distributions", SIAM J. Sci. Comput. 36, 2014, section 2.1. doi:10.1137/130920587
        """
        size = self._norm(white)
        basis = [white / self._wide(size)]
        diagonal, beside = [], []
        for step in range(products):
            image = self.covariance(basis[step])
            diagonal.append(self._dot(image, basis[step]))
            for vector in basis:
                image = image - self._wide(self._dot(image, vector)) * vector
            if step + 1 < products:
                length = self._norm(image)
                beside.append(length)
                basis.append(image / self._wide(length.clamp(min=torch.finfo(image.dtype).tiny)))
        tridiagonal = torch.diag_embed(torch.stack(diagonal, -1))
        if beside:
            off = torch.stack(beside, -1)
            tridiagonal = tridiagonal + torch.diag_embed(off, 1) + torch.diag_embed(off, -1)
        values, vectors = torch.linalg.eigh(tridiagonal)
        root = vectors @ (values.clamp(min=0).sqrt() * vectors[..., 0, :])[..., None]
        shares = (root[..., 0] * size[..., None]).unbind(-1)
        return sum((self._wide(c) * v for c, v in zip(shares, basis, strict=True)), white * 0)

    def gain(self, problem: Problem, residual: Tensor, products: int) -> Tensor:
        r"""Return :math:`C A^T (A C A^T + s^2 I)^{-1} r`, by preconditioned conjugate gradients.

        The preconditioner is the operator's own ``solve`` with ``C`` replaced by :attr:`scale`: it
        is exact at low noise, where ``C`` tends to :math:`\sigma^2 I`, so few products do there;
        at high noise the first products find the large eigenvalues, which is what matters.
        Without noise the solve is ``pinv``, and the image agrees with the data when it ends.

        References:
            Rozet et al., "Learning Diffusion Priors from Observations by Expectation
            Maximization", NeurIPS 2024, section 4.2 (unpreconditioned). arXiv:2405.13712
        """
        operator, noisy = problem.operator, problem.is_noisy
        variance = problem.noise_std_like(residual).square()
        total, rest = torch.zeros_like(self.mean), residual
        towards = dual = None  # search direction in image space, and in measurement space
        power = None
        for _ in range(products):
            image, dual_rest = self._precondition(problem, rest, variance)
            new = self._measured_dot(problem, dual_rest, rest) if noisy else self._dot(image, image)
            if towards is None or dual is None or power is None:
                towards, dual = image, dual_rest
            else:
                beta = torch.where(power > 0, new / power.clamp(min=_tiny(new)), 0)
                towards = image + self._wide(beta) * towards
                dual = dual_rest + self._deep(problem, beta) * dual
            power = new
            moved = self.covariance(towards)
            curvature = self._dot(moved, towards)
            if noisy:
                curvature = curvature + self._measured_dot(problem, variance * dual, dual)
            step = torch.where(curvature > 0, power / curvature.clamp(min=_tiny(curvature)), 0)
            total = total + self._wide(step) * moved
            rest = rest - self._deep(problem, step) * (operator(moved) + variance * dual)
        return total if noisy else total + operator.pinv(rest)

    def _precondition(
        self, problem: Problem, rest: Tensor, variance: Tensor
    ) -> tuple[Tensor, Tensor]:
        r"""Return :math:`A^T z` and :math:`z = (A A^T + \rho I)^{-1} r`, up to one factor."""
        if not problem.is_noisy:
            return problem.operator.pinv(rest), torch.zeros_like(rest)
        noise_std = torch.as_tensor(problem.noise_std, dtype=rest.dtype) / self.scale**0.5
        image = problem.operator.solve(rest, noise_std=noise_std)[0]
        return image, (rest - problem.operator(image)) * (self.scale / variance)

    def _dot(self, a: Tensor, b: Tensor) -> Tensor:
        return (a * b).flatten(a.ndim - self.dims).sum(-1)

    def _norm(self, a: Tensor) -> Tensor:
        return self._dot(a, a).sqrt()

    def _measured_dot(self, problem: Problem, a: Tensor, b: Tensor) -> Tensor:
        return (a * b).flatten(a.ndim - len(problem.operator.out_shape)).sum(-1)

    def _wide(self, scalar: Tensor) -> Tensor:
        return scalar.reshape(*scalar.shape, *[1] * self.dims)

    def _deep(self, problem: Problem, scalar: Tensor) -> Tensor:
        return scalar.reshape(*scalar.shape, *[1] * len(problem.operator.out_shape))


def _tiny(x: Tensor) -> float:
    return torch.finfo(x.dtype).tiny
