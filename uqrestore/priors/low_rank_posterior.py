r"""Exact posterior of a low-rank Gaussian prior, through the maps of the operator alone.

With :math:`x = \mu + V^T \Lambda^{1/2} u + \sqrt{\tau} e`, :math:`y = A x + s n` and
:math:`B = A^T (A A^T + (s^2 / \tau) I)^{-1}`, which is ``operator.solve``, or :math:`A^+` without
noise:

.. math::
    u \mid y &\sim N(\hat u, P^{-1}), \quad
    P = I + \Lambda^{1/2} V B A V^T \Lambda^{1/2} / \tau, \quad
    \hat u = P^{-1} \Lambda^{1/2} V B (y - A \mu) / \tau \\
    x \mid u, y &\sim N(m_u + B (y - A m_u), \tau (I - B A)), \quad
    m_u = \mu + V^T \Lambda^{1/2} u

by Woodbury's identity; :math:`B A` is symmetric. No matrix is larger than the rank.
"""

import functools
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from uqrestore.noise import SampleNoise
from uqrestore.operators.base import Shape
from uqrestore.priors.closed_form import ClosedForm
from uqrestore.priors.dense import double, matrix_of, top_eigenpairs
from uqrestore.priors.eigenform import Eigenform
from uqrestore.problem import Problem

# Unit images held at once while the diagonal of the covariance is computed voxel by voxel.
CHUNK = 256


