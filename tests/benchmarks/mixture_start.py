"""How near the ideal conditional denoiser comes to a mixture: ``python -m tests.benchmarks.mixture_start``.

The 25 modes of a posterior of the set MCG share one covariance, which makes its denoiser quick, so
that enough draws can be made to tell the sampler's error from chance.
"""  # noqa: E501 - the command on one line

import sys

import torch
from torch import Tensor

from uqrestore.benchmarks.mixtures import mixture_levels, mixture_problem
from uqrestore.diffusion.samplers import sample
from uqrestore.noise import SampleNoise
from uqrestore.priors import GaussianMixture
from uqrestore.priors.closed_form import ClosedForm

DRAWS, PAIRS, STEPS = 4000, 12, 32


class OperatorDistribution:
    """The posterior of one problem, in the principal axes of its modes."""

    def __init__(self, size: int, rows: int, seed: int) -> None:
        prior, problem, _ = mixture_problem(size, rows, seed)
        posterior = prior.posterior(problem)
        assert isinstance(posterior, GaussianMixture)
        self.log_weights = posterior.weights.flatten().log()
        images = torch.eye(size).double().reshape(size, 1, 1, 1, size)
        spread = posterior.modes[0].covariance_product(images).reshape(size, size)
        self.variance, axes = torch.linalg.eigh((spread + spread.mT) / 2)
        self.means = torch.stack([_mean(mode) for mode in posterior.modes]) @ axes

    def shares(self, x: Tensor, variance: Tensor) -> Tensor:
        """Return the probability of every mode."""
        inner = (x / variance) @ self.means.mT - (self.means.square() / variance).sum(-1) / 2
        return (self.log_weights + inner).softmax(-1)

    def denoise(self, x: Tensor, sigma: float) -> Tensor:
        """Return the conditional denoiser."""
        total = self.variance + sigma**2
        means = self.shares(x, total) @ self.means
        return (self.variance * x + sigma**2 * means) / total

    def draw(self, count: int, seed: int) -> Tensor:
        """Return exact draws."""
        generator = torch.Generator().manual_seed(seed)
        mode = torch.multinomial(self.log_weights.exp(), count, True, generator=generator)
        white = torch.randn(count, len(self.variance), generator=generator, dtype=torch.float64)
        return self.means[mode] + self.variance.sqrt() * white

    def misplaced(self, x: Tensor) -> float:
        """Return half the absolute error of the weights of the modes."""
        shown = self.shares(x, self.variance.clamp(min=1e-9)).mean(0)
        return float(0.5 * (shown - self.log_weights.exp()).abs().sum())


def _mean(mode: ClosedForm) -> Tensor:
    return mode.mean.flatten()


def sliced(first: Tensor, second: Tensor) -> float:
    """Return the mean Wasserstein-1 distance along 100 directions."""
    generator = torch.Generator().manual_seed(0)
    along = torch.randn(first.shape[1], 100, generator=generator, dtype=torch.float64)
    along = along / along.norm(dim=0)
    return float(((first @ along).sort(0).values - (second @ along).sort(0).values).abs().mean())


def main(sizes: list[int]) -> None:
    """Print a line for every problem: what chance leaves, and two starts of the sampler."""
    print("| d, m, seed | floor, 500 draws | floor, 4000 | from 10 std | from 100 std |")  # noqa: T201
    for size, rows, seed in [(s, m, i) for s in sizes for m in (1, 2) for i in (0, 1, 2)]:
        distribution = OperatorDistribution(size, rows, seed)
        floors = []
        for count in (500, DRAWS):
            pairs = [
                (distribution.draw(count, 2 * i), distribution.draw(count, 2 * i + 1))
                for i in range(PAIRS)
            ]
            floors.append(torch.tensor([sliced(*pair) for pair in pairs]))
        white = SampleNoise(seed, range(DRAWS)).normal((size,), torch.zeros(0).double())
        cells = [f"{floor.mean():.3f} ± {floor.std():.3f}" for floor in floors]
        for reach, low in ((10.0, 0.02), (100.0, 0.1)):
            levels = mixture_levels(size, STEPS, low, reach)
            x = sample(
                distribution.denoise, levels[0] * white, levels, SampleNoise(0, [0]), sampler="heun"
            )
            found = torch.tensor(
                [sliced(x, distribution.draw(DRAWS, 100 + i)) for i in range(PAIRS)]
            )
            cells.append(f"{found.mean():.3f} ({distribution.misplaced(x):.3f})")
        print(f"| {size}, {rows}, {seed} | {' | '.join(cells)} |", flush=True)  # noqa: T201


if __name__ == "__main__":
    main([int(size) for size in sys.argv[1:]] or [80])
