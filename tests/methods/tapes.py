"""A sampler with a linear denoiser is an affine map of its noise: read that map, exactly."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from uqrestore.noise import SampleNoise
from uqrestore.operators import Inpainting, Matrix
from uqrestore.priors import GaussianPrior
from uqrestore.problem import Problem


class OneHot(SampleNoise):
    """Noise of a batch in which row 0 is all zero and row ``k`` has a one at the k-th number drawn.

    Args:
        numbers: How many numbers the sampler draws for one sample.
    """

    def __init__(self, numbers: int) -> None:
        self.shape, self.drawn = (numbers + 1,), 0

    def normal(self, rest: Sequence[int], like: Tensor) -> Tensor:
        size = math.prod(rest)
        rows, columns = torch.arange(size) + self.drawn + 1, torch.arange(size)
        self.drawn += size
        noise = torch.zeros(self.shape[0], size, dtype=like.dtype)
        here = rows < self.shape[0]
        noise[rows[here], columns[here]] = 1
        return noise.reshape(self.shape[0], *rest)


class Zeros(OneHot):
    """All zero, and counts."""

    def __init__(self) -> None:
        super().__init__(0)


class Given(SampleNoise):
    """One sample from given numbers, in the order in which they are drawn."""

    def __init__(self, numbers: Tensor) -> None:
        self.shape, self.numbers, self.drawn = (1,), numbers, 0

    def normal(self, rest: Sequence[int], like: Tensor) -> Tensor:
        size = math.prod(rest)
        part = self.numbers[self.drawn : self.drawn + size]
        self.drawn += size
        return part.to(like.dtype).reshape(1, *rest)


class Walled(Matrix):
    """A matrix that keeps its singular values to itself."""

    def spectral(self) -> None:  # type: ignore[override]
        return None


Sampler = Callable[[SampleNoise], Tensor]


def moments(sampler: Sampler) -> tuple[Tensor, Tensor]:
    """Return the exact mean and covariance of what a sampler draws, flattened.

    Args:
        sampler: Takes noise to images ``(sample, *in_shape)``, affinely.
    """
    count = Zeros()
    sampler(count)
    images = sampler(OneHot(count.drawn)).flatten(1)
    slopes = images[1:] - images[0]
    return images[0], slopes.T @ slopes


def scalar_prior(variance: float = 1.0) -> GaussianPrior:
    """A prior of one voxel of mean 0."""
    covariance = torch.tensor([[variance]], dtype=torch.float64)
    return GaussianPrior.from_covariance(torch.zeros(1, 1, 1, dtype=torch.float64), covariance)


def scalar_problem(y: float, noise_std: float) -> Problem:
    """One voxel, seen."""
    mask = torch.ones(1, 1, 1, dtype=torch.float64)
    return Problem(Inpainting(mask), torch.full_like(mask, y), noise_std)


def pair_prior() -> GaussianPrior:
    """Two independent voxels of unit variance."""
    mean = torch.zeros(1, 1, 2, dtype=torch.float64)
    return GaussianPrior.from_covariance(mean, torch.eye(2, dtype=torch.float64))


def pair_problem(noise_std: float = 0.0) -> Problem:
    """Two voxels: the first seen, at 1, the second not."""
    mask = torch.tensor([[[1.0, 0.0]]], dtype=torch.float64)
    return Problem(Inpainting(mask), mask.clone(), noise_std)