@dataclass(frozen=True, eq=False)
class LowRankPosterior(ClosedForm):
    """Posterior of a :class:`LowRankGaussian`; made by :meth:`of`.

    Args:
        prior: The prior, with a mean ``(*batch, *problem, *in_shape)``.
        problem: The measurement, in float64.
    """

    prior: Eigenform
    problem: Problem

    @classmethod
    def of(cls, prior: Eigenform, problem: Problem) -> "LowRankPosterior":
        """Condition a Gaussian on a measurement.

        Raises:
            ValueError: If some problems of a batch have noise and others have none, or an
                operator shared by all has noise of several levels.
        """
        levels = torch.as_tensor(problem.noise_std)
        if problem.is_noisy and not (levels > 0).all():
            raise ValueError(
                "a low-rank Gaussian conditions on problems that all have noise or all have none "
                f"but noise_std is {levels.tolist()}; restore them separately."
            )
        if levels.ndim and not problem.operator.problem_shape:
            if not (levels == levels.flatten()[0]).all():
                raise ValueError(
                    f"noise_std is {levels.tolist()} over one shared operator; stack the operator "
                    "once per problem to give each its own noise."
                )
            problem = replace(problem, noise_std=float(levels.flatten()[0]))
        return cls(replace(prior, mean=prior.mean.double()), double(problem))

    @property
    def in_shape(self) -> Shape:  # type: ignore[override]
        return self.prior.in_shape

    @functools.cached_property
    def mean(self) -> Tensor:  # type: ignore[override]
        return self._image_of(self._latent_mean)

    @functools.cached_property
    def std(self) -> Tensor:  # type: ignore[override]
        variance = self.prior.image(self._spread.square().sum(-2))
        variance = variance + self.prior.tau * self._unseen_diagonal
        std = variance.clamp(min=0).sqrt()
        return std.expand(torch.broadcast_shapes(std.shape, self.mean.shape))

    @functools.cached_property
    def evidence(self) -> Tensor:
        """Log density of the measurement of this posterior, ``(*batch, *problem)``."""
        tau, operator = self.prior.tau, self.problem.operator
        noise = self.problem.noise_std_as(self._latent_pull) ** 2
        if self.problem.is_noisy:
            dims = len(operator.out_shape)
            left = self._residual - operator.forward(self._seen)
            power = (self._residual * left).flatten(left.ndim - dims).sum(-1) / noise
        else:
            power = self.prior.flat(self._seen).square().sum(-1) / tau
        pull = self._latent_pull
        power = power - (pull * self._latent_mean).sum(-1)
        volume = self._log_volume(noise)
        logdet = 2 * self._precision_root.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return -0.5 * (power + volume + logdet)

    def denoise(self, x_t: Tensor, sigma: Tensor | float) -> Tensor:
        return self._at_noise(x_t, sigma).mean.to(x_t.dtype)

    def jacobian_product(self, x_t: Tensor, sigma: Tensor | float, v: Tensor) -> Tensor:
        product = self._at_noise(x_t, sigma).covariance_product(v.double())
        return (product / float(sigma) ** 2).to(v.dtype)

    def covariance_product(self, v: Tensor) -> Tensor:
        wide = v.double()
        inside = torch.einsum("...rd,...d->...r", self._spread, self.prior.flat(wide))
        seen = torch.einsum("...rd,...r->...d", self._spread, inside)
        unseen = wide - self._filter(self.problem.operator.forward(wide))
        return (self.prior.image(seen) + self.prior.tau * unseen).to(v.dtype)

    def draw(self, noise: SampleNoise) -> Tensor:
        operator, like = self.problem.operator, self.prior.basis
        white = noise.normal(self.prior.excess.shape, like)
        step = torch.linalg.solve_triangular(self._precision_root.mT, white[..., None], upper=True)
        image = self.prior.tau**0.5 * noise.normal(self.in_shape, like)
        seen = operator.forward(image)
        if self.problem.is_noisy:
            rows = noise.normal(operator.out_shape, like)
            rows = rows if operator.row_mask is None else rows * operator.row_mask
            seen = seen + self.problem.noise_std_like(rows) * rows
        return self._image_of(self._latent_mean + step[..., 0]) + image - self._filter(seen)

    def components(self, k: int) -> tuple[Tensor, Tensor]:
        lead, pixels = self._spread.shape[:-2], self._spread.shape[-1]
        generator = torch.Generator().manual_seed(0)
        start = torch.randn(k + 8, *lead, pixels, generator=generator, dtype=torch.float64)
        known = min(self._spread.shape[-2], k + 8)
        if known:
            leading = torch.linalg.svd(self._spread, full_matrices=False).Vh[..., :known, :]
            start[:known] = leading.movedim(-2, 0)

        def product(block: Tensor) -> Tensor:
            return self.prior.flat(self.covariance_product(self.prior.image(block)))

        directions, variance = top_eigenpairs(product, start, k)
        lead = self.mean.shape[: self.mean.ndim - len(self.in_shape)]
        directions = self.prior.image(directions)
        return directions.expand(*lead, k, *self.in_shape), variance.sqrt().expand(*lead, k)

    def log_prob(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        r"""Return the log density of :math:`x_0 + \sigma \epsilon`, by Bayes' rule.

        Raises:
            ValueError: At ``sigma`` 0, where a posterior without noise has no density.
        """
        at_zero = not torch.as_tensor(sigma).any()
        if not at_zero:
            likelihood = self._at_noise(x, sigma).evidence
        elif self.problem.is_noisy:
            likelihood = self._log_likelihood(x.double())
        else:
            raise ValueError(
                "a posterior without measurement noise has no density at sigma 0; use sigma > 0."
            )
        return self.prior.log_prob(x, sigma) + likelihood - self.evidence

    def log_evidence(self, problem: Problem) -> Tensor:
        """Refuse: two measurements are conditioned on at once, by a stacked operator."""
        raise NotImplementedError(_AT_ONCE)

    def condition(self, problem: Problem) -> ClosedForm:
        """Refuse: two measurements are conditioned on at once, by a stacked operator."""
        raise NotImplementedError(_AT_ONCE)

    def _at_noise(self, x_t: Tensor, sigma: Tensor | float) -> "LowRankPosterior":
        return LowRankPosterior(self.prior.at_noise(x_t, sigma), self.problem)

    def _filter(self, y: Tensor) -> Tensor:
        """Apply ``B``."""
        operator = self.problem.operator
        if not self.problem.is_noisy:
            return operator.pinv(y)
        noise_std = self.problem.noise_std_as(y) / self.prior.tau**0.5
        return operator.solve(y, noise_std=noise_std, tol=1e-10, max_iter=2000)[0]

    @functools.cached_property
    def _residual(self) -> Tensor:
        mean = self.prior.mean
        lead = torch.broadcast_shapes(
            mean.shape[: mean.ndim - len(self.in_shape)], self.problem.problem_shape
        )
        return self.problem.y - self.problem.operator.forward(mean.expand(*lead, *self.in_shape))

    @functools.cached_property
    def _seen(self) -> Tensor:
        """``B (y - A mu)``."""
        return self._filter(self._residual)

    @functools.cached_property
    def _unseen_factors(self) -> Tensor:
        r""":math:`\Lambda^{1/2} V (I - B A)`, shape ``(*operator, rank, pixel)``."""
        prior, operator = self.prior, self.problem.operator
        lead = operator.problem_shape
        rows = prior.image(prior.basis * prior.excess.sqrt()[:, None])
        rows = rows.reshape(-1, *[1] * len(lead), *self.in_shape).expand(-1, *lead, *self.in_shape)
        unseen = rows - self._filter(operator.forward(rows)) if len(rows) else rows
        return prior.flat(unseen).movedim(0, -2)

    @functools.cached_property
    def _precision_root(self) -> Tensor:
        """Lower Cholesky factor of ``P``, shape ``(*operator, rank, rank)``."""
        prior = self.prior
        root = prior.basis * prior.excess.sqrt()[:, None]
        gram = (root - self._unseen_factors) @ root.mT / prior.tau
        eye = torch.eye(len(prior.excess), dtype=gram.dtype, device=gram.device)
        return torch.linalg.cholesky(eye + (gram + gram.mT) / 2)

    @functools.cached_property
    def _spread(self) -> Tensor:
        """Rows whose Gram matrix is the covariance beyond ``tau (I - B A)``."""
        return torch.linalg.solve_triangular(
            self._precision_root, self._unseen_factors, upper=False
        )

    @functools.cached_property
    def _latent_pull(self) -> Tensor:
        prior = self.prior
        return (prior.flat(self._seen) @ prior.basis.mT) * prior.excess.sqrt() / prior.tau

    @functools.cached_property
    def _latent_mean(self) -> Tensor:
        return torch.cholesky_solve(self._latent_pull[..., None], self._precision_root)[..., 0]

    def _image_of(self, latent: Tensor) -> Tensor:
        step = torch.einsum("...rd,...r->...d", self._unseen_factors, latent)
        return self.prior.mean + self._seen + self.prior.image(step)

    @functools.cached_property
    def _unseen_diagonal(self) -> Tensor:
        """Diagonal of ``I - B A`` as images, from unit images."""
        operator, lead = self.problem.operator, self.problem.operator.problem_shape
        pixels = int(torch.Size(self.in_shape).numel())
        parts, device = [], self.problem.y.device
        for start in range(0, pixels, CHUNK):
            index = torch.arange(start, min(start + CHUNK, pixels), device=device)
            unit = torch.zeros(len(index), pixels, dtype=torch.float64, device=device)
            unit[torch.arange(len(index), device=device), index] = 1
            unit = self.prior.image(unit).reshape(-1, *[1] * len(lead), *self.in_shape)
            unit = unit.expand(-1, *lead, *self.in_shape)
            seen = self.prior.flat(self._filter(operator.forward(unit)))
            own = index.reshape(-1, *[1] * len(lead), 1).expand(-1, *lead, 1)
            parts.append(1 - seen.gather(-1, own)[..., 0])
        return self.prior.image(torch.cat(parts).movedim(0, -1))

    def _log_likelihood(self, x: Tensor) -> Tensor:
        rows, dims = self.problem.operator.measured_rows(), len(self.problem.operator.out_shape)
        noise = self.problem.noise_std_as(self._residual) ** 2
        r = self.problem.y - self.problem.operator.forward(x)
        power = r.square().flatten(r.ndim - dims).sum(-1) / noise
        return -0.5 * (power + rows * torch.log(2 * torch.pi * noise))

    def _log_volume(self, noise: Tensor) -> Tensor:
        r"""Log determinant of :math:`2 \pi (\tau A A^T + s^2 I)` over the measured rows."""
        operator = self.problem.operator
        spectrum = operator.spectral()
        s = torch.linalg.svdvals(matrix_of(operator)) if spectrum is None else spectrum.s.double()
        kept = s > 1e-10 * s.amax(-1, keepdim=True)
        total = self.prior.tau * s.square() + noise[..., None]
        volume = torch.where(kept, torch.log(2 * torch.pi * torch.where(kept, total, 1)), 0).sum(-1)
        if self.problem.is_noisy:
            rest = operator.measured_rows() - kept.sum(-1)
            volume = volume + rest * torch.log(2 * torch.pi * noise)
        return volume


_AT_ONCE = (
    "a posterior of a low-rank Gaussian takes no second measurement; stack both operators into one "
    "problem and condition the prior on it."
)
