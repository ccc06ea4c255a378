r"""Local Gaussian model of the clean image from a denoiser and its Jacobian.

The ideal denoiser gives the first two moments of the clean image behind a noisy one,
:math:`D = E[x_0 \mid x_t]` and :math:`C = \sigma^2 J = \mathrm{Cov}[x_0 \mid x_t]`. Taking
:math:`x_0 \mid x_t` to be :math:`N(D, C)`, a linear measurement conditions it in closed form, with
products with ``C`` alone, one backward pass each.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from uqrestore.diffusion.wrapped import Checked
from uqrestore.problem import Problem

Product = Callable[[Tensor], Tensor]


def linearise(denoise: Checked, x: Tensor, sigma: float) -> tuple[Tensor, Product]:
    r"""Return ``D(x)`` and the map :math:`v \mapsto J^T v`, :math:`J = \partial D / \partial x`.

    For the ideal denoiser :math:`J = \mathrm{Cov}[x_0 \mid x_t] / \sigma^2`, which is symmetric.
    Each product is one backward pass; the graph lives until the map is dropped.
    """
    x = x.detach()
    with torch.enable_grad():
        x.requires_grad_(True)
        clean = denoise(x, sigma)

    def product(v: Tensor) -> Tensor:
        return torch.autograd.grad(clean, x, v, retain_graph=True)[0]

    return clean.detach(), product


ROUNDING = 1e-6
"""Relative accuracy of iterative solves of operators."""


@dataclass(frozen=True, eq=False)
class Moments:
    """Mean and covariance of the clean images behind noisy ones, to second order.

    The covariance of the ideal denoiser is symmetric and positive semi-definite; that of a trained
    network is neither, above all at high noise. Nothing here relies on it.

    Args:
        mean: ``D``, shape ``(*batch, *in_shape)``.
        covariance: The map ``v -> C v``, one vector-Jacobian product a call.
        scale: Variance of an isotropic approximation of ``C``; it only affects the speed of solves.
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
        r"""Return :math:`C^{1/2}` times white noise, by projection on a Krylov space.

        The expected energy is correct after one product; each further one refines its distribution
        over directions of large and small variance. Only the symmetric, positive part of the
        projected covariance is used.

        References:
            Chow & Saad, "Preconditioned Krylov subspace methods for sampling multivariate Gaussian
            distributions", SIAM J. Sci. Comput. 36, 2014, section 2.1. doi:10.1137/130920587
        """
        size = _norm(white, self.dims)
        basis, images = [white * _axes(_inverse(size, size), self.dims)], []
        for step in range(products):
            images.append(self.covariance(basis[step]))
            new = images[step]
            # Twice: where the eigenvalues are equal, one pass loses a digit or two a step for good.
            for vector in (*basis, *basis):
                new = new - _axes(_dot(new, vector, self.dims), self.dims) * vector
            unit = _inverse(_norm(new, self.dims), _norm(images[step], self.dims))
            basis.append(new * _axes(unit, self.dims))
        projected = _products(basis[:products], images, self.dims)
        values, vectors = torch.linalg.eigh((projected + projected.mT) / 2)
        root = (vectors * values.clamp(min=0).sqrt()[..., None, :]) @ vectors[..., :1, :].mT
        return _combine(root[..., 0] * size[..., None], basis[:products], self.dims)

    def gain(self, problem: Problem, residual: Tensor, products: int) -> Tensor:
        r"""Return :math:`C A^T (A C A^T + s^2 I)^{-1} r`, one product for each search direction.

        Each direction is the remaining residual, preconditioned by the operator's own ``solve``
        with ``C`` replaced by :attr:`scale`. That is exact at low noise, where ``C`` tends to
        :math:`\sigma^2 I`; at high noise the first directions find the large eigenvalues, which
        matter there. Of all combinations of the directions, the one of least residual in the norm
        of the preconditioner is taken: the residual cannot grow, whatever ``C`` is. Conjugate
        gradients, which agree where ``C`` is a covariance, do not guarantee that: at a noise level
        of 20, with the bundled network, four products of theirs are off by 28 rms, these by 0.24.
        Without noise the image is consistent with the data.

        References:
            Eisenstat, Elman & Schultz, "Variational iterative methods for nonsymmetric systems of
            linear equations", SIAM Journal on Numerical Analysis 20, 1983 (generalised conjugate
            residuals). The system is that of Boys et al. 2024, eq. 12. arXiv:2310.06721
        """
        operator, noisy = problem.operator, problem.is_noisy
        deep = len(operator.out_shape)
        variance = problem.noise_std_as(residual).square()
        start = self._precondition(problem, residual)
        # Without noise the norm is that of pseudo-inverse images, and there is no dual.
        wanted, axes = (residual, deep) if noisy else (start[0], self.dims)
        moved, columns, images, duals = [], [], [], []
        ahead, dual = start
        shares = wanted.new_zeros(0)
        for _ in range(products):
            # Where only rounding is left, the solve has converged: rounding is no search direction.
            unit = _inverse(_norm(ahead, self.dims), _norm(start[0], self.dims))
            moved.append(self.covariance(ahead * _axes(unit, self.dims)))
            made = operator(moved[-1])
            if noisy:
                made = made + variance * dual * _axes(unit, deep)
            image, weighed = self._precondition(problem, made)
            columns.append(made if noisy else image)
            images.append(image)
            duals.append(weighed if noisy else image)
            shares = _least_squares(columns, duals, wanted, axes)
            ahead = start[0] - _combine(shares, images, self.dims)
            if noisy:
                dual = start[1] - _combine(shares, duals, deep)
        total = _combine(shares, moved, self.dims)
        return total if noisy else total + ahead

    def _precondition(self, problem: Problem, residual: Tensor) -> tuple[Tensor, Tensor]:
        r"""Return :math:`A^T z` and :math:`z = (A A^T + (s^2 / c) I)^{-1} r`."""
        operator = problem.operator
        if not problem.is_noisy:
            return operator.pinv(residual), residual
        noise_std = problem.noise_std_as(residual) / self.scale**0.5
        image = operator.solve(residual, noise_std=noise_std)[0]
        variance = problem.noise_std_as(residual).square()
        return image, (residual - operator(image)) * (self.scale / variance)


