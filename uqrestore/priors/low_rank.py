"""Gaussian priors with a few hundred components, exact at any image size."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors.torch import load_file, save
from torch import Tensor

from uqrestore._shared.files import atomic
from uqrestore.noise import SampleNoise
from uqrestore.operators.base import Shape
from uqrestore.priors.closed_form import ClosedForm
from uqrestore.priors.dense import with_fixed_signs
from uqrestore.priors.eigenform import Eigenform
from uqrestore.priors.low_rank_posterior import LowRankPosterior
from uqrestore.problem import Problem


@dataclass(frozen=True, eq=False)
class LowRankGaussian(ClosedForm):
    r"""Images :math:`x \sim N(\mu, F F^T + \tau I)`: probabilistic principal components.

    Posteriors are exact for any operator, through its maps alone, so this prior serves as the
    reference at realistic sizes, as the linear baseline, and as a prior for every method.

    Args:
        mean: Mean image, in network intensity.
        factors: Rows of :math:`F^T`; without any the prior is isotropic.
        tau: Residual variance per voxel outside the factors; above 0.

    Raises:
        ValueError: If shapes disagree or ``tau`` is not positive.

    References:
        Tipping & Bishop, "Probabilistic Principal Component Analysis", J. R. Stat. Soc. B
        61:611-622, 1999, eq. 1-4. doi:10.1111/1467-9868.00196
    """

    mean: Float[Tensor, "*in_shape"]
    factors: Float[Tensor, " rank *in_shape"]
    tau: float

    def __post_init__(self) -> None:
        if tuple(self.factors.shape[1:]) != tuple(self.mean.shape):
            raise ValueError(
                f"factors must be (rank, {', '.join(map(str, self.mean.shape))}) like the mean but "
                f"are {tuple(self.factors.shape)}."
            )
        if not self.tau > 0:
            raise ValueError(
                f"tau is the residual variance outside the factors and must be above 0, got "
                f"{self.tau}; fit with fewer factors."
            )

    @property
    def in_shape(self) -> Shape:  # type: ignore[override]
        return tuple(self.mean.shape)

    @functools.cached_property
    def eigenform(self) -> Eigenform:
        """The same distribution on orthonormal directions, in float64."""
        rows = self.factors.double().flatten(1)
        if len(rows):
            _, s, basis = torch.linalg.svd(rows, full_matrices=False)
            basis = with_fixed_signs(basis)
        else:
            s, basis = rows.new_zeros(0), rows
        return Eigenform(self.mean, basis, s.square(), self.tau, self.in_shape)

    @functools.cached_property
    def std(self) -> Tensor:  # type: ignore[override]
        return (self.factors.double().square().sum(0) + self.tau).sqrt()

    def denoise(self, x_t: Tensor, sigma: Tensor | float) -> Tensor:
        mean = self.mean.to(x_t.dtype)
        return mean + self.eigenform.shrink(x_t - mean, sigma)

    def jacobian_product(self, x_t: Tensor, sigma: Tensor | float, v: Tensor) -> Tensor:  # noqa: ARG002
        return self.eigenform.shrink(v, sigma)

    def covariance_product(self, v: Tensor) -> Tensor:
        return self.eigenform.product(v)

    def draw(self, noise: SampleNoise) -> Tensor:
        form = self.eigenform
        latent = noise.normal(form.excess.shape, form.basis) * form.excess.sqrt()
        rest = noise.normal(self.in_shape, form.basis) * self.tau**0.5
        return self.mean + form.image(latent @ form.basis) + rest

    def components(self, k: int) -> tuple[Tensor, Tensor]:
        """Return the ``k`` leading eigenvectors and the standard deviations along them.

        Raises:
            ValueError: If ``k`` is above the number of factors.
        """
        form = self.eigenform
        if k > len(form.excess):
            raise ValueError(
                f"this prior has {len(form.excess)} factors but {k} components were requested; all "
                "further directions have equal variance."
            )
        order = form.excess.argsort(descending=True)[:k]
        return form.image(form.basis[order]), (form.excess[order] + self.tau).sqrt()

    def log_prob(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        return self.eigenform.log_prob(x, sigma)

    def condition(self, problem: Problem) -> LowRankPosterior:
        return LowRankPosterior.of(self.eigenform, problem)

    def log_evidence(self, problem: Problem) -> Tensor:
        return LowRankPosterior.of(self.eigenform, problem).evidence

    def save(self, path: Path) -> None:
        """Write a safetensors file: factors as bytes with one scale each, so 1 MB holds 250.

        Rounding perturbs each factor by about one percent of its norm, isotropically. The
        prior that is read back is exact for its rounded factors.

        Args:
            path: The file; an existing one is replaced.
        """
        peak = self.factors.double().flatten(1).abs().amax(1).clamp(min=1e-30)
        scale = (peak / 127).float()
        rounded = (self.factors / _per_image(scale, self.factors)).round().to(torch.int8)
        tau = torch.tensor(self.tau, dtype=torch.float64)
        tensors = {"mean": self.mean.float(), "factors": rounded, "scale": scale, "tau": tau}
        with atomic(path) as temporary:
            temporary.write_bytes(save({key: value.contiguous() for key, value in tensors.items()}))

    @classmethod
    def load(cls, path: Path) -> "LowRankGaussian":
        """Read a file written by :meth:`save`.

        Raises:
            ValueError: If the file holds something else.
        """
        tensors: Mapping[str, Tensor] = load_file(path)
        if set(tensors) != {"mean", "factors", "scale", "tau"}:
            raise ValueError(
                f"{path}: a low-rank Gaussian is stored as mean, factors, scale and tau but this "
                f"file holds {', '.join(sorted(tensors))}; was it written by LowRankGaussian.save?"
            )
        factors = tensors["factors"].float()
        factors = factors * _per_image(tensors["scale"], factors)
        return cls(tensors["mean"], factors, float(tensors["tau"]))


def fit_low_rank(
    images: Float[Tensor, " image *in_shape"], rank: int, *, power: int = 6, seed: int = 0
) -> LowRankGaussian:
    """Fit a prior to images: mean, leading principal components, and mean residual variance.

    The maximum-likelihood solution of probabilistic PCA, its subspace found by randomised
    subspace iteration.

    Args:
        images: Training images, in network intensity.
        rank: Number of factors.
        power: Subspace iterations; each sharpens the weakest factors.
        seed: Seed of the starting subspace.

    Raises:
        ValueError: If ``rank`` is not below the number of voxels and of images.

    References:
        Tipping & Bishop 1999, eq. 7 and 8; Halko, Martinsson & Tropp 2011, algorithm 4.4.
    """
    count, pixels = len(images), images[0].numel()
    if not 0 < rank < min(count, pixels):
        raise ValueError(
            f"rank must be at least 1 and below both the {pixels} voxels and the {count} images, "
            f"got {rank}."
        )
    mean = images.double().mean(0)
    centred = (images - mean.to(images.dtype)).flatten(1)
    generator = torch.Generator().manual_seed(seed)
    width = min(rank + 32, pixels, count)
    basis = torch.randn(pixels, width, generator=generator).to(centred)
    for _ in range(power):
        basis = torch.linalg.qr(centred.mT @ (centred @ basis)).Q
    _, s, right = torch.linalg.svd((centred @ basis).double(), full_matrices=False)
    variance = s[:rank].square() / count
    total = centred.double().square().sum() / count
    tau = float((total - variance.sum()) / (pixels - rank))
    rows = right[:rank] @ basis.double().mT
    factors = rows * (variance - tau).clamp(min=0).sqrt()[:, None]
    return LowRankGaussian(
        mean.to(images.dtype), factors.to(images.dtype).unflatten(1, mean.shape), tau
    )


def _per_image(scale: Tensor, images: Tensor) -> Tensor:
    return scale.reshape(-1, *[1] * (images.ndim - 1))
