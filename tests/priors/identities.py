"""Twenty-eight identities of closed-form priors: each returns its error and what is allowed.

Two routes to the same number: a formula against finite differences, importance sampling, matrix
algebra, or another formula. ``python -m tests.priors.identities`` prints the largest of each over
five seeds.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from uqrestore.diffusion.samplers import sample
from uqrestore.diffusion.schedules import karras_sigmas
from uqrestore.noise import SampleNoise
from uqrestore.operators import Matrix
from uqrestore.priors import ClosedForm, GaussianMixture, GaussianPrior, LowRankGaussian
from uqrestore.problem import Problem, simulate

SHAPE, D, ROWS, MODES = (1, 2, 3), 6, 3, 3
NOISE, SIGMA, SAMPLES = 0.4, 0.6, 100_000
SEEDS = (1, 2, 3, 4, 5)


@dataclass(frozen=True, eq=False)
class Case:
    """A mixture, one of its modes alone, and a measurement."""

    seed: int
    mixture: GaussianMixture
    single: GaussianPrior
    matrix: Tensor
    problem: Problem
    x_t: Tensor

    @property
    def posterior(self) -> GaussianMixture:
        found = self.mixture.posterior(self.problem)
        assert isinstance(found, GaussianMixture)
        return found

    @property
    def gaussian(self) -> GaussianPrior:
        found = self.single.posterior(self.problem)
        assert isinstance(found, GaussianPrior)
        return found

    def draws(self, dist: ClosedForm, count: int = 4000) -> Tensor:
        return dist.draw(SampleNoise(self.seed, range(count)))


@functools.cache
def case(seed: int) -> Case:
    g = torch.Generator().manual_seed(seed)

    def randn(*shape: int) -> Tensor:
        return torch.randn(shape, generator=g, dtype=torch.float64)

    modes = []
    for _ in range(MODES):
        root = randn(D, D) / D**0.5
        modes.append(GaussianPrior.from_covariance(randn(*SHAPE), root @ root.T))
    mixture = GaussianMixture(torch.rand(MODES, generator=g, dtype=torch.float64) + 0.3, modes)
    matrix = randn(ROWS, D) / D**0.5
    truth = mixture.draw(SampleNoise(seed, [0], scan=1))[0]
    noise = SampleNoise(seed, [0], scan=2)
    problem = simulate(Matrix(matrix, SHAPE), truth, noise_std=NOISE, noise=noise)
    return Case(seed, mixture, modes[0], matrix, problem, truth + SIGMA * randn(*SHAPE))


Checked = tuple[float, float]
"""Error, and how large it may be."""
EXACT, STEP, CHANCE = 1e-9, 1e-6, 5.0
"""Rounding; finite differences; standard errors."""
RARE = 1e-5
"""Beside standard errors: a mode that no sample meets has none."""
IDENTITIES: dict[str, Callable[[Case], Checked]] = {}


def identity(name: str) -> Callable[[Callable[[Case], Checked]], Callable[[Case], Checked]]:
    def keep(check: Callable[[Case], Checked]) -> Callable[[Case], Checked]:
        IDENTITIES[name] = check
        return check

    return keep


def off(found: Tensor, wanted: Tensor) -> float:
    """Largest difference, as a share of the scale of what is wanted (at least 1)."""
    return float((found - wanted).abs().max() / wanted.abs().max().clamp(min=1))


def slopes(function: Callable[[Tensor], Tensor], x: Tensor, step: float = 1e-5) -> Tensor:
    """Gradient of a scalar function by central differences."""
    unit = step * torch.eye(D, dtype=torch.float64).reshape(D, *SHAPE)
    return ((function(x + unit) - function(x - unit)) / (2 * step)).reshape(SHAPE)


def columns(product: Callable[[Tensor], Tensor]) -> Tensor:
    """Write a linear map of images as a matrix."""
    return product(torch.eye(D, dtype=torch.float64).reshape(D, *SHAPE)).flatten(1).T


def weighted(c: Case, log_weights: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor, float]:
    """Prior draws with normalised weights, and the log of the mean weight."""
    x = draw_many(c.mixture, SAMPLES, c.seed)
    logs = log_weights(x)
    return x, torch.softmax(logs, 0), float(torch.logsumexp(logs, 0) - torch.tensor(SAMPLES).log())


def draw_many(dist: GaussianMixture, count: int, seed: int) -> Tensor:
    """Draw from one stream, ``(count, pixel)``."""
    g = torch.Generator().manual_seed(seed)
    chosen = torch.multinomial(dist.weights, count, replacement=True, generator=g)
    white = torch.randn(count, D, generator=g, dtype=torch.float64)
    out = torch.empty_like(white)
    for k, mode in enumerate(dist.modes):
        assert isinstance(mode, GaussianPrior)
        at = chosen == k
        root = mode.directions * mode.variances.sqrt()
        out[at] = mode.mean.flatten() + white[at] @ root.T
    return out


def in_errors(x: Tensor, weights: Tensor, wanted: Tensor) -> float:
    """Largest distance of weighted means ``(sample, value)`` from values, in standard errors."""
    mean = weights @ x
    error = (weights.square() @ (x - mean).square()).sqrt() + RARE
    return float(((mean - wanted.flatten()) / error).abs().max())


def outer(x: Tensor, mean: Tensor) -> Tensor:
    away = x - mean.flatten()
    return torch.einsum("si,sj->sij", away, away).flatten(1)


def seen(c: Case, x: Tensor) -> Tensor:
    """Log likelihood of the noisy image."""
    return -(x - c.x_t.flatten()).square().sum(1) / (2 * SIGMA**2)


def measured(c: Case, x: Tensor) -> Tensor:
    """Log likelihood of the measurement."""
    misfit = (x @ c.matrix.T - c.problem.y).square().sum(1) / (2 * NOISE**2)
    return -misfit - ROWS * torch.tensor(2 * torch.pi * NOISE**2).log() / 2


def normal(y: Tensor, mean: Tensor, covariance: Tensor) -> Tensor:
    return torch.distributions.MultivariateNormal(mean, covariance).log_prob(y)


@identity("denoiser: importance sampling")
def _(c: Case) -> Checked:
    x, w, _ = weighted(c, lambda x: seen(c, x))
    return in_errors(x, w, c.mixture.denoise(c.x_t, SIGMA)), CHANCE


@identity("denoiser: one mode is linear, S (S + s^2)^-1")
def _(c: Case) -> Checked:
    s = c.single.covariance
    gain = s @ torch.linalg.inv(s + SIGMA**2 * torch.eye(D, dtype=torch.float64))
    want = c.single.mean.flatten() + gain @ (c.x_t - c.single.mean).flatten()
    return off(c.single.denoise(c.x_t, SIGMA).flatten(), want), EXACT


@identity("score: gradient of the log density")
def _(c: Case) -> Checked:
    want = slopes(lambda x: c.mixture.log_prob(x, SIGMA), c.x_t)
    return off(c.mixture.score(c.x_t, SIGMA), want), STEP


@identity("responsibilities: share of each mode at the noisy image")
def _(c: Case) -> Checked:
    eye = SIGMA**2 * torch.eye(D, dtype=torch.float64)
    logs = [normal(c.x_t.flatten(), m.mean.flatten(), m.covariance + eye) for m in _modes(c)]
    want = torch.softmax(torch.stack(logs) + c.mixture.weights.log(), 0)
    return off(c.mixture.responsibilities(c.x_t, SIGMA), want), EXACT


@identity("covariance given the noisy image: importance sampling")
def _(c: Case) -> Checked:
    x, w, _ = weighted(c, lambda x: seen(c, x))
    clean = c.mixture.denoise(c.x_t, SIGMA)
    covariance = SIGMA**2 * columns(lambda v: c.mixture.jacobian_product(_as(c.x_t), SIGMA, v))
    return in_errors(outer(x, clean), w, covariance), CHANCE


@identity("Jacobian: product by automatic differentiation")
def _(c: Case) -> Checked:
    auto = torch.autograd.functional.jacobian(lambda x: c.mixture.denoise(x, SIGMA), c.x_t)
    return off(_jacobian(c), auto.reshape(D, D)), EXACT


@identity("Jacobian: symmetric")
def _(c: Case) -> Checked:
    return off(_jacobian(c), _jacobian(c).T), EXACT


@identity("Jacobian: positive")
def _(c: Case) -> Checked:
    return float((-torch.linalg.eigvalsh(_jacobian(c))[0]).clamp(min=0)), EXACT


@identity("variance-preserving denoiser: D(x / a; b / a)")
def _(c: Case) -> Checked:
    a, b = 0.8, 0.6
    known = Problem(Matrix(a * torch.eye(D, dtype=torch.float64), SHAPE), c.x_t.flatten(), b)
    return off(c.mixture.denoise(c.x_t / a, b / a), c.mixture.posterior(known).mean), EXACT


@identity("variance-preserving Jacobian: J / a")
def _(c: Case) -> Checked:
    a, b = 0.8, 0.6
    known = Problem(Matrix(a * torch.eye(D, dtype=torch.float64), SHAPE), c.x_t.flatten(), b)
    want = a / b**2 * columns(c.mixture.posterior(known).covariance_product)
    found = columns(lambda v: c.mixture.jacobian_product(_as(c.x_t / a), b / a, v)) / a
    return off(found, want), EXACT


@identity("posterior weights: evidence of each mode")
def _(c: Case) -> Checked:
    return off(c.posterior.weights, torch.softmax(_evidence(c) + c.mixture.weights.log(), 0)), EXACT


@identity("posterior weights: importance sampling")
def _(c: Case) -> Checked:
    x, w, _ = weighted(c, lambda x: measured(c, x))
    share = c.mixture.responsibilities(x.reshape(-1, *SHAPE), 0.0).T
    return in_errors(share, w, c.posterior.weights), CHANCE


@identity("posterior mean: importance sampling")
def _(c: Case) -> Checked:
    x, w, _ = weighted(c, lambda x: measured(c, x))
    return in_errors(x, w, c.posterior.mean), CHANCE


@identity("posterior covariance: importance sampling")
def _(c: Case) -> Checked:
    x, w, _ = weighted(c, lambda x: measured(c, x))
    covariance = columns(c.posterior.covariance_product)
    return in_errors(outer(x, c.posterior.mean), w, covariance), CHANCE


@identity("posterior covariance: Joseph's form is the information form")
def _(c: Case) -> Checked:
    s, a = c.single.covariance, c.matrix
    gain = s @ a.T @ torch.linalg.inv(a @ s @ a.T + NOISE**2 * torch.eye(ROWS))
    left = torch.eye(D, dtype=torch.float64) - gain @ a
    joseph = left @ s @ left.T + NOISE**2 * gain @ gain.T
    information = torch.linalg.inv(torch.linalg.inv(s) + a.T @ a / NOISE**2)
    return max(off(c.gaussian.covariance, m) for m in (joseph, information)), 1e-7


@identity("posterior mean: weighted means of the modes")
def _(c: Case) -> Checked:
    means = torch.stack([mode.posterior(c.problem).mean for mode in c.mixture.modes])
    return off(c.posterior.mean, torch.einsum("k,k...->...", c.posterior.weights, means)), EXACT


@identity("evidence: density of the measurement")
def _(c: Case) -> Checked:
    want = torch.logsumexp(_evidence(c) + c.mixture.weights.log(), 0)
    return off(c.mixture.log_evidence(c.problem), want), EXACT


@identity("evidence: importance sampling")
def _(c: Case) -> Checked:
    x, w, log_mean = weighted(c, lambda x: measured(c, x))
    del x
    error = float((w.square().sum() - 1 / SAMPLES).clamp(min=0).sqrt())
    return abs(float(c.mixture.log_evidence(c.problem)) - log_mean) / error, CHANCE


@identity("conditional denoiser: one stacked observation")
def _(c: Case) -> Checked:
    eye = torch.eye(D, dtype=torch.float64) / SIGMA
    stacked = Matrix(torch.cat([c.matrix / NOISE, eye]), SHAPE)
    y = torch.cat([c.problem.y / NOISE, c.x_t.flatten() / SIGMA])
    want = c.mixture.posterior(Problem(stacked, y, 1.0)).mean
    return off(c.mixture(c.x_t, SIGMA, c.problem), want), EXACT


@identity("conditional score: gradient of the posterior's log density")
def _(c: Case) -> Checked:
    want = slopes(lambda x: c.posterior.log_prob(x, SIGMA), c.x_t)
    return off(c.mixture.score(c.x_t, SIGMA, c.problem), want), STEP


@identity("guidance: gradient of log p(y | x_t)")
def _(c: Case) -> Checked:
    def log_likelihood(x: Tensor) -> Tensor:
        return c.posterior.log_prob(x, SIGMA) - c.mixture.log_prob(x, SIGMA)

    return off(c.mixture.guidance(c.x_t, SIGMA, c.problem), slopes(log_likelihood, c.x_t)), STEP


@identity("p(y | x_t): mixture of the modes' own")
def _(c: Case) -> Checked:
    noise = NOISE**2 * torch.eye(ROWS, dtype=torch.float64)
    logs = []
    for mode in _modes(c):
        inside = SIGMA**2 * columns(lambda v, m=mode: m.jacobian_product(_as(c.x_t), SIGMA, v))
        centre = c.matrix @ mode.denoise(c.x_t, SIGMA).flatten()
        logs.append(normal(c.problem.y, centre, c.matrix @ inside @ c.matrix.T + noise))
    share = c.mixture.responsibilities(c.x_t, SIGMA).log()
    want = torch.logsumexp(torch.stack(logs) + share, 0)
    prior, dist = c.mixture.log_prob(c.x_t, SIGMA), c.posterior.log_prob(c.x_t, SIGMA)
    return off(dist + c.mixture.log_evidence(c.problem) - prior, want), EXACT


@identity("one call from pure noise: m + C e / s")
def _(c: Case) -> Checked:
    s, e = 300.0, c.x_t
    found = c.mixture(s * e, s, c.problem) - c.posterior.mean
    return off(s * found, c.posterior.covariance_product(e)), 0.05


@identity("one call from pure noise: root mean square bias sqrt(tr C^2) / s")
def _(c: Case) -> Checked:
    s = 300.0
    g = torch.Generator().manual_seed(c.seed)
    e = torch.randn(4000, *SHAPE, generator=g, dtype=torch.float64)
    bias = (c.mixture(s * e, s, c.problem) - c.posterior.mean).square().flatten(1).sum(1)
    trace = columns(c.posterior.covariance_product).square().sum()
    return abs(float(bias.mean().sqrt() * s / trace.sqrt()) - 1), 0.08


@identity("3 dB: a draw errs twice as much as the mean")
def _(c: Case) -> Checked:
    x, w, _ = weighted(c, lambda x: measured(c, x))
    draws = c.draws(c.posterior).flatten(1)
    to_mean = (x - c.posterior.mean.flatten()).square().sum(1)
    to_draw = to_mean + draws.var(0).sum()
    return abs(float((w @ to_draw) / (w @ to_mean)) / 2 - 1), 0.05


@identity("residuals of draws are distributed as those of truths")
def _(c: Case) -> Checked:
    count = 500
    truth = c.draws(c.mixture, count)
    streams = SampleNoise(c.seed, [0], scan=3, slices=range(count))
    problem = simulate(Matrix(c.matrix, SHAPE), truth, noise_std=NOISE, noise=streams)
    draw = c.mixture.posterior(problem).draw(SampleNoise(c.seed, [0], scan=4, slices=range(count)))
    power = (problem.operator(draw[0]) - problem.y).square().sum(-1) / NOISE**2
    return abs(float(power.mean()) - ROWS) / (2 * ROWS / count) ** 0.5, CHANCE


@identity("modes of draws: E r_k(draw) is the posterior weight")
def _(c: Case) -> Checked:
    share = c.mixture.responsibilities(c.draws(c.posterior), 0.0).T
    even = torch.full((len(share),), 1 / len(share), dtype=torch.float64)
    return in_errors(share, even, c.posterior.weights), CHANCE


@identity("low rank: as the dense prior")
def _(c: Case) -> Checked:
    factors = c.single._root.T[-4:].reshape(4, *SHAPE)
    thin = LowRankGaussian(c.single.mean, factors, 0.1)
    rows = factors.flatten(1)
    full = GaussianPrior.from_covariance(
        c.single.mean, rows.T @ rows + 0.1 * torch.eye(D, dtype=torch.float64)
    )
    ours, exact = thin.posterior(c.problem), full.posterior(c.problem)
    both = off(ours.mean, exact.mean), off(ours.std, exact.std)
    return max(*both, off(thin(c.x_t, SIGMA, c.problem), full(c.x_t, SIGMA, c.problem))), 1e-7


def _modes(c: Case) -> list[GaussianPrior]:
    return [mode for mode in c.mixture.modes if isinstance(mode, GaussianPrior)]


def _as(x: Tensor) -> Tensor:
    return x.expand(D, *SHAPE)


def _jacobian(c: Case) -> Tensor:
    return columns(lambda v: c.mixture.jacobian_product(_as(c.x_t), SIGMA, v))


def _evidence(c: Case) -> Tensor:
    noise = NOISE**2 * torch.eye(ROWS, dtype=torch.float64)
    return torch.stack(
        [
            normal(
                c.problem.y,
                c.matrix @ mode.mean.flatten(),
                c.matrix @ mode.covariance @ c.matrix.T + noise,
            )
            for mode in _modes(c)
        ]
    )


def heun_ends_on_the_posterior(c: Case) -> Checked:
    """Share of the spread by which a sampler with the ideal conditional denoiser is off."""
    dist = c.gaussian
    top = 30.0 * float(dist.variances.max()) ** 0.5
    levels = [*karras_sigmas(64, 0.002, top).tolist()]
    x = top * c.draws(c.single, 200)
    streams = SampleNoise(0, range(200))
    out = sample(lambda u, s: dist.denoise(u, s), x, levels, streams, sampler="heun")
    want = dist.flow(x, top)
    return float((out - want).abs().max() / dist.std.max()), 0.02


def single_precision(c: Case) -> Mapping[str, float]:
    """Largest error of float32 images, as a share of the scale."""
    low = Problem(Matrix(c.matrix.float(), SHAPE), c.problem.y.float(), NOISE)
    x, v = c.x_t, c.x_t.flip(-1)
    rows = c.single._root.T[-4:].reshape(4, *SHAPE)
    thin = LowRankGaussian(c.single.mean, rows, 0.1)
    thin_low = LowRankGaussian(c.single.mean.float(), rows.float(), 0.1)
    found = {}
    for name, dist, low_rank_prior in (
        ("dense", c.single, c.single),
        ("mixture", c.mixture, c.mixture),
        ("low rank", thin, thin_low),
    ):
        pairs = (
            (low_rank_prior(x.float(), SIGMA), dist(x, SIGMA)),
            (low_rank_prior(x.float(), SIGMA, low), dist(x, SIGMA, c.problem)),
            (
                low_rank_prior.jacobian_product(x.float(), SIGMA, v.float()),
                dist.jacobian_product(x, SIGMA, v),
            ),
            (low_rank_prior.posterior(low).mean, dist.posterior(c.problem).mean),
            (low_rank_prior.posterior(low).std, dist.posterior(c.problem).std),
        )
        found[name] = max(off(one.double(), other) for one, other in pairs)
    return found


def main() -> None:
    """Print every identity with its largest error."""
    for name, check in IDENTITIES.items():
        errors = [check(case(seed)) for seed in SEEDS]
        print(f"| {name} | {max(e for e, _ in errors):.2g} | {errors[0][1]:.2g} |")  # noqa: T201
    low = [single_precision(case(seed)) for seed in SEEDS]
    for name in low[0]:
        print(f"| float32, {name} | {max(e[name] for e in low):.2g} | 1e-4 |")  # noqa: T201


if __name__ == "__main__":
    main()