def _least_squares(
    columns: Sequence[Tensor], weighed: Sequence[Tensor], wanted: Tensor, dims: int
) -> Tensor:
    """Return the least-squares coefficients of the columns for ``wanted``, ``(*batch, column)``."""
    system, right = _products(columns, weighed, dims), _products(weighed, [wanted], dims)
    values, vectors = torch.linalg.eigh((system + system.mT) / 2)
    kept = values > 10 * torch.finfo(values.dtype).eps * values.amax(-1, keepdim=True)
    inverse = torch.where(kept, 1 / torch.where(kept, values, 1), 0)
    return (vectors @ (inverse[..., None] * (vectors.mT @ right)))[..., 0]


def _products(left: Sequence[Tensor], right: Sequence[Tensor], dims: int) -> Tensor:
    """Return all inner products over the last ``dims`` axes, ``(*batch, left, right)``."""
    return _stack(left, dims) @ _stack(right, dims).mT


def _combine(shares: Tensor, images: Sequence[Tensor], dims: int) -> Tensor:
    """Return the linear combination of images."""
    flat = (shares[..., None, :] @ _stack(images, dims))[..., 0, :]
    return flat.unflatten(-1, images[0].shape[images[0].ndim - dims :])


def _stack(images: Sequence[Tensor], dims: int) -> Tensor:
    """Stack flattened images in front of their last axis, ``(*batch, image, element)``."""
    return torch.stack([image.flatten(image.ndim - dims) for image in images], -2)


def _dot(a: Tensor, b: Tensor, dims: int) -> Tensor:
    return (a * b).flatten(a.ndim - dims).sum(-1)


def _norm(a: Tensor, dims: int) -> Tensor:
    return _dot(a, a, dims).sqrt()


def _inverse(length: Tensor, beside: Tensor) -> Tensor:
    """Return one over a length, or 0 where it is rounding relative to ``beside``."""
    sound = length > max(ROUNDING, 100 * torch.finfo(length.dtype).eps) * beside
    return torch.where(sound, 1 / torch.where(sound, length, 1), 0)


def _axes(scalar: Tensor, dims: int) -> Tensor:
    return scalar.reshape(*scalar.shape, *[1] * dims)
